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
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from automtl.data.store.batches import Batch, Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.files import write_json
from automtl.layers.choice_block import ChoiceBlock
from automtl.layers.interaction import SelfAttention
from automtl.models.derived import build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.models.supernet import build_supernet
from automtl.phases.run.device import autocast, compile_net, resolve_device
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.optim.optimizers import OptimizerSettings, make_optimizer
from automtl.training.step import train_step
from automtl.training.step.guard import Guard

LIMIT_S = 8 * 60
FIELDS, IDS, TASKS = 16, 100_000, 2
BATCHES, ROUNDS, WARM = (2048, 16_384, 65_536), 7, 3
FAST_IDS, FAST_BATCHES, FAST_ROUNDS = 50, (64,), 2
CLOSE = {"fused": 1e-4, "processor": 1e-3, "bfloat16": 2e-2}  # relative
STEPS = 6  # of a run that must repeat
Step = Callable[[Batch, Batch], Any]


class Sizes(argparse.Namespace):
    """What is made how large, and where."""

    device: torch.device
    space: str
    ids: int
    batches: tuple[int, ...]
    rounds: int


def schema_of(sizes: Sizes) -> Schema:
    fields = (
        Field(name=f"f{i}", kind="categorical", vocabulary_size=sizes.ids) for i in range(FIELDS)
    )
    tasks = (Task(name=f"t{i}", kind="binary") for i in range(TASKS))
    return Schema(name="bench", fields=tuple(fields), tasks=tuple(tasks))


def batch_of(sizes: Sizes, rows: int, seed: int, device: torch.device | None = None) -> Batch:
    """Drawn rows, the same on every device."""
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(sizes.ids, (rows, FIELDS), generator=rng, dtype=torch.int32)
    labels = torch.randint(2, (rows, TASKS), generator=rng).float()
    made = Batch(Inputs(ids, torch.empty(rows, 0)), labels, None, torch.arange(rows))
    return made.to(device or sizes.device)


def darts_of(
    sizes: Sizes,
    *,
    device: torch.device | None = None,
    precision: str = "float32",
    fused: bool = True,
    compiled: str = "",
) -> Darts:
    """A search after its warm-up, of the same weights on every device."""
    device = device or sizes.device
    net = build_supernet(SearchSpace.load(sizes.space), schema_of(sizes)).train()
    for module in net.modules():
        if isinstance(module, ChoiceBlock | SelfAttention):
            module.fused = fused
    net = net.to(device)
    if compiled:
        compile_how(net, compiled)
    settings = DartsSettings()
    guard = Guard(look_every=10_000)  # a look waits for the device
    where = autocast(precision, device)
    darts = Darts(net, schema_of(sizes), settings, autocast=where, guard=guard)
    darts.begin_epoch(settings.warmup_epochs)
    return darts


def compile_how(net: nn.Module, how: str) -> None:
    """Compile in place, as the program does, or with CUDA graphs."""
    if how == "graphs":
        net.compile(mode="reduce-overhead")
    else:
        compile_net(net)


def mmoe_net(sizes: Sizes) -> MultiTaskNet:
    made = build_model(Architecture.load("mmoe").bind(schema_of(sizes)), schema_of(sizes))
    assert isinstance(made, MultiTaskNet)
    return made.to(sizes.device).train()


def mmoe_step(sizes: Sizes, precision: str = "float32", compiled: str = "") -> Step:
    """Our training step of MMoE."""
    net, tasks = mmoe_net(sizes), schema_of(sizes).tasks
    if compiled:
        compile_how(net, compiled)
    common = {
        "optimizer": make_optimizer(net, OptimizerSettings()),
        "balancer": make_balancer(BalancingSettings(), tasks, net),
        "guard": Guard(look_every=10_000),
        "autocast": autocast(precision, sizes.device),
        "clip_norm": 5.0,
    }
    return lambda _, batch: train_step(net, batch, tasks, **common)


class PlainMMoE(nn.Module):
    """MMoE as its formulas read, of the sizes of our baseline.

    Shape: (B, F) ids -> (B, T) logits.
    """

    def __init__(self, sizes: Sizes, like: MultiTaskNet) -> None:
        super().__init__()
        made = Architecture.load("mmoe")
        dim, width = made.embedding_dim, made.embedding_dim * FIELDS
        widths = [int(block[len("dense(") : -1]) for block in made.experts[0].blocks]
        self.table = nn.Embedding(sizes.ids * FIELDS, dim)
        self.experts = nn.ModuleList(_mlp([width, *widths]) for _ in made.experts)
        self.gates = nn.ModuleList(nn.Linear(width, len(self.experts)) for _ in range(TASKS))
        towers = [widths[-1], *made.towers]
        self.towers = nn.ModuleList(
            nn.Sequential(_mlp(towers), nn.Linear(towers[-1], 1)) for _ in range(TASKS)
        )
        self.register_buffer("starts", torch.arange(FIELDS) * sizes.ids)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids.long() + self.starts).flatten(1)
        outputs = torch.stack([expert(x) for expert in self.experts], 1)  # (B, N, D)
        logits = []
        for gate, tower in zip(self.gates, self.towers, strict=True):
            weights = gate(x).softmax(1).unsqueeze(2)
            logits.append(tower((weights * outputs).sum(1)))
        return torch.cat(logits, 1)


def _mlp(widths: list[int]) -> nn.Sequential:
    layers = [(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairwise(widths)]
    return nn.Sequential(*(layer for group in layers for layer in group))


def plain_step(sizes: Sizes) -> Step:
    """A training step as it is often written: Adam, binary cross-entropy, gradients clipped."""
    net = PlainMMoE(sizes, mmoe_net(sizes)).to(sizes.device).train()
    return _usual(net, lambda batch: net(batch.inputs.ids))


def rechub_step(sizes: Sizes) -> Step:
    """torch-rechub's MMOE, in the same loop."""
    from torch_rechub.basic.features import SparseFeature
    from torch_rechub.models.multi_task import MMOE

    made = Architecture.load("mmoe")
    widths = [int(block[len("dense(") : -1]) for block in made.experts[0].blocks]
    names = [f"f{i}" for i in range(FIELDS)]
    fields = [SparseFeature(n, vocab_size=sizes.ids, embed_dim=made.embedding_dim) for n in names]
    net = MMOE(
        fields,
        ["classification"] * TASKS,
        n_expert=len(made.experts),
        expert_params={"dims": widths, "activation": "relu"},
        tower_params_list=[{"dims": list(made.towers), "activation": "relu"}] * TASKS,
    )
    net = net.to(sizes.device).train()

    def answers(batch: Batch) -> Tensor:
        ids = batch.inputs.ids.long()
        return torch.logit(net({n: ids[:, i] for i, n in enumerate(names)}), 1e-6)

    return _usual(net, answers)


def _usual(net: nn.Module, answers: Callable[[Batch], Tensor]) -> Step:
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def step(_: Batch, batch: Batch) -> None:
        adam.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(answers(batch), batch.labels)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        adam.step()

    return step


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
