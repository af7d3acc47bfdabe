"""The search step (alpha + weights) in variants against the first of them: interleaved, medians of
the ratios; a table, also as JSON.

    python scripts/bench_search_step.py [--compare forms | nested | tasks | vocabulary | sampled | ...] [--rounds 5]
    python scripts/bench_search_step.py [--threads N] [--batch 2048] [--variants plain fused fused-bf16 ...] [--json FILE]

Each variant lives in a process of its own, so that allocator settings and peak memory are its own;
in each round every variant takes one step in turn, so a busy machine slows all of them.
"straightforward" is the step as the formulas read, in float32 with the allocator as the system has
it: candidate by candidate, attention by torch's function, and an alpha step whose backward pass
makes every gradient, the weights' to be thrown away. "plain" is that without the weights' gradients
in the alpha step; "fused" makes none of them either; "-keep" is a variant with freed memory kept
(the program's default), "-bf16" under bfloat16 autocast, "-nested" with nested widths, "-t8" with 8
tasks, "-rows1e7" with tables of 1e7 rows in all, "-lazy" with lazy Adam for the tables. "gdas" and
"evolution" are steps of those strategies, which compute one candidate a block: evolution's has no
alpha half, so it is compared with the weight half of the mixture ("plain-weights"). Every step
reads fresh rows, drawn evenly. On a processor without bfloat16 in hardware its variants are left
out, which is said; --variants takes them all the same.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from automtl.data.store.batches import Batch, Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.files import write_json
from automtl.layers.choice_block import ChoiceBlock
from automtl.layers.interaction import SelfAttention
from automtl.layers.normalization import frozen_statistics
from automtl.models.supernet import Supernet, build_supernet
from automtl.phases.run.device import Autocast, autocast, fast_bfloat16, set_allocator
from automtl.spaces.architecture import Sharing
from automtl.spaces.space import SearchSpace
from automtl.strategies._evolution import SinglePath
from automtl.strategies._sampled import Sampled
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.strategies.encoding import SpaceEncoding
from automtl.training.losses import multi_task_loss

VARIANTS = (
    "straightforward",
    "plain",
    "plain-keep",
    "plain-keep-bf16",
    "fused",
    "fused-keep",
    "fused-keep-recompute",
    "fused-keep-bf16",
)
COMPARISONS = {
    "forms": VARIANTS,
    "nested": ("fused-keep", "fused-keep-nested"),
    "nested-bf16": ("fused-keep-bf16", "fused-keep-bf16-nested"),
    "tasks": ("fused-keep-t2", "fused-keep-t8"),
    "vocabulary": ("fused-keep-rows1e4", "fused-keep-rows1e7"),
    "vocabulary-lazy": ("fused-keep-lazy-rows1e4", "fused-keep-lazy-rows1e7"),
    "sampled": ("plain", "gdas", "fused-keep"),
    "sampled-weights": ("plain-weights", "evolution"),
}
# times the first variant of their comparison, issue B
NEEDED = {
    "fused-keep": 1.8,
    "fused-keep-bf16": 3.3,
    "fused-keep-nested": 1.3,
    "fused-keep-bf16-nested": 1.3,
}
NEEDED |= {"fused-keep-rows1e7": 1 / 1.3, "fused-keep-lazy-rows1e7": 1 / 1.3}
NEEDED |= {"gdas": 6.0, "evolution": 6.0}  # issue G
MEMORY = 0.6  # of the first variant


class Straightforward(Darts):
    """First-order DARTS as it is often written: the alpha step's backward pass reaches all
    parameters.
    """

    def _alpha_step(self, batch: Batch) -> None:
        self._catch_up(batch)
        with frozen_statistics(self.net):
            outputs = self.net(batch.inputs)
            losses = multi_task_loss(self.schema.tasks, outputs, batch.labels, batch.weights)
            self.alpha_loss(losses, batch).backward()
        self._alpha_adam.step()
        self._alpha_adam.zero_grad()
        self._forget()


def schema_of(options: argparse.Namespace) -> Schema:
    fields = tuple(
        Field(name=f"f{i}", kind="categorical", vocabulary_size=options.vocabulary)
        for i in range(options.fields)
    )
    return Schema(
        name="bench",
        fields=fields,
        tasks=tuple(Task(name=f"t{i}", kind="binary") for i in range(options.tasks)),
    )


def batch_of(options: argparse.Namespace, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(
        options.vocabulary, (options.batch, options.fields), generator=generator, dtype=torch.int32
    )
    labels = torch.randint(2, (options.batch, options.tasks), generator=generator).float()
    return Batch(
        Inputs(ids, torch.empty(options.batch, 0)), labels, None, torch.arange(options.batch)
    )


def in_words(options: argparse.Namespace, words: list[str]) -> argparse.Namespace:
    """The options as a variant's words change them."""
    changed = argparse.Namespace(**vars(options))
    for word in words:
        if word[:1] == "t" and word[1:].isdigit():
            changed.tasks = int(word[1:])
        if word.startswith("rows"):
            changed.vocabulary = round(float(word.removeprefix("rows")) / options.fields)
    return changed


def supernet_of(options: argparse.Namespace, words: list[str]) -> Supernet:
    changes = {
        "num_experts": options.experts,
        "num_blocks": options.blocks,
        "expert_dim": options.width,
    }
    changes["widths"] = "nested" if "nested" in words else ""
    space = SearchSpace.load(options.space).model_copy(
        update={name: value for name, value in changes.items() if value}
    )
    net = build_supernet(space, schema_of(options)).train()
    for module in net.modules():
        if isinstance(module, ChoiceBlock | SelfAttention):
            module.fused = "fused" in words
        if isinstance(module, ChoiceBlock):
            module.recompute = "recompute" in words
    return net


def memory(key: str) -> float:
    """A line of this process's status in MB: VmRSS now, VmHWM at the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def _strategy(
    net: Supernet, schema: Schema, settings: DartsSettings, words: list[str], precision: Autocast
) -> Darts:
    """What takes the steps: a strategy by its name among the words, else the mixture."""
    generator = torch.Generator().manual_seed(0)
    if "gdas" in words:
        heat = {"temperature": 5.0, "final_temperature": 0.5}
        return Sampled(
            net, schema, settings, hard=True, generator=generator, autocast=precision, **heat
        )
    if "evolution" in words:
        encoding = SpaceEncoding(net.space, schema, Sharing())
        return SinglePath(
            net, schema, settings, encoding=encoding, generator=generator, autocast=precision
        )
    return (Straightforward if "straightforward" in words else Darts)(
        net, schema, settings, autocast=precision
    )


def stepper(options: argparse.Namespace, variant: str) -> Callable[[], float]:
    """One search step, timed in seconds."""
    words = variant.split("-")
    options = in_words(options, words)
    net = supernet_of(options, words)
    precision = autocast("bfloat16" if "bf16" in words else "float32", torch.device("cpu"))
    settings = DartsSettings(embedding_optimizer="lazy_adam" if "lazy" in words else "sgd")
    darts = _strategy(net, schema_of(options), settings, words, precision)
    darts.begin_epoch(settings.warmup_epochs)
    take: Callable[[Batch, Batch], Any] = (
        (lambda _, fit: darts._weight_step(fit)) if "weights" in words else darts.step
    )
    seeds = itertools.count()
    clock = time.process_time if options.cpu_time else time.perf_counter

    def step() -> float:
        batches = [batch_of(options, next(seeds)) for _ in range(2)]
        start = clock()
        take(*batches)
        return clock() - start

    return step


def child(options: argparse.Namespace, variant: str) -> None:
    """Take a step per line of input; print its seconds and the peak memory above the idle network's
    in MB.
    """
    set_allocator("keep" if "keep" in variant.split("-") else "default")
    step = stepper(options, variant)
    idle = memory("VmRSS")
    for _ in sys.stdin:
        print(step(), memory("VmHWM") - idle, flush=True)


def start(arguments: list[str], variant: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, *arguments, "--child", variant]
    # the package this one found
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def one_step(process: subprocess.Popen[str]) -> tuple[float, float]:
    assert process.stdin
    assert process.stdout
    print(file=process.stdin, flush=True)
    answer = process.stdout.readline().split()
    if not answer:
        raise SystemExit("a variant's process ended early; its error is above")
    return float(answer[0]), float(answer[1])


def measure(arguments: list[str], variants: list[str], rounds: int) -> list[dict[str, Any]]:
    processes = {variant: start(arguments, variant) for variant in variants}
    found: dict[str, list[tuple[float, float]]] = {variant: [] for variant in variants}
    for _ in range(rounds + 1):
        for variant, process in processes.items():
            found[variant].append(one_step(process))
    for process in processes.values():
        process.communicate()
    reference = found[variants[0]][1:]  # the first step warms up
    return [
        {
            "variant": variant,
            "step_s": statistics.median(seconds for seconds, _ in steps[1:]),
            "ratio": statistics.median(
                r[0] / s[0] for r, s in zip(reference, steps[1:], strict=True)
            ),
            "ratios": [r[0] / s[0] for r, s in zip(reference, steps[1:], strict=True)],
            "peak_mb": steps[-1][1],
            "memory_ratio": steps[-1][1] / reference[-1][1],
            "needed": None if variant == variants[0] else NEEDED.get(variant),
        }
        for variant, steps in found.items()
    ]


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="automtl", help="search space: name or file")
    parser.add_argument(
        "--compare",
        choices=list(COMPARISONS),
        default="forms",
        help="which variants, where --variants names none",
    )
    parser.add_argument("--variants", nargs="+", metavar="VARIANT", help="ratios are to the first")
    parser.add_argument(
        "--rounds", type=int, default=5, help="steps of each variant; medians are over these"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=2048, help="rows per batch")
    parser.add_argument("--fields", type=int, default=7, help="categorical fields")
    parser.add_argument("--vocabulary", type=int, default=1000, help="ids per field")
    parser.add_argument("--tasks", type=int, default=2)
    for name in ("experts", "blocks", "width"):
        parser.add_argument(f"--{name}", type=int, default=0, help="instead of the space's")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count processor time, for a machine that others use; take --threads 1",
    )
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def compared(name: str) -> list[str]:
    """The variants of a comparison, without bfloat16 where the processor emulates it: a step takes
    so long that the bench seems to hang.
    """
    low = [
        variant
        for variant in COMPARISONS[name]
        if "bf16" in variant and not fast_bfloat16(torch.device("cpu"))
    ]
    if low:
        print(
            f"left out: {', '.join(low)}: this processor has no bfloat16 in hardware; name them "
            "in --variants to wait for them"
        )
    if left := [variant for variant in COMPARISONS[name] if variant not in low]:
        return left
    raise SystemExit("nothing is left to compare")


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = options_of(arguments)
    torch.set_num_threads(options.threads)
    if options.child:
        child(options, options.child)
        return
    results = measure(arguments, options.variants or compared(options.compare), options.rounds)
    print(
        f"{'variant':24} {'step s':>8} {'ratio':>6} {'range':>11} {'needed':>6} {'peak MB':>8} "
        f"{'of it':>5}"
    )
    for r in results:
        spread, needed = (
            f"{min(r['ratios']):.2f}-{max(r['ratios']):.2f}",
            "" if r["needed"] is None else f"{r['needed']:.2g}",
        )
        memory_part = f"{r['peak_mb']:8.0f} {r['memory_ratio']:5.2f}"
        print(
            f"{r['variant']:24} {r['step_s']:8.3f} {r['ratio']:6.2f} {spread:>11} {needed:>6} "
            f"{memory_part}"
        )
    if options.json:
        shape = {
            name: value for name, value in vars(options).items() if name not in ("json", "child")
        }
        write_json(
            options.json,
            {**shape, "torch": torch.__version__, "memory_needed": MEMORY, "results": results},
        )


if __name__ == "__main__":
    main()
