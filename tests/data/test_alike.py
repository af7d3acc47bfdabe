"""Tasks with the same labels, or opposite ones, are told."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automtl.data.describe import describe
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset

N = 400


def remarks(
    folder: Path, labels: dict[str, tuple[str, list[object]]]
) -> tuple[list[str], list[str]]:
    """What preparing says of labels, and what describing says later."""
    columns = {name: values for name, (_, values) in labels.items()}
    pd.DataFrame({"user": np.arange(N) % 9, **columns}).to_csv(folder / "rows.csv", index=False)
    tasks = [{"name": name, "label": name, "kind": kind} for name, (kind, _) in labels.items()]
    config = {
        "name": "alike",
        "files": {"train": "rows.csv"},
        "features": [{"name": "user", "kind": "categorical"}],
        "tasks": tasks,
    }
    (folder / "alike.yaml").write_text(json.dumps(config))
    said: list[str] = []
    store = prepare(
        load_dataset(folder / "alike.yaml"), data_dir=folder / "data", progress=said.append
    )
    return [line for line in said if "labels" in line and "task" in line], [
        line for line in describe(store)["remarks"] if "labels" in line
    ]


def drawn(seed: int, classes: int = 2) -> list[object]:
    return np.random.default_rng(seed).integers(0, classes, N).tolist()


def test_the_same_and_the_opposite_are_told_with_both_names(tmp_path: Path) -> None:
    clicks = drawn(0)
    labels = {
        "click": ("binary", clicks),
        "tap": ("binary", clicks),
        "skip": ("binary", [1 - int(c) for c in clicks]),
    }
    said, described = remarks(tmp_path, labels | {"buy": ("binary", drawn(1))})
    fix = "in every row: one of them will do, and both together count twice in the MTL-Loss"
    assert said == described == [
        f"task 'tap' has the same labels as task 'click' {fix}",
        f"task 'skip' has the opposite labels of task 'click' {fix}",
        f"task 'skip' has the opposite labels of task 'tap' {fix}",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_of_other_kinds_too(kind: str, tmp_path: Path) -> None:
    values = drawn(2, classes=4)
    said, _ = remarks(
        tmp_path, {"a": (kind, values), "b": (kind, values), "c": (kind, drawn(3, classes=4))}
    )
    assert [line.split(" in every row")[0] for line in said] == [
        "task 'b' has the same labels as task 'a'"
    ]


def test_one_other_row_or_another_missing_one_is_enough_for_silence(tmp_path: Path) -> None:
    clicks = drawn(0)
    other, gap = [*clicks[:-1], 1 - int(clicks[-1])], [*clicks[:-1], None]
    assert remarks(
        tmp_path, {"click": ("binary", clicks), "other": ("binary", other), "gap": ("binary", gap)}
    ) == ([], [])


def test_missing_in_the_same_rows_is_the_same(tmp_path: Path) -> None:
    gaps = [None if i % 5 == 0 else value for i, value in enumerate(drawn(0))]
    said, _ = remarks(tmp_path, {"a": ("binary", gaps), "b": ("binary", gaps)})
    assert len(said) == 1
