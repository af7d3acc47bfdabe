"""What is evaluated is what is exported: for every sharing kind the figures of results.json, made
again from the export's answers.

Every kind is exported as Python in each way that it is made, and as ONNX in one of them; the other
ONNX files are marked slow, since an export takes seconds. Networks are as small as the kinds allow.
"""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error, roc_auc_score

from automtl.config import resolve
from automtl.exports.formats import imported
from automtl.exports.network import arrays
from automtl.phases.finished.evaluate import evaluate_runs
from automtl.phases.finished.export import export
from automtl.phases.finished.open import session_of
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run.reporter import Silent
from automtl.phases.search import search
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture, shipped_architectures
from automtl.spaces.catalogue import SHARING
from scripts.small import SEARCH

ROWS = 400
HAND_MADE = {
    name: [] for name in sorted(shipped_architectures()) if Architecture.load(name).is_template
}
HAND_MADE |= {
    "dselect_k, per example": ["sharing.per_example=true"],
    "mssm, scalar": ["sharing.field_mask=scalar"],
}
HAND_MADE["ple"] = HAND_MADE["cgc"] = ["sharing.task_experts=[1, 2]", "sharing.shared_experts=1"]
HAND_MADE["mome"] = ["sharing.masks=2"]
KINDS = {name: Architecture.load(name.split(",")[0]).sharing.kind for name in HAND_MADE}
SEARCHED = [kind for kind, signature in SHARING.items() if signature.in_supernet]
WAYS = {"hand-made": list(HAND_MADE), "plugged in": list(SHARING), "searched": SEARCHED}


def first_way(kind: str) -> str:
    """The way whose ONNX file is of the normal run: kinds take turns."""
    known = [
        way
        for way, names in WAYS.items()
        if kind in (names if way != "hand-made" else KINDS.values())
    ]
    return known[list(SHARING).index(kind) % len(known)]


def cases() -> Iterator[Any]:
    """Each way, name and format."""
    for way, names in WAYS.items():
        for name in names:
            yield way, name, "python"
            once = first_way(KINDS.get(name, name)) == way
            yield pytest.param(way, name, "onnx", marks=() if once else pytest.mark.slow)


TINY = (
    "space.towers=[]",
    "space.num_blocks=1",
    "space.num_experts=2",
    "search.gradient_conflict=false",
)
Answers = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contract")
    g = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "user": g.integers(0, 20, ROWS),
            "item": g.integers(0, 15, ROWS),
            "price": g.normal(size=ROWS),
        }
    )
    table["click"] = (
        g.random(ROWS) < 1 / (1 + np.exp(-(table["user"] - 10) / 3 - table["price"]))
    ).astype(int)
    table["spend"] = (table["item"] / 4 + table["price"] + g.normal(size=ROWS)).where(
        g.random(ROWS) < 0.8
    )
    table.to_csv(folder / "rows.csv", index=False)
    described = {
        "name": "small",
        "files": {"train": "rows.csv"},
        "features": [{"name": n, "kind": "categorical"} for n in ("user", "item")]
        + [{"name": "price", "kind": "numeric"}],
        "tasks": [
            {"name": "click", "label": "click"},
            {"name": "spend", "label": "spend", "kind": "regression"},
        ],
        "split": {"kind": "random", "train": 0.6, "validation": 0.2, "test": 0.2},
    }
    (folder / "small.yaml").write_text(json.dumps(described))
    return folder / "small.yaml"


def searched(data: Path, out: Path, *sets: str) -> Path:
    """A short search."""
    flags = {"data": {"dir": str(data.parent / "data")}}
    search(
        resolve(source=str(data), space="automtl_small", sets=[*SEARCH, *TINY, *sets], flags=flags),
        out=out,
    )
    return out


@pytest.fixture(scope="module")
def found(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A derived architecture that every kind can be plugged over: one of its experts holds an MLP,
    for masks.
    """
    run = searched(data, tmp_path_factory.mktemp("found") / "run")
    made = Architecture.load(run / "search" / "architecture.json")
    experts = [made.experts[0].model_copy(update={"blocks": ("mlp(4)",)}), *made.experts[1:]]
    made.evolve(experts=experts).save(run.parent / "own.json")
    return run.parent / "own.json"


def trained(
    source: Path, data: Path, out: Path, sets: Sequence[str], kind: str | None = None
) -> PhaseDir:
    """Train for an epoch or two and read the test rows."""
    # predictions far enough apart for an exact AUC
    short = ["retrain.epochs=2", "retrain.batch_size=64", "retrain.lr=0.03", *sets]
    flags = {"data": {"dir": str(data.parent / "data")}}
    plan = plan_retrain(
        str(source),
        data=str(data),
        sharing=kind,
        config_file=None,
        sets=short,
        flags=flags,
        out=out,
    )
    folder = retrain(plan.architecture, plan.config, run=plan.run, label=plan.label).folder
    evaluate_runs([folder.path])
    return folder


def small(template: Architecture, path: Path) -> Path:
    """A baseline with few and narrow experts, as a file."""
    experts = [
        {"blocks": [f"dense({8 - 2 * (e.level or 0)})"], "level": e.level}
        for e in template.experts[:3]
    ]
    template.evolve(embedding_dim=4, towers=(), experts=experts).save(path)
    return path


@pytest.fixture(scope="module")
def made(
    data: Path, found: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], PhaseDir]:
    """Trains a model once, however many formats it is exported in."""

    @functools.cache
    def make(way: str, name: str) -> PhaseDir:
        place = tmp_path_factory.mktemp("made")
        if way == "hand-made":
            template = small(Architecture.load(name.split(",")[0]), place / "small.json")
            return trained(template, data, place / "run", HAND_MADE[name])
        if way == "plugged in":
            return trained(found, data, place / "run", (), name)
        return trained(
            searched(data, place / "found", f"search.sharing={name}"), data, place / "run", ()
        )

    return make


@pytest.mark.parametrize(("way", "name", "form"), list(cases()))
def test_what_is_evaluated_is_what_is_exported(
    way: str, name: str, form: str, made: Callable[[str, str], PhaseDir], tmp_path: Path
) -> None:
    """All figures of both splits."""
    folder = made(way, name)
    results, session = json.loads(folder.results.read_text()), session_of(folder, "cpu", Silent())
    answers_of = OPENED[form](export(folder.path, form, out=tmp_path / form).path)
    for split in ("validation", "test"):
        rows = session.store.rows(split)
        answers = answers_of(arrays(rows, session.schema, np.arange(len(rows))))
        for task, labels, predicted in zip(
            session.schema.tasks, rows.labels.T, answers, strict=True
        ):
            same(results[split]["tasks"][task.name], labels, predicted, f"{split}, {task.name}")


def onnx(folder: Path) -> Answers:
    """The exported model's answers, by the runtime alone."""
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return lambda features: session.run(
        None, {put.name: features[put.name] for put in session.get_inputs()}
    )


def python(folder: Path) -> Answers:
    """The exported file's answers."""
    model = imported(folder / "model.py").load(folder / "weights.safetensors")
    return lambda features: [
        answer.numpy()
        for answer in model({n: torch.from_numpy(v) for n, v in features.items()}).values()
    ]


OPENED: dict[str, Callable[[Path], Answers]] = {"onnx": onnx, "python": python}


def _ordered_alike(y: np.ndarray, p: np.ndarray, auc: float) -> bool:
    """Whether an AUC is that of some order of scores that are equal to six digits: one format's last
    bit parts a pair of rows that the other calls equal, and on 84 rows that is .0003.
    """
    gaps = p[y == 1][:, None] - p[y == 0][None]
    least, most = (gaps > 1e-6).mean(), (gaps > -1e-6).mean()
    return bool(least - 1e-12 <= auc <= most + 1e-12)


def same(figures: dict[str, float], labels: np.ndarray, predicted: np.ndarray, where: str) -> None:
    """One task's figures by scikit-learn."""
    here = ~np.isnan(labels)
    y, p = labels[here].astype(np.float64), predicted[here].astype(np.float64)
    if "rmse" in figures:
        again = {"rmse": mean_squared_error(y, p) ** 0.5, "mae": mean_absolute_error(y, p)}
    else:
        again = {
            "auc": figures["auc"] if _ordered_alike(y, p, figures["auc"]) else roc_auc_score(y, p),
            "logloss": log_loss(y, p),
            "calibration": p.sum() / y.sum(),
        }
    for name, value in again.items():
        assert figures[name] == pytest.approx(value, abs=1e-5), f"{where}: {name}"
