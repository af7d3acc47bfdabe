"""A fresh network starts at the training rows' base rates, held against plain NumPy over the
store's own rows and weights.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from automtl.data.store import Store
from automtl.data.store.batches import Batches
from automtl.data.store.schema import Schema, Task
from automtl.models.derived import build_model
from automtl.models.supernet import build_supernet
from automtl.spaces.architecture import Architecture
from automtl.training.metrics.evaluation import evaluate, predict
from tests.data.tables import FEATURES, prepared
from tests.support import small_schema, small_space

TASKS = [
    {"name": "rare", "label": "rare"},
    {"name": "weighed", "label": "weighed", "where": "rare == 0", "sample_weight": "share"},
    {"name": "kind", "label": "kind", "kind": "multiclass", "sample_weight": "share"},
    {"name": "price", "label": "paid", "kind": "regression"},
    {"name": "paid", "label": "paid", "kind": "regression", "sample_weight": "share"},
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    g = np.random.default_rng(1)
    rows = 4000
    paid = g.gamma(2, 10, rows)
    rare = (g.random(rows) < 0.06).astype(float)
    rare[g.random(rows) < 0.2] = np.nan
    frame = pd.DataFrame(
        {
            "user": g.integers(0, 40, rows),
            "tag": g.choice(["a", "b"], rows),
            "price": g.normal(size=rows),
            "rare": rare,
        }
    )
    frame = frame.assign(
        weighed=g.random(rows) < 0.7,
        kind=g.choice(["x", "y", "z"], rows, p=[0.7, 0.2, 0.1]),
        paid=paid,
    )
    frame = frame.assign(
        weighed=frame["weighed"].astype(int),
        share=np.where(frame["weighed"], 0.1, 3.0) * (1 + paid / 50),
    )
    return prepared(tmp_path_factory.mktemp("base"), frame, features=FEATURES, tasks=TASKS)


def training_rows(store: Store, t: int) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a task that are there, and their weights."""
    rows = store.rows("train")
    there = ~np.isnan(rows.labels[:, t])
    return rows.labels[there, t].astype(float), rows.weights[there, t].astype(float)


def nets(schema: Schema) -> dict[str, nn.Module]:
    """A network of each way to make one."""
    made: dict[str, nn.Module] = {"supernet": build_supernet(small_space(), schema)}
    for kind in ("mmoe", "single_task", "shared_bottom"):
        made[kind] = build_model(Architecture.load(kind).evolve(towers=(6,)), schema)
    searched = Architecture(
        embedding_dim=4, projection=8, towers=(), experts=({"blocks": ("mlp(4)",)},) * 2
    )
    return made | {"searched": build_model(searched, schema)}


def heads(net: nn.Module) -> list[nn.Linear]:
    towers = [tower for single in getattr(net, "nets", [net]) for tower in single.towers]
    return [tower.head for tower in towers]


def oracle(store: Store, t: int) -> np.ndarray:
    """The bias of a task's tower, from rows and weights."""
    task = store.schema.tasks[t]
    labels, weights = training_rows(store, t)
    if task.kind == "regression":
        return np.array([(np.average(labels, weights=weights) - labels.mean()) / labels.std()])
    shares = np.array([weights[labels == c].sum() for c in range(task.classes)]) / weights.sum()
    return np.log(shares) if task.kind == "multiclass" else np.log(shares[1:] / shares[:1])


@pytest.mark.parametrize("kind", ["supernet", "mmoe", "single_task", "shared_bottom", "searched"])
def test_before_training_predictions_are_the_base_rates(store: Store, kind: str) -> None:
    net = nets(store.schema)[kind]
    for t, head in enumerate(heads(net)):
        np.testing.assert_allclose(head.bias.detach().numpy(), oracle(store, t), atol=2e-6)
        nn.init.zeros_(head.weight)
    found = evaluate(predict(net, Batches(store.rows("train"), batch_size=512)), store.schema.tasks)
    for task in ("rare", "weighed"):
        assert found.tasks[task]["ne"] == pytest.approx(1, abs=1e-6)
        assert found.tasks[task]["calibration"] == pytest.approx(1, abs=1e-5)
    labels, weights = training_rows(store, 2)
    shares = np.array([weights[labels == c].sum() for c in range(3)]) / weights.sum()
    assert found.losses["kind"] == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-6)
    # of the standardised label: its variance
    assert found.losses["price"] == pytest.approx(1, abs=1e-5)
    labels, weights = training_rows(store, 4)
    mean = np.average(labels, weights=weights)
    assert found.tasks["paid"]["rmse"] == pytest.approx(
        np.sqrt(np.average((labels - mean) ** 2, weights=weights)), rel=1e-5
    )


def test_a_fresh_network_starts_near_the_constant_with_its_own_weights(store: Store) -> None:
    """Its last layer's weights spread the predictions; at a bias of 0 the loss of a rare label
    would be three times the constant's.
    """
    net = build_model(Architecture.load("mmoe"), store.schema)
    found = evaluate(predict(net, Batches(store.rows("train"), batch_size=512)), store.schema.tasks)
    assert 0.99 < found.tasks["rare"]["ne"] < 1.1


def test_nothing_else_of_a_seed_changes(store: Store) -> None:
    plain = store.schema.model_copy(
        update={
            "tasks": tuple(
                task.model_copy(update={"constant": (), "positives": 0})
                for task in store.schema.tasks
            )
        }
    )
    for (kind, with_rates), without in zip(
        nets(store.schema).items(), nets(plain).values(), strict=True
    ):
        for head in heads(without):
            assert not head.bias.any(), kind
        for head, other in zip(heads(with_rates), heads(without), strict=True):
            head.bias.data, other.bias.data = other.bias.data, head.bias.data
        ours, theirs = with_rates.state_dict(), without.state_dict()
        changed = {name for name in ours if not torch.equal(ours[name], theirs[name])}
        assert {name.rsplit(".", 2)[-2:] == ["head", "bias"] for name in changed} == {True}, kind


def test_a_schema_made_by_hand() -> None:
    rates = Schema(
        name="x",
        fields=small_schema().fields,
        tasks=(Task(name="t", kind="binary", labelled=100, positives=20),),
    )
    assert heads(build_model(Architecture.load("mmoe"), rates))[0].bias.item() == pytest.approx(
        np.log(0.25)
    )
    assert not heads(build_model(Architecture.load("mmoe"), small_schema()))[0].bias.any()
    with pytest.raises(ValueError, match="one per output"):
        Task(name="t", kind="multiclass", classes=3, constant=(0.0,))
    with pytest.raises(ValueError, match="finite"):
        Task(name="t", kind="binary", constant=(float("-inf"),))


@pytest.mark.parametrize("share", [0.0, 2.0])
def test_a_class_without_weight_gets_one_row(tmp_path: Path, share: float) -> None:
    """All positives weigh nothing (or the class is seen after training only): a log of 0 would
    never train.
    """
    g = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"user": g.integers(0, 9, 400), "y": np.arange(400) % 4 == 0, "time": np.arange(400)}
    )
    frame = frame.assign(
        y=frame["y"].astype(int),
        share=np.where(frame["y"], 0.0, share),
        kind=np.where(frame["time"] > 380, "late", "a"),
    )
    frame.loc[frame["time"] % 2 == 1, "kind"] = "b"
    frame.loc[frame["time"] > 390, "kind"] = "late"
    tasks = [
        {"name": "y", "label": "y", "sample_weight": "share"},
        {"name": "kind", "label": "kind", "kind": "multiclass"},
    ]
    store = prepared(
        tmp_path,
        frame,
        features=FEATURES[:1],
        tasks=tasks,
        split={"kind": "time", "column": "time"},
        allow_leak=["user"],
    )
    labels = store.rows("train").labels
    negatives = (labels[:, 0] == 0).sum()
    mean = share * negatives / len(labels) or 1.0
    assert store.schema.tasks[0].base == pytest.approx([np.log(mean / (share * negatives + mean))])
    names = store.schema.tasks[1].class_names
    counts = np.array([(labels[:, 1] == i).sum() for i in range(len(names))])
    assert counts[names.index("late")] == 0
    assert store.schema.tasks[1].base == pytest.approx(np.log((counts + 1) / (counts + 1).sum()))
