"""Whole commands on several workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from automtl.runs import checkpoint
from scripts.small import PAPER, SPACE, flags, write_dataset

PLAIN = ("space.batch_norm=false", "space.dropout=0.0")
ENV = {
    k: v
    for k, v in os.environ.items()
    if not k.startswith(("RANK", "WORLD", "LOCAL_", "TORCHELASTIC"))
}
ENV |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
LONG_S = 900  # on a busy machine


class Folder:
    """A data set and what is made of it."""

    def __init__(self, path: Path, rows: int = 600) -> None:
        self.path = path
        self.data = write_dataset(path / "data", rows=rows, missing=0.5)

    def words(self, command, *given, workers=None, sets=()):
        start = [] if workers is None else ["--workers", str(workers)]
        place = [] if command == "evaluate" else ["--data-dir", str(self.path / "prepared")]
        return ["-m", "automtl", command, *map(str, given), *place, *start, *flags(sets)]

    def run(self, command, *given, workers=None, sets=(), env=None, status=0):
        done = subprocess.run(
            [sys.executable, *self.words(command, *given, workers=workers, sets=sets)],
            cwd=self.path,
            env={**ENV, **(env or {})},
            capture_output=True,
            text=True,
            timeout=LONG_S,
        )
        assert done.returncode == status, done.stderr[-3000:]
        return done

    def search(self, out, *more, workers=None, sets=(), **given):
        small = (
            *SPACE,
            *PAPER,
            "search.batch_size=48",
            "search.epochs=3",
            "search.warmup_epochs=1",
        )
        sets = (*small, *PLAIN, *sets)
        words = (self.data, "--space", "automtl_small", "--out", out, *more)
        return self.run("search", *words, workers=workers, sets=sets, **given)


def begun(process, path, lines):
    """Wait until a file of a running command has so many lines."""
    until = time.monotonic() + LONG_S
    while not path.exists() or len(path.read_bytes().splitlines()) < lines:
        assert process.poll() is None, "it ended before it was to be stopped"
        assert time.monotonic() < until
        time.sleep(0.005)


def worker(process, rank):
    """The process id of a worker that a command started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    children += [c for t in threads for c in (t / "children").read_text().split()]
    for child in children:
        if f"\0RANK={rank}\0".encode() in b"\0" + Path(f"/proc/{child}/environ").read_bytes():
            return int(child)
    raise AssertionError(f"no worker {rank} among {children}")


def awaited(look):
    """What `look` gives, as soon as it raises nothing."""
    until = time.monotonic() + LONG_S
    while True:
        try:
            return look()
        except (AssertionError, FileNotFoundError, ProcessLookupError):
            assert time.monotonic() < until
            time.sleep(0.02)


def stop(folder, words, path, *, lines=1, rank=None, number=signal.SIGTERM):
    """Start a command and send a signal, to one worker or to the command itself, once `path` has so
    many lines; its exit status and what it said.
    """
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder.path, env=ENV, stderr=subprocess.PIPE, text=True
    )
    begun(process, path, lines)
    os.kill(process.pid if rank is None else worker(process, rank), number)
    said = process.communicate(timeout=LONG_S)[1]
    return process.returncode, said


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def net_of(run):
    """The supernet that a search ended with."""
    return checkpoint.load(run / "search" / "checkpoint" / "last.safetensors")["net"]


def farthest(one, other):
    """The largest difference between two states, gates' meters by their means."""

    def plain(state):
        held = {n: v.double() for n, v in state.items() if not n.endswith("num_batches_tracked")}
        for name in [name for name in held if name.endswith(".total")]:
            held[name] = held[name] / held.pop(name.removesuffix("total") + "rows")
        return held

    one, other = plain(one), plain(other)
    assert one.keys() == other.keys()
    return max(float((one[n] - other[n]).abs().max()) for n in one if one[n].numel())


def same_state(one, other):
    """Whether two checkpoints hold the same but for seconds."""
    if isinstance(one, dict):
        names = [n for n in one if "seconds" not in str(n)]
        return one.keys() == other.keys() and all(same_state(one[n], other[n]) for n in names)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_state, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
