"""Kill commands at random moments, go on with --resume until they end, and compare every bit with a run that nobody killed.

    python scripts/chaos.py --kills 60

Commands run in forked processes (so that torch is imported once), on a data set of a few hundred rows. Each run is killed several times,
by SIGKILL or SIGTERM, at moments spread evenly over the time that the whole command takes; then it may end. Compared are all files of the
run's folder but the manifest's dates, seconds and command. Exit status 1 where anything differs.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from automtl.runs import checkpoint


def words(command: str, *sets: str) -> list[str]:
    """A command's words, its settings put behind."""
    return [*command.split(), *(word for item in sets for word in ("--set", item))]


SMALL = (
    "space.expert=[mlp(4), conv1d(3), skip]",
    "space.interaction=[cross(1), skip]",
    "space.num_experts=3",
    "space.expert_dim=8",
    "space.embedding_dim=4",
    "space.towers=[8]",
    "space.dropout=0.1",
    "search.batch_size=64",
    "search.epochs=4",
    "search.warmup_epochs=1",
    "search.score_rows=64",
    "retrain.batch_size=64",
    "retrain.epochs=5",
    "runtime.checkpoint_every_steps=3",
    "runtime.threads=1",
)
RETRAIN = tuple(item for item in SMALL if item.startswith(("retrain.", "runtime.")))
# name -> the command's words; OUT and DATA are put in
SEARCH = "search DATA --space automtl_small --out OUT"
COMMANDS: dict[str, list[str]] = {
    "search darts": words(SEARCH, *SMALL),
    "search second order": words(SEARCH, *SMALL, "search.second_order=true"),
    "search gdas, lazy adam": words(SEARCH, *SMALL, "search.strategy=gdas", "search.embedding_optimizer=lazy_adam"),
    "search evolution": words(SEARCH, *SMALL, "search.strategy=evolution", "search.population=4", "search.generations=2"),
    "search random": words(SEARCH, *SMALL, "search.strategy=random_search", "search.draws=3"),
    "retrain mmoe, two seeds": words("retrain mmoe --data DATA --out OUT --seeds 0,1", *RETRAIN),
    "retrain single_task": words("retrain single_task --data DATA --out OUT", *RETRAIN),
    "retrain ple, uncertainty": words("retrain ple --data DATA --out OUT", *RETRAIN, "retrain.balancing.method=uncertainty"),
}
_PASSING = {"seconds", "start", "end", "command", "resumed", "sums", "sha256"}  # keys that may differ, and the checksums over them


@dataclass
class Tally:
    """What happened to the runs of one command."""

    runs: int = 0
    kills: dict[str, int] = field(default_factory=lambda: {"SIGKILL": 0, "SIGTERM": 0})
    kept: int = 0  # SIGTERMs that the command took as its own, with exit status 143
    lost: int = 0
    doubled: int = 0
    differing: list[str] = field(default_factory=list)


def write_data(folder: Path, rows: int = 400) -> Path:
    """A CSV with two tasks and its YAML; the YAML's path."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    user, item, price = rng.integers(0, 20, rows), rng.integers(0, 15, rows), rng.normal(size=rows)
    click = rng.random(rows) < 1 / (1 + np.exp(-(0.3 * (user - 10) + price)))
    buy = rng.random(rows) < 1 / (1 + np.exp(-(0.4 * (item - 7) - price)))
    frame = pd.DataFrame({"user": user, "item": item, "price": price, "click": click.astype(int), "buy": buy.astype(int)})
    frame.to_csv(folder / "rows.csv", index=False)
    path = folder / "tiny.yaml"
    path.write_text(
        "name: tiny\nfiles: {train: rows.csv}\nfeatures:\n  - {name: user, kind: categorical}\n  - {name: item, kind: categorical}\n"
        "  - {name: price, kind: numeric}\ntasks:\n  - {name: click, label: click}\n  - {name: buy, label: buy}\n"
        "split: {kind: random, train: 0.7, validation: 0.1, test: 0.2}\n"
    )
    return path


def run(command: list[str], log: Path) -> None:
    """A command in this process, its output in a file."""
    from automtl.cli.main import main

    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.argv = ["automtl", *command]
    main()


def start(name: str, out: Path, data: Path, log: Path) -> Any:
    """A process of a command that begins, or goes on where its folder is there."""
    made = [{"OUT": str(out), "DATA": str(data)}.get(word, word) for word in COMMANDS[name]]
    process = multiprocessing.get_context("fork").Process(target=run, args=([*made, *(["--resume"] if out.exists() else [])], log))
    process.start()
    return process


def plain(value: Any, path: str = "") -> dict[str, Any]:
    """Nested values by their paths, without what may differ."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() if key not in _PASSING for k, v in plain(item, f"{path}.{key}").items()}
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in plain(item, f"{path}.{i}").items()}
    return {path: value.numpy().tobytes() if isinstance(value, torch.Tensor) else value}


def content(path: Path) -> Any:
    """What of a file must be equal."""
    if path.suffix == ".safetensors":
        return plain(checkpoint.load(path))
    return plain(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()


def files_of(folder: Path) -> dict[str, Path]:
    """Files by their names below a run's folder; of two checkpoints in a row only the last."""
    left_out = (".lock", "previous.safetensors")
    return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in left_out}


def epochs_of(path: Path) -> list[str]:
    """What tells the lines of a metrics.jsonl apart."""
    return [json.dumps([line["epoch"], line.get("part")]) for line in map(json.loads, path.read_text().splitlines())]


def compare(reference: Path, killed: Path, tally: Tally) -> None:
    """Count lost and doubled lines, and name what differs."""
    mine, theirs = files_of(reference), files_of(killed)
    tally.differing += [f"{killed.name}: {name} is in one of them only" for name in sorted(set(mine) ^ set(theirs))]
    for name in sorted(set(mine) & set(theirs)):
        if name.endswith("metrics.jsonl"):
            whole, killed_too = epochs_of(mine[name]), epochs_of(theirs[name])
            tally.lost += len(set(whole) - set(killed_too))
            tally.doubled += len(killed_too) - len(set(killed_too))
        if content(mine[name]) != content(theirs[name]):
            tally.differing.append(f"{killed.name}: {name}")


def torment(name: str, kills: int, *, folder: Path, data: Path, rng: random.Random) -> Tally:
    """Run a command once in peace, then again and again under kills until so many were dealt, each run to its end."""
    tally, reference = Tally(), folder / "reference"
    begun = time.monotonic()
    process = start(name, reference, data, folder / "log")
    process.join()
    if process.exitcode:
        raise SystemExit(f"{name} does not run in peace: {(folder / 'log').read_text()[-2000:]}")
    usual = time.monotonic() - begun
    while sum(tally.kills.values()) < kills:
        out = folder / f"run{tally.runs}"
        for _ in range(rng.randint(1, 4)):
            process = start(name, out, data, folder / "log")
            process.join(rng.uniform(0.02, usual))
            if not process.is_alive():
                break
            number = rng.choice((signal.SIGKILL, signal.SIGTERM))
            os.kill(process.pid, number)
            process.join()
            tally.kills[number.name] += 1
            tally.kept += process.exitcode == 143
            if process.exitcode not in (-number, 143, 0):
                tally.differing.append(f"{out.name}: exit status {process.exitcode} after {number.name}")
        process = start(name, out, data, folder / "log")
        process.join()
        tally.runs += 1
        if process.exitcode:
            raise SystemExit(f"{name} cannot be resumed in {out}: {(folder / 'log').read_text()[-2000:]}")
        compare(reference, out, tally)
    return tally


def main() -> int:
    """Print the table; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=60, help="in all, shared among the commands")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng, found = random.Random(asked.seed), {}
    with tempfile.TemporaryDirectory() as made:
        os.environ["AUTOMTL_DATA_DIR"] = str(Path(made) / "cache")
        data = write_data(Path(made) / "data")
        for place, name in enumerate(asked.commands):
            folder = Path(made) / name.replace(" ", "_")
            folder.mkdir()
            share = asked.kills * (place + 1) // len(asked.commands) - asked.kills * place // len(asked.commands)
            found[name] = torment(name, share, folder=folder, data=data, rng=rng)
    print("| command | runs | SIGKILL | SIGTERM | of these exit 143 | lost epochs | doubled lines | differing |")
    print("|---" * 8 + "|")
    for name, t in found.items():
        cells = (name, t.runs, t.kills["SIGKILL"], t.kills["SIGTERM"], t.kept, t.lost, t.doubled, len(t.differing))
        print(f"| {' | '.join(map(str, cells))} |")
    wrong = [f"{name}: {line}" for name, t in found.items() for line in t.differing]
    print("\n".join(wrong) or "every run ended in the bits of its reference")
    return 1 if wrong or any(t.lost or t.doubled for t in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
