"""Search for half an hour in one process, and see whether memory, open files, threads or
checkpoints pile up.

    python scripts/soak.py --minutes 30

One search that ends by its time limit; it keeps a checkpoint every few steps. After each of its
epochs a hand-made model is trained for an epoch, evaluated on the test rows and thrown away, in the
same process and by the package's own phases. A line is fitted to what is sampled between two steps
of the search once the warm-up is over. Exit status 1 where a slope exceeds its limit by more than
two standard errors. Reads /proc and asks glibc, so it needs Linux. What is leaked shows in the heap
in use; before resident memory is read, freed pages are handed back to the kernel, as a phase does
once a minute.
"""

import argparse
import ctypes
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from small import SPACE, write_dataset

from automtl.config import resolve
from automtl.phases.finished.evaluate import evaluate_runs
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run.device import Trimmer
from automtl.phases.run.reporter import Silent
from automtl.phases.search import search
from automtl.training.loop import StepEvent

WARM_UP, BLOCKS = 0.25, 24  # share of the time that is left out of the fit; means that are fitted
# per hour
LIMITS = {"heap_mb": 10.0, "rss_mb": 20.0, "files": 1.0, "threads": 1.0, "checkpoints": 1.0}


@dataclass(frozen=True)
class Sample:
    """The process between two steps."""

    seconds: float
    heap_mb: float  # handed out by malloc and not given back
    rss_mb: float  # resident
    peak_mb: float  # of resident memory, since the process began
    files: int  # open
    threads: int
    checkpoints: int  # files
    folder_mb: float  # of the run
    epochs: int  # of the search
    steps: int


def kilobytes(path: str) -> dict[str, int]:
    """The "Name:  12 kB" lines of a file of /proc, and whatever else has the form of a name
    and a number.
    """
    words = [line.split() for line in Path(path).read_text().splitlines()]
    return {
        found[0].rstrip(":"): int(found[1])
        for found in words
        if len(found) > 1 and found[1].isdigit()
    }


class _Mallinfo(ctypes.Structure):
    """glibc's struct mallinfo2 (malloc.h); uordblks: bytes in use, of all arenas."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd "
        "usmblks fsmblks uordblks fordblks keepcost".split()
    )


def heap_in_use() -> int:
    """Bytes that malloc has handed out."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Mallinfo
    found = ask()
    return int(found.uordblks + found.hblkhd)


class Watcher(Silent):
    """A reporter of the search that samples every few seconds, and trains and evaluates a model
    after each epoch.
    """

    def __init__(self, run: Path, data: Path, config: Any, every_s: float) -> None:
        self.run, self.data, self.config, self.every_s = run, data, config, every_s
        self.samples: list[Sample] = []
        self._start = self._at = time.monotonic()
        self._epochs = self._steps = 0

    def step(self, event: StepEvent, epochs: int) -> None:
        self._steps += 1
        if time.monotonic() - self._at >= self.every_s:
            self._at = time.monotonic()
            self.samples.append(self._sample())

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """Train, evaluate and throw away another model while the search waits."""
        self._epochs += 1
        out = self.run.with_name("other")
        settings = ("retrain.epochs=1", f"retrain.batch_size={self.config.search.batch_size}")
        asked = {
            "sharing": None,
            "config_file": None,
            "sets": settings,
            "flags": {"runtime": {"threads": 1}},
        }
        plan = plan_retrain("mmoe", data=str(self.data), out=out, **asked)
        retrain(plan.architecture, plan.config, run=plan.run, label=plan.label)
        evaluate_runs([out])
        shutil.rmtree(out)

    def _sample(self) -> Sample:
        Trimmer(every_s=0)()  # so that what is resident is held
        status = kilobytes("/proc/self/status")
        there = [path for path in self.run.rglob("*") if path.is_file()]
        return Sample(
            seconds=self._at - self._start,
            heap_mb=heap_in_use() / 2**20,
            rss_mb=status["VmRSS"] / 1024,
            peak_mb=status["VmHWM"] / 1024,
            files=len(list(Path("/proc/self/fd").iterdir())) - 1,  # but the one that lists them
            threads=status["Threads"],
            checkpoints=sum(path.suffix == ".safetensors" for path in there),
            folder_mb=sum(path.stat().st_size for path in there) / 2**20,
            epochs=self._epochs,
            steps=self._steps,
        )


def soak(
    folder: Path,
    *,
    seconds: float,
    every_s: float,
    rows: int,
    batch_size: int = 256,
    epochs: int = 100_000,
) -> list[Sample]:
    """Search for so long, or so many epochs; what was sampled meanwhile."""
    os.environ["AUTOMTL_DATA_DIR"] = str(folder / "cache")
    data = write_dataset(folder / "data", rows=rows)
    settings = (
        *SPACE,
        "search.strategy=darts",
        "search.selection=argmax",
        f"search.batch_size={batch_size}",
        f"search.epochs={epochs}",
        "search.warmup_epochs=1",
    )
    runtime = {"threads": 1, "time_limit_s": seconds, "checkpoint_every_steps": 20}
    config = resolve(
        source=str(data), space="automtl_small", sets=settings, flags={"runtime": runtime}
    )
    watcher = Watcher(folder / "run", data, config, every_s)
    search(config, out=watcher.run, reporter=watcher)
    return watcher.samples


def trend(seconds: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Slope per hour by least squares over the means of blocks in time, since samples that follow
    each other are alike; its error.
    """
    cuts = np.array_split(np.arange(len(values)), min(BLOCKS, len(values)))
    x, y = (
        np.array([np.mean(np.asarray(column)[cut]) for cut in cuts]) for column in (seconds, values)
    )
    x = (x - x.mean()) / 3600
    slope = (x @ y) / (x @ x)
    rest = y - y.mean() - slope * x
    return float(slope), float(np.sqrt(rest @ rest / (len(x) - 2) / (x @ x)))


def judge(
    samples: Sequence[Sample], limits: Mapping[str, float]
) -> dict[str, dict[str, float | bool]]:
    """Per figure: first and last after the warm-up, slope per hour, its standard error, and whether
    it stays within its limit.
    """
    later = [s for s in samples if s.seconds >= WARM_UP * samples[-1].seconds]
    if len(later) < 4:
        raise SystemExit(
            f"{len(later)} samples after the warm-up are too few for a line: soak longer, or "
            "sample more often"
        )
    found = {}
    for name in (*LIMITS, "folder_mb"):
        values = [float(getattr(sample, name)) for sample in later]
        slope, error = trend([sample.seconds for sample in later], values)
        figures = {"first": values[0], "last": values[-1], "per_hour": slope, "error": error}
        found[name] = {**figures, "holds": slope - 2 * error <= limits.get(name, float("inf"))}
    return found


def main() -> int:
    """Print the table; 1 where something piles up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--every", type=float, default=2, metavar="SECONDS", help="between two samples"
    )
    parser.add_argument("--rows", type=int, default=20_000, help="of the data set")
    parser.add_argument(
        "--limit-mb",
        type=float,
        default=LIMITS["rss_mb"],
        help="what resident memory may grow by per hour; the heap half of it",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write samples and figures there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        samples = soak(Path(made), seconds=60 * asked.minutes, every_s=asked.every, rows=asked.rows)
    found = judge(samples, LIMITS | {"heap_mb": asked.limit_mb / 2, "rss_mb": asked.limit_mb})
    last = samples[-1]
    print(
        f"{last.seconds / 60:.1f} minutes, {last.steps} steps, {last.epochs} epochs with as "
        "many models trained and evaluated beside"
    )
    print(
        f"peak of resident memory {last.peak_mb:.1f} MB; {len(samples)} samples, the first "
        f"{WARM_UP:.0%} of the time left out"
    )
    print(
        "| | after warm-up | at the end | slope per hour | standard error | within limit |\n"
        + "|---" * 6
        + "|"
    )
    for name, f in found.items():
        figures = " | ".join(f"{f[key]:.2f}" for key in ("first", "last", "per_hour", "error"))
        print(f"| {name} | {figures} | {'yes' if f['holds'] else 'NO'} |")
    if asked.json is not None:
        asked.json.write_text(
            json.dumps({"figures": found, "samples": [asdict(sample) for sample in samples]})
        )
    return 0 if all(f["holds"] for f in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
