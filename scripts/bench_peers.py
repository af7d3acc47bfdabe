"""automtl beside torch-rechub and DeepCTR-Torch: the same models on the same rows, taking turns; a
table, and JSON with --json FILE.

    python scripts/bench_peers.py step  [--model mmoe | ple] [--shape aliexpress | aliexpress64 | census] [--rounds 7]
    python scripts/bench_peers.py feed  [--shape ...]          # a shuffled epoch of batches, nothing trained
    python scripts/bench_peers.py epoch [--rows 40000]         # one epoch as each trains it: loading, steps, evaluation with AUC
    python scripts/bench_peers.py auc --shape census --data-dir data [--seeds 0,1] [--epochs 2]

The peers live in a venv of their own, .venv-peers, made on first use. Equal work: fields, numeric
columns (one Linear to a field of their own), experts, bias-free gates, towers, batch norm, dropout,
binary cross-entropy, Adam at one rate and no decay; parameters are counted on all sides and
printed; "-small" also starts embeddings as the peers do. Steps are of each one's own trainer on
ready batches (automtl: from its mapped store). The ratio is the peer's seconds over automtl's in
float32, each round by itself; medians over rounds.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from turns import Done, Turns, say

import automtl
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.data.store.batches import Batches
from automtl.files import write_json
from automtl.models.derived import build_model
from automtl.phases.finished.evaluate import evaluate_runs, summary
from automtl.phases.run.device import fast_bfloat16
from automtl.phases.run.reporter import Silent
from automtl.phases.run.session import Session
from automtl.spaces.architecture import Architecture
from automtl.training.loop import StepEvent
from automtl.training.metrics.auc import auc

ROOT = Path(__file__).resolve().parent.parent
PEERS = {"rechub": "torch-rechub==0.9.0", "deepctr": "deepctr-torch==0.3.0"}
# emulated, a step takes so long that the bench seems to hang
LOW = ("automtl-bfloat16",) if fast_bfloat16(torch.device("cpu")) else ()
SIDES = {
    "step": ("automtl-float32", *LOW, "rechub", "deepctr"),
    "epoch": ("automtl-float32", *LOW, "rechub", "deepctr"),
    "feed": ("automtl-float32", "rechub"),
    "auc": ("automtl-float32", "automtl-float32-small", "rechub", "deepctr"),
}
CATEGORICAL, NUMERIC, IDS = 16, 63, 1000  # AliExpress has 16 and 63
DROPOUT, LR, EXPERTS, TOWERS = 0.2, 1e-3, [512, 256], [128, 64]
SPLITS = {"train": "train", "val": "validation", "test": "test"}


def venv() -> Path:
    """The peers' interpreter; made once, with the same torch as here."""
    python = ROOT / ".venv-peers" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parent.parent)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
        subprocess.run(
            [*pip, "torch==2.13.0", "numpy", "pandas", "scikit-learn", "tqdm"], check=True
        )
        subprocess.run([*pip, "--no-deps", *PEERS.values()], check=True)
    return python


def architecture(model: str, dim: int) -> Architecture:
    """The model of all sides, as ours."""
    experts = [
        {"blocks": [f"dense({width})" for width in EXPERTS], "level": level}
        for level in range(2 if model == "ple" else 1)
    ]
    sharing = {"levels": 2, "task_experts": 2, "shared_experts": 2}
    content = {
        "name": model,
        "embedding_dim": dim,
        "numeric": "joint",
        "projection": None,
        "experts": experts if model == "ple" else experts * 8,
        "sharing": {"kind": model, "settings": sharing if model == "ple" else {}},
        "towers": TOWERS,
        "dropout": DROPOUT,
    }
    return Architecture.model_validate_json(json.dumps(content))


def write_shape(folder: Path, rows: int) -> Path:
    """Rows of the AliExpress shape whose labels follow some of the columns; gives the data set's
    YAML.
    """
    g = np.random.default_rng(0)
    ids, dense = (
        g.integers(0, IDS, (rows, CATEGORICAL)),
        g.normal(size=(rows, NUMERIC)).astype(np.float32),
    )
    logit = dense[:, :8] @ g.normal(size=(8, 2)) + g.normal(size=(IDS, 2))[ids[:, 0]]
    labels = g.random((rows, 2)) < 1 / (1 + np.exp(2 - logit))
    columns = {f"c{i}": ids[:, i] for i in range(CATEGORICAL)} | {
        f"n{i}": dense[:, i] for i in range(NUMERIC)
    }
    columns |= {"click": labels[:, 0].astype(np.int8), "buy": labels[:, 1].astype(np.int8)}
    pd.DataFrame(columns).to_parquet(folder / "rows.parquet")
    features = [{"name": f"c{i}", "kind": "categorical"} for i in range(CATEGORICAL)]
    features += [{"name": f"n{i}", "kind": "numeric"} for i in range(NUMERIC)]
    tasks = [{"name": name, "label": name} for name in ("click", "buy")]
    config = {
        "name": "shape",
        "files": {"train": "rows.parquet"},
        "features": features,
        "tasks": tasks,
    }
    (folder / "shape.yaml").write_text(json.dumps(config))
    return folder / "shape.yaml"


def material(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Prepare the rows, write them down for the peers, and say what every side is to build."""
    census = options.shape == "census"
    source = "census_income" if census else str(write_shape(folder, options.rows))
    data_dir = Path(options.data_dir) if census else folder
    store = prepare(load_dataset(source), data_dir=data_dir)
    arrays: dict[str, np.ndarray] = {}
    for name, split in SPLITS.items():
        rows = store.rows(split)
        arrays |= {
            f"{name}_ids": np.asarray(rows.ids, np.int64),
            f"{name}_dense": np.asarray(rows.dense, np.float32),
        }
        arrays[f"{name}_labels"] = np.asarray(rows.labels, np.float32)
    np.savez(folder / "rows.npz", **arrays)
    return {
        "rows": str(folder / "rows.npz"),
        "source": source,
        "data_dir": str(data_dir),
        "store": str(store.path),
        "vocabulary": list(store.schema.vocabulary_sizes),
        "numbers": len(store.schema.numeric),
        "tasks": len(store.schema.tasks),
        "model": options.model,
        "count": 2 if options.model == "ple" else 8,
        "dim": 64 if options.shape == "aliexpress64" else 16,
        "experts": EXPERTS,
        "towers": TOWERS,
        "dropout": DROPOUT,
        "lr": LR,
        "batch": options.batch or (1024 if census else 2048),
        "threads": options.threads,
        "epochs": options.epochs,
        "task": options.task,
        "seed": 0,
    }


class Reporter(Silent):
    """Makes the trainer wait for its turn before each step but the first."""

    def __init__(self) -> None:
        self.turn = Turns()

    def step(self, event: StepEvent, epochs: int) -> None:
        self.turn()


def small_start(session: Session, net: torch.nn.Module) -> None:
    """Start embeddings from N(0, 1e-4^2), as both peers do; here they start uniform, by Xavier per
    field.
    """
    generator = torch.Generator().manual_seed(session.config.seed)
    for table in net.tables():
        table.data.normal_(0, 1e-4, generator=generator)


def ours(o: dict[str, Any], precision: str, start: str) -> None:
    """This package's side, in a process of its own."""
    Session.load_pretrained = small_start if start == "small" else Session.load_pretrained
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = architecture(o["model"], o["dim"])
        model.save(folder / "model.json")
        schema = Store.open(Path(o["store"])).schema
        say(
            parameters=sum(
                p.numel()
                for p in build_model(
                    model.bind(schema), schema, generator=torch.Generator()
                ).parameters()
            )
        )
        epochs = {"step": 1000, "auc": o["epochs"]}.get(o["task"], 1)
        settings = {
            "retrain": {
                "epochs": epochs,
                "patience": epochs,
                "batch_size": o["batch"],
                "lr": o["lr"],
                "weight_decay": 0.0,
                "recommended": False,
            },
            "runtime": {"threads": o["threads"], "precision": precision},
        }

        def train(number: int, reporter: Silent) -> None:
            source, out = str(folder / "model.json"), folder / f"run{number}"
            automtl.retrain(
                source, data=o["source"], seeds=[o["seed"]], out=out, reporter=reporter, **settings
            )

        with contextlib.suppress(Done):
            if o["task"] == "step":
                train(0, Reporter())
            turn, number = Turns(), 0
            batches = Batches(
                Store.open(Path(o["store"])).rows("train"), batch_size=o["batch"], shuffle=True
            )
            while o["task"] in ("feed", "epoch"):
                turn()
                if o["task"] == "feed":
                    sum(len(batch) for batch in batches.epoch(number))
                else:
                    train(number, Silent())
                number += 1
        if o["task"] == "auc":
            train(0, Silent())
            (scores,) = summary(evaluate_runs([folder / "run0"]))
            say(auc=[scores[f"{task.name} auc"]["mean"] for task in schema.tasks])


def start(side: str, o: dict[str, Any]) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "AUTOMTL_DATA_DIR": o["data_dir"],
    }
    command = [sys.executable, __file__, "--child", side, json.dumps(o)]
    if side in PEERS:
        environment.pop("PYTHONPATH")
        command = [str(venv()), str(ROOT / "scripts" / "peers" / f"{side}.py"), json.dumps(o)]
    log = Path(o["rows"]).with_name(f"{side}.log").open("w")
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment,
    )


def heard(process: subprocess.Popen[str], side: str, o: dict[str, Any]) -> dict[str, Any]:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        last = Path(o["rows"]).with_name(f"{side}.log").read_text().splitlines()[-5:]
        raise SystemExit("\n".join([f"{side}'s process ended early:", *last]))
    return dict(json.loads(line))


def turns(o: dict[str, Any], rounds: int) -> list[dict[str, Any]]:
    """Every side takes a turn in each round; the first round warms up."""
    sides = {side: start(side, o) for side in SIDES[o["task"]]}
    parameters = {side: heard(process, side, o)["parameters"] for side, process in sides.items()}
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(rounds + 1):
        for side, process in sides.items():
            assert process.stdin
            with contextlib.suppress(BrokenPipeError):  # its end is told below, with its last words
                print("go", file=process.stdin, flush=True)
            found[side].append(heard(process, side, o))
    for process in sides.values():
        process.kill()
    reference = [turn["seconds"] for turn in found["automtl-float32"][1:]]
    rows = []
    for side, seen in found.items():
        seconds = [turn["seconds"] for turn in seen[1:]]
        ratios = [s / r for s, r in zip(seconds, reference, strict=True)]
        row = {
            "side": side,
            "parameters": parameters[side],
            "seconds": statistics.median(seconds),
            "ratios": ratios,
        }
        rows.append({**row, "ratio": statistics.median(ratios), "peak_mb": seen[-1]["peak_mb"]})
    return rows


def scores(o: dict[str, Any], options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Test AUC per side, task and seed, each trained by its own trainer for the same epochs."""
    labels = np.load(o["rows"])["test_labels"]
    rows = []
    for seed in options.seeds:
        for side in SIDES["auc"]:
            process = start(side, {**o, "seed": seed, "out": str(folder / "scores.npy")})
            first, last = heard(process, side, o), heard(process, side, o)
            process.communicate()
            predicted = np.load(folder / "scores.npy") if side in PEERS else None
            values = (
                last["auc"]
                if predicted is None
                else [auc(labels[:, t], predicted[:, t]) for t in range(labels.shape[1])]
            )
            rows.append(
                {"side": side, "seed": seed, "parameters": first["parameters"], "auc": values}
            )
            print(
                f"{side:18} seed {seed}  {first['parameters']:>10,}  "
                + "  ".join(f"{value:.5f}" for value in values),
                flush=True,
            )
    return rows


def table(rows: Sequence[dict[str, Any]], batch: int, epoch_rows: int | None) -> list[str]:
    lines = [
        f"{'side':18} {'parameters':>11} {'seconds':>9} {'rows/s':>11} {'ratio':>8} "
        f"{'range':>15} {'peak MB':>8}"
    ]
    for row in rows:
        rate, spread = (
            (epoch_rows or batch) / row["seconds"],
            f"{min(row['ratios']):.2f}-{max(row['ratios']):.2f}",
        )
        head = f"{row['side']:18} {row['parameters']:11,} {row['seconds']:9.4f} {rate:11,.0f}"
        lines.append(f"{head} {row['ratio']:8.2f} {spread:>15} {row['peak_mb']:8.0f}")
    return lines


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=list(SIDES))
    parser.add_argument("--model", choices=("mmoe", "ple"), default="mmoe")
    parser.add_argument(
        "--shape", choices=("aliexpress", "aliexpress64", "census"), default="aliexpress"
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=60_000,
        help="of the AliExpress shape; 80%% train, 10%% validate",
    )
    parser.add_argument("--rounds", type=int, default=7, help="medians are over these")
    parser.add_argument(
        "--batch", type=int, default=0, help="rows per step; default 2048, Census 1024"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--epochs", type=int, default=2, help="of auc")
    parser.add_argument(
        "--seeds",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[0],
        help="of auc",
    )
    parser.add_argument("--data-dir", default="data", help="where the Census data is, or comes to")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    return parser.parse_args(arguments)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        ours(json.loads(sys.argv[3]), *sys.argv[2].removeprefix("automtl-").partition("-")[::2])
        return
    options = options_of(None)
    venv()
    if not LOW and options.task in ("step", "epoch"):
        print("left out: automtl-bfloat16: this processor has no bfloat16 in hardware", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        o = material(options, folder)
        count = len(Store.open(Path(o["store"])).rows("train"))
        if options.task == "step" and options.rounds + 3 > count // o["batch"]:
            raise SystemExit(
                f"--rounds must be at most {count // o['batch'] - 3}, an epoch has no more "
                "steps; give more --rows"
            )
        rows = scores(o, options, folder) if options.task == "auc" else turns(o, options.rounds)
        if options.task != "auc":
            print("\n".join(table(rows, o["batch"], None if options.task == "step" else count)))
    if options.json:
        write_json(
            options.json,
            {**o, "shape": options.shape, "cpu_count": os.cpu_count(), "results": rows},
        )


if __name__ == "__main__":
    main()
