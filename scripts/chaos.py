"""Kill commands at random moments, go on with --resume until they end, and compare every bit with a
run that nobody killed.

    python scripts/chaos.py --kills 60

Commands run in forked processes (so that torch is imported once), on a data set of a few hundred
rows. Each run is killed several times, by SIGKILL or SIGTERM, at moments spread evenly over the
time that the whole command takes; then it may end. Compared are all files of the run's folder but
the manifest's dates, seconds and command; of a study's database its trials. Commands on an ended
run are killed too, and then given again. Exit status 1 where anything differs.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import torch
from small import SPACE, flags, write_dataset

from automtl.phases.tune.storage import Storage
from automtl.runs import checkpoint

SMALL = (
    *SPACE,
    "space.dropout=0.1",
    "search.strategy=darts",
    "search.selection=argmax",
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
SEARCH, TUNE = (
    "search DATA --space automtl_small --out OUT",
    "tune DATA --space automtl_small --out OUT",
)


def words(command: str, *sets: str) -> list[str]:
    """A command's words, its settings put behind."""
    return [*command.split(), *flags(sets)]


# name -> the command's words; OUT and DATA are put in
COMMANDS: dict[str, list[str]] = {
    "search darts": words(SEARCH, *SMALL),
    "search second order": words(SEARCH, *SMALL, "search.second_order=true"),
    "search gdas, lazy adam": words(
        SEARCH, *SMALL, "search.strategy=gdas", "search.embedding_optimizer=lazy_adam"
    ),
    "search evolution": words(
        SEARCH, *SMALL, "search.strategy=evolution", "search.population=4", "search.generations=2"
    ),
    "search random": words(SEARCH, *SMALL, "search.strategy=random_search", "search.draws=3"),
    "retrain mmoe, two seeds": words("retrain mmoe --data DATA --out OUT --seeds 0,1", *RETRAIN),
    "retrain single_task": words("retrain single_task --data DATA --out OUT", *RETRAIN),
    "retrain ple, uncertainty": words(
        "retrain ple --data DATA --out OUT", *RETRAIN, "retrain.balancing.method=uncertainty"
    ),
    "tune, hyperband": words(f"{TUNE} --trials 5", *SMALL, "tune.pruner=hyperband"),
    "tune, two seeds": words(f"{TUNE} --trials 3", *SMALL, "tune.seeds=2"),
    "tune, loss and cost": words(f"{TUNE} --trials 3 --objective loss_and_cost", *SMALL),
}
# the same, of a run that RETRAINED has made
RETRAINED = "retrain mmoe, two seeds"
ENDED: dict[str, list[str]] = {
    "evaluate": words("evaluate OUT --bootstrap 200"),
    "predict": words("predict OUT/retrain/mmoe-s0 ROWS -o OUT/predictions.parquet"),
    "export": words("export OUT/retrain/mmoe-s0 --format python -o OUT/served"),
    "report": words("report OUT -o OUT/report.html"),
}
# keys that may differ, and the checksums over them
_PASSING = {
    "seconds",
    "search_seconds",
    "retrain_seconds",
    "start",
    "end",
    "command",
    "resumed",
    "sums",
    "sha256",
}
_PASSING |= {"ended", "test_reads", "exported"}


@dataclass
class Tally:
    """What happened to the runs of one command."""

    runs: int = 0
    kills: dict[str, int] = field(default_factory=lambda: {"SIGKILL": 0, "SIGTERM": 0})
    kept: int = 0  # SIGTERMs that the command took as its own, with exit status 143
    lost: int = 0
    doubled: int = 0
    differing: list[str] = field(default_factory=list)


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
    made = list((COMMANDS | ENDED)[name])
    for word, path in {"OUT": out, "DATA": data, "ROWS": data.with_name("rows.csv")}.items():
        made = [part.replace(word, str(path)) if part.startswith(word) else part for part in made]
    again = ["--resume"] if name in COMMANDS and out.exists() else []
    process = multiprocessing.get_context("fork").Process(target=run, args=([*made, *again], log))
    process.start()
    return process


def finish(name: str, out: Path, data: Path, log: Path) -> None:
    """Run a command to its end; an export that is there is whole, and not made again."""
    if (out / "served").exists():
        return
    process = start(name, out, data, log)
    process.join()
    if process.exitcode:
        raise SystemExit(f"{name} in {out} ends with {process.exitcode}: {log.read_text()[-2000:]}")


def plain(value: Any, path: str = "") -> dict[str, Any]:
    """Nested values by their paths, without what may differ."""
    if isinstance(value, dict):
        return {
            k: v
            for key, item in value.items()
            if key not in _PASSING
            for k, v in plain(item, f"{path}.{key}").items()
        }
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in plain(item, f"{path}.{i}").items()}
    return {path: value.numpy().tobytes() if isinstance(value, torch.Tensor) else value}


def content(path: Path) -> Any:
    """What of a file must be equal."""
    # an export's weights are bytes like any other
    if path.suffix == ".safetensors" and path.parent.name == "checkpoint":
        return plain(checkpoint.load(path))
    if path.suffix == ".db":
        return plain(trials(path))
    # an export tells its date, a report the command to go on with and so its folder
    if path.name in ("README.md", "report.html"):
        return [
            line
            for line in path.read_text().splitlines()
            if "exported" not in line and 'class="command"' not in line
        ]
    return plain(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()


def trials(path: Path) -> list[dict[str, Any]]:
    """All that a study's database tells of its trials but their dates."""
    held = optuna.storages.RDBStorage(f"sqlite:///{path}")
    found = optuna.load_study(study_name=Storage().name, storage=held).trials
    held.engine.dispose()
    return [
        {
            "number": t.number,
            "state": t.state.name,
            "values": t.values,
            "params": t.params,
            "attrs": t.user_attrs,
            "hidden": t.system_attrs,
        }
        | {"steps": [list(pair) for pair in sorted(t.intermediate_values.items())]}
        for t in found
    ]


def files_of(folder: Path) -> dict[str, Path]:
    """Files by their names below a run's folder; of two checkpoints in a row only the last, of a
    pruned phase none.
    """
    found = {
        str(p.relative_to(folder)): p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not hidden(p.relative_to(folder))
    }
    pruned = {
        p.parent
        for p in folder.rglob("manifest.json")
        if json.loads(p.read_text()).get("state") == "failed"
    }
    return {
        name: p
        for name, p in found.items()
        if not (p.parent.name == "checkpoint" and p.parent.parent in pruned)
    }


def hidden(path: Path) -> bool:
    """Whether a file is none of the results: locks, what a killed process was writing, the
    checkpoint before the last.
    """
    return path.name in (".lock", "previous.safetensors") or any(
        part.startswith(".") and part.endswith(".tmp") for part in path.parts
    )


def epochs_of(path: Path) -> list[str]:
    """What tells the lines of a metrics.jsonl apart."""
    return [
        json.dumps([line["epoch"], line.get("part")])
        for line in map(json.loads, path.read_text().splitlines())
    ]


def compare(reference: Path, killed: Path, tally: Tally) -> None:
    """Count lost and doubled lines, and name what differs."""
    mine, theirs = files_of(reference), files_of(killed)
    tally.differing += [
        f"{tally.runs}: {name} is in one of them only" for name in sorted(set(mine) ^ set(theirs))
    ]
    for name in sorted(set(mine) & set(theirs)):
        if name.endswith("metrics.jsonl"):
            whole, killed_too = epochs_of(mine[name]), epochs_of(theirs[name])
            tally.lost += len(set(whole) - set(killed_too))
            tally.doubled += len(killed_too) - len(set(killed_too))
        left, right = content(mine[name]), content(theirs[name])
        if left != right:
            tally.differing.append(f"{tally.runs}: {name}{where(left, right)}")


def where(left: Any, right: Any) -> str:
    """The first places in which two contents differ, where they have names."""
    if not isinstance(left, dict):
        return ""
    keys = [
        key
        for key in sorted(set(left) | set(right))
        if key not in left or key not in right or left[key] != right[key]
    ]
    return f" at {', '.join(keys[:5])} ({len(keys)} in all)"


def torment(name: str, kills: int, *, folder: Path, data: Path, rng: random.Random) -> Tally:
    """Run a command once in peace, then again and again under kills until so many were dealt, each
    run to its end.
    """
    tally, reference, log = Tally(), folder / "reference" / "run", folder / "log"
    base = folder / "base" / "run"
    if name in ENDED:
        finish(RETRAINED, base, data, log)
        shutil.copytree(base, reference)
    begun = time.monotonic()
    finish(name, reference, data, log)
    usual = time.monotonic() - begun
    while sum(tally.kills.values()) < kills:
        out = folder / str(tally.runs) / "run"
        if name in ENDED:
            shutil.copytree(base, out)
        for _ in range(rng.randint(1, 4)):
            if (out / "served").exists():
                break
            process = start(name, out, data, log)
            process.join(rng.uniform(0.02, usual))
            if not process.is_alive():
                break
            number = rng.choice((signal.SIGKILL, signal.SIGTERM))
            os.kill(process.pid, number)
            process.join()
            tally.kills[number.name] += 1
            tally.kept += process.exitcode == 143
            if process.exitcode not in (-number, 143, 0):
                tally.differing.append(
                    f"{tally.runs}: exit status {process.exitcode} after {number.name}"
                )
        finish(name, out, data, log)
        compare(reference, out, tally)
        tally.runs += 1
    return tally


def main() -> int:
    """Print the table; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=60, help="in all, shared among the commands")
    parser.add_argument(
        "--commands",
        nargs="+",
        choices=[*COMMANDS, *ENDED],
        default=[*COMMANDS, *ENDED],
        metavar="NAME",
    )
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng, found = random.Random(asked.seed), {}
    print(
        "| command | runs | SIGKILL | SIGTERM | of these exit 143 | lost epochs | doubled lines "
        "| differing |"
    )
    print("|---" * 8 + "|", flush=True)
    with tempfile.TemporaryDirectory() as made:
        os.environ["AUTOMTL_DATA_DIR"] = str(Path(made) / "cache")
        data = write_dataset(Path(made) / "data", rows=400)
        for place, name in enumerate(asked.commands):
            folder = Path(made) / name.replace(" ", "_")
            folder.mkdir()
            share = asked.kills * (place + 1) // len(asked.commands) - asked.kills * place // len(
                asked.commands
            )
            t = found[name] = torment(name, share, folder=folder, data=data, rng=rng)
            cells = (
                name,
                t.runs,
                t.kills["SIGKILL"],
                t.kills["SIGTERM"],
                t.kept,
                t.lost,
                t.doubled,
                len(t.differing),
            )
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
    wrong = [f"{name}: {line}" for name, t in found.items() for line in t.differing]
    print("\n".join(wrong) or "every run ended in the bits of its reference")
    return 1 if wrong or any(t.lost or t.doubled for t in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
