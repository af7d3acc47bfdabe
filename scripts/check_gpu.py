"""Does it hold, and is it fast, on this machine's GPU? One script, no network, under 8 minutes; a
table, and JSON with --json FILE.

    python scripts/check_gpu.py --json gpu.json          # on a machine with CUDA
    python scripts/check_gpu.py --device cpu --fast      # small sizes anywhere, to see the script work

What must hold (a failed check is told, the others go on; exit status 1):
  fused       a supernet's fused blocks give the outputs and gradients of the candidates one by one
  processor   two search steps give the losses and alphas that the processor gives
  repeats     two runs with deterministic operations are equal to the bit
  resumes     a run that is stopped half way, saved and loaded into fresh objects, ends in the same bits
  no waiting  a search step and a training step wait for the device nowhere (CUDA's sync debug mode)
  bfloat16    a step in bfloat16 gives the float32 loss to 2%

What is measured, each beside the first of its group, in turns within a round, medians of the ratios:
  search      a search step (alpha and weights): candidate by candidate in float32; fused; fused in
              bfloat16; compiled; compiled with CUDA graphs
  mmoe        a training step of MMoE (8 experts of 512-256): the same maths written plainly in torch;
              ours; in bfloat16; compiled; compiled with CUDA graphs; torch-rechub, if installed
at batches of 2,048, 16,384 and 65,536 rows, with rows/s and the peak of allocated memory. What does
not run (out of memory, no compiler) is a row that says why. When the time is up, what is left is
told and left out.
"""

import argparse
import copy
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from gpu_steps import Sizes, Step, batch_of, darts_of, mmoe_step, plain_step, rechub_step

from automtl.files import write_json
from automtl.phases.run.device import resolve_device

LIMIT_S = 8 * 60
IDS = 100_000
BATCHES, ROUNDS, WARM = (2048, 16_384, 65_536), 7, 3
FAST_IDS, FAST_BATCHES, FAST_ROUNDS = 50, (64,), 2
CLOSE = {"fused": 1e-4, "processor": 1e-3, "bfloat16": 2e-2}  # relative
STEPS = 6  # of a run that must repeat

# -- what must hold


def differ(one: Tensor, other: Tensor) -> float:
    """The largest difference over the largest value."""
    one, other = one.detach().double().cpu(), other.detach().double().cpu()
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-12))


def check_fused(sizes: Sizes) -> str:
    batch, found = batch_of(sizes, sizes.batches[0], 0), []
    for fused in (True, False):
        net = darts_of(sizes, fused=fused).net
        logits = torch.stack(list(net(batch.inputs)))
        logits.square().mean().backward()
        found.append((logits, {n: p.grad for n, p in net.named_parameters()}))
    (logits, gradients), (expected, theirs) = found
    pairs = [(g, theirs[n]) for n, g in gradients.items() if g is not None and not g.is_sparse]
    flat = (torch.cat([side.flatten() for side in sides]) for sides in zip(*pairs, strict=True))
    # of some weights before a BatchNorm the true gradient is 0: beside the largest of all
    return _close("fused", max(differ(logits, expected), differ(*flat)))


def check_processor(sizes: Sizes) -> str:
    found = []
    for device in (sizes.device, torch.device("cpu")):
        darts = darts_of(sizes, device=device)
        rows = min(sizes.batches[0], 512)
        losses = [
            darts.step(batch_of(sizes, rows, s, device), batch_of(sizes, rows, 9 + s, device)).total
            for s in range(2)
        ]
        found.append((torch.stack(losses), torch.cat([a.flatten() for a in darts._alphas])))
    (losses, alphas), (expected, others) = found
    return _close("processor", max(differ(losses, expected), differ(alphas, others)))


def check_bfloat16(sizes: Sizes) -> str:
    batch = batch_of(sizes, sizes.batches[0], 0)
    low, high = (
        darts_of(sizes, precision=p).step(batch, batch).total for p in ("bfloat16", "float32")
    )
    return _close("bfloat16", differ(low, high))


def check_repeats(sizes: Sizes) -> str:
    return _same(run(sizes), run(sizes))


def check_resumes(sizes: Sizes) -> str:
    return _same(run(sizes, stop=STEPS // 2), run(sizes))


def run(sizes: Sizes, stop: int = 0) -> list[Tensor]:
    """All weights after a few steps; with `stop`, saved after so many and gone on in fresh
    objects.
    """
    darts = darts_of(sizes)
    for number in range(STEPS):
        if stop and number == stop:
            net = copy.deepcopy(darts.net.state_dict())
            state, darts = copy.deepcopy(darts.state_dict()), darts_of(sizes)
            darts.net.load_state_dict(net)
            darts.load_state_dict(state)
        rows = sizes.batches[0]
        darts.step(batch_of(sizes, rows, number), batch_of(sizes, rows, 99 + number))
    darts.end_epoch()
    return [value.detach().cpu() for value in darts.net.state_dict().values()]


def check_no_waiting(sizes: Sizes) -> str:
    if sizes.device.type != "cuda":
        return "not looked at: only CUDA tells"
    darts, step = darts_of(sizes), mmoe_step(sizes)
    alpha, fit = (batch_of(sizes, sizes.batches[0], seed) for seed in (0, 1))
    for take in (darts.step, step):
        for _ in range(WARM):
            take(alpha, fit)
        torch.cuda.set_sync_debug_mode("error")
        try:
            take(alpha, fit)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return "a search step and a training step wait nowhere"


def _close(name: str, worst: float) -> str:
    told = f"largest difference {worst:.1e}, allowed {CLOSE[name]:.0e}"
    if not worst <= CLOSE[name]:
        raise AssertionError(told)
    return told


def _same(one: list[Tensor], other: list[Tensor]) -> str:
    unlike = sum(not torch.equal(a, b) for a, b in zip(one, other, strict=True))
    if unlike:
        raise AssertionError(f"{unlike} of {len(one)} tensors differ")
    return f"all {len(one)} tensors equal after {STEPS} steps"


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


CHECKS: dict[str, Callable[[Sizes], str]] = {
    "fused": check_fused,
    "processor": check_processor,
    "repeats": deterministic()(check_repeats),
    "resumes": deterministic()(check_resumes),
    "no waiting": check_no_waiting,
    "bfloat16": check_bfloat16,
}

# -- what is measured

VARIANTS: dict[str, dict[str, Callable[[Sizes], Step]]] = {
    "search": {
        "one by one": lambda s: darts_of(s, fused=False).step,
        "fused": lambda s: darts_of(s).step,
        "fused, bfloat16": lambda s: darts_of(s, precision="bfloat16").step,
        "fused, compiled": lambda s: darts_of(s, compiled="inductor").step,
        "fused, CUDA graphs": lambda s: darts_of(s, compiled="graphs").step,
    },
    "mmoe": {
        "plain torch": plain_step,
        "ours": mmoe_step,
        "ours, bfloat16": partial(mmoe_step, precision="bfloat16"),
        "ours, compiled": partial(mmoe_step, compiled="inductor"),
        "ours, CUDA graphs": partial(mmoe_step, compiled="graphs"),
        "torch-rechub": rechub_step,
    },
}


def timed(sizes: Sizes, step: Step, rows: int, seed: int) -> float:
    """Seconds of a step on fresh rows that lie on the device."""
    alpha, fit = (batch_of(sizes, rows, 2 * seed + i) for i in (0, 1))
    synchronize(sizes.device)
    start = time.perf_counter()
    step(alpha, fit)
    synchronize(sizes.device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(sizes: Sizes, group: str, rows: int, until: float) -> list[dict[str, Any]]:
    """A row per variant: seconds, rows/s, the ratio to the first, peak memory; or why it has none."""
    times: dict[str, list[float]] = {}
    peaks, reasons, steps = dict[str, int](), dict[str, str](), dict[str, Step]()
    for name, make in VARIANTS[group].items():
        try:
            steps[name], peaks[name] = begun(sizes, name, make, rows, until)
        except Exception as fault:  # the others go on, and the row says why it has no figure
            reasons[name] = f"{type(fault).__name__}: {str(fault).splitlines()[0][:90]}"
    for number in range(sizes.rounds):
        for name, step in steps.items():
            if time.monotonic() < until:
                times.setdefault(name, []).append(timed(sizes, step, rows, WARM + number))
    first = times.get(next(iter(VARIANTS[group])), [])
    made = []
    for name in VARIANTS[group]:
        row: dict[str, Any] = {"group": group, "rows": rows, "variant": name}
        if seconds := times.get(name):
            ratios = [a / b for a, b in zip(first, seconds, strict=False)]
            row |= {"step_s": statistics.median(seconds), "ratios": ratios}
            row |= {"rows_per_s": rows / row["step_s"], "peak_mb": peaks[name] / 2**20}
        else:
            row["reason"] = reasons.get(name, "the time was up")
        made.append(row)
    return made


def begun(
    sizes: Sizes, name: str, make: Callable[[Sizes], Step], rows: int, until: float
) -> tuple[Step, int]:
    """A variant after its first steps, and its peak of allocated memory in bytes."""
    if time.monotonic() > until:
        raise TimeoutError("the time was up")
    if "graphs" in name and sizes.device.type != "cuda":
        raise NotImplementedError("CUDA alone has graphs")
    if name == "torch-rechub" and importlib.util.find_spec("torch_rechub") is None:
        raise ModuleNotFoundError("torch-rechub is not installed")
    on_cuda = sizes.device.type == "cuda"
    if on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(sizes.device)
    before = torch.cuda.memory_allocated(sizes.device) if on_cuda else 0
    step = make(sizes)
    for number in range(WARM):
        timed(sizes, step, rows, number)
    peak = torch.cuda.max_memory_allocated(sizes.device) - before if on_cuda else 0
    return step, peak


def line_of(row: dict[str, Any]) -> str:
    """A line of the Markdown table."""
    head = f"| {row['group']} | {row['rows']:,} | {row['variant']} |"
    if "reason" in row:
        return f"{head} | | | {row['reason']} |"
    ratios = row["ratios"]
    ratio = (
        f"{statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""
    )
    peak = f"{row['peak_mb']:,.0f}" if row["peak_mb"] else ""
    return f"{head} {row['step_s'] * 1e3:,.1f} | {row['rows_per_s']:,.0f} | {ratio} | {peak} |"


def about(device: torch.device) -> dict[str, Any]:
    """The machine, for the JSON and the head of the table."""
    told: dict[str, Any] = {"device": str(device), "torch": torch.__version__}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        told |= {"name": properties.name, "memory_mb": properties.total_memory // 2**20}
        told |= {"cuda": torch.version.cuda, "bfloat16": torch.cuda.is_bf16_supported()}
    return told


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--fast", action="store_true", help="small sizes")
    parser.add_argument("--space", default="automtl_small", help="of the search step")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds in all")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    given = parser.parse_args(arguments)
    until = time.monotonic() + given.limit
    torch.set_float32_matmul_precision("highest")
    sizes = Sizes(
        device=resolve_device(given.device),
        space=given.space,
        ids=FAST_IDS if given.fast else IDS,
        batches=FAST_BATCHES if given.fast else BATCHES,
        rounds=FAST_ROUNDS if given.fast else ROUNDS,
    )
    told: dict[str, Any] = {"machine": about(sizes.device), "checks": {}, "speed": []}
    print(json.dumps(told["machine"]))
    failed = 0
    for name, check in CHECKS.items():
        try:
            words, held = check(sizes), True
        except Exception as fault:  # told, and the exit status says it
            words, held = f"{type(fault).__name__}: {str(fault).splitlines()[0][:200]}", False
        failed += not held
        told["checks"][name] = {"holds": held, "words": words}
        print(f"{'holds' if held else 'FAILS'}: {name}: {words}", flush=True)
    print("\n| group | rows | variant | ms a step | rows/s | times the first | peak MB |")
    print("|---|---:|---|---:|---:|---|---:|")
    for rows in sizes.batches:
        for group in VARIANTS:
            for row in measure(sizes, group, rows, until):
                told["speed"].append(row)
                print(line_of(row), flush=True)
    if given.json:
        write_json(given.json, told)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
