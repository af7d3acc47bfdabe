"""New rows through a trained model, and its test rows by group and by slice, against the store's
own rows and plain pandas.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

import automtl
from automtl.errors import ConfigError, DataError
from automtl.phases.finished.evaluate import evaluate_runs, interval_rows, slice_rows
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.finished.predict import predict_file, predict_frame
from automtl.phases.run.reporter import Silent
from automtl.phases.run.session import Session
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import one_phase
from automtl.training.metrics._bootstrap import Resamples
from automtl.training.metrics.evaluation import predict as outputs_of

ROWS = 700


def rows(seed: int = 0) -> pd.DataFrame:
    g = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "user": g.integers(0, 25, ROWS),
            "item": g.integers(0, 12, ROWS),
            "time": 1_650_000_000 + np.arange(ROWS) * 60,
        }
    )
    table["words"] = [" ".join(g.choice(["x", "y", "z"], g.integers(0, 3))) for _ in range(ROWS)]
    table["price"] = np.where(g.random(ROWS) < 0.1, np.nan, g.normal(size=ROWS).round(3))
    table["click"] = (g.random(ROWS) < 1 / (1 + np.exp(-(table["user"] - 12) / 4))).astype(int)
    table["spend"] = np.where(table["click"] == 1, g.lognormal(size=ROWS).round(3), np.nan)
    return table.assign(
        kind=g.choice(["red", "green", "blue"], ROWS), place=g.choice(["home", "shop"], ROWS)
    )


SETTINGS = {
    "name": "served",
    "files": {"train": "rows.csv"},
    "joins": [{"file": "items.csv", "on": "item"}],
    "derived": [{"name": "hour", "what": "hour", "column": "time", "unit": "s"}],
    "features": [
        {"name": "user", "kind": "categorical"},
        {"name": "item", "kind": "categorical"},
        {"name": "brand", "kind": "categorical"},
        {"name": "hour", "kind": "categorical"},
        {"name": "words", "kind": "multi", "separator": " "},
        {"name": "price", "kind": "numeric", "missing": "indicator"},
    ],
    "tasks": [
        {"name": "click", "label": "click"},
        {
            "name": "spend",
            "label": "spend",
            "kind": "regression",
            "transform": "log1p",
            "where": "click == 1",
        },
        {"name": "kind", "label": "kind", "kind": "multiclass"},
    ],
    "split": {"kind": "time", "column": "time"},
    "group": "user",
    "keep": ["place"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("served")
    rows().to_csv(folder / "rows.csv", index=False)
    pd.DataFrame({"item": range(12), "brand": [f"b{i % 5}" for i in range(12)]}).to_csv(
        folder / "items.csv", index=False
    )
    (folder / "served.yaml").write_text(json.dumps(SETTINGS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMTL_DATA_DIR", str(folder / "data"))
        automtl.retrain(
            "shared_bottom",
            data=folder / "served.yaml",
            out=folder / "run",
            retrain={"epochs": 2, "batch_size": 64},
        )
        yield folder / "run"


@pytest.fixture(scope="module")
def expected(run: Path) -> pd.DataFrame:
    """The model's outputs on the store's own rows: the split is by time, so they are in the file's
    order.
    """
    folder = one_phase(run, "retrain")
    session = session_of(folder, "cpu", _Heard())
    parts = [
        outputs_of(load_net(folder, session), session.in_order(split)).logits
        for split in ("train", "validation", "test")
    ]
    click, spend, kind = (np.concatenate(task) for task in zip(*parts, strict=True))
    task = session.schema.tasks[1]
    shares = np.exp(kind - kind.max(1, keepdims=True))
    return pd.DataFrame(
        {"probs_click": expit(click), "value_spend": np.expm1(spend * task.std + task.mean)}
    ).assign(
        probs_kind=list(shares / shares.sum(1, keepdims=True)),
        class_kind=np.array(["blue", "green", "red"])[kind.argmax(1)],
    )


class _Heard(Silent):
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def step(self, event: object, epochs: int) -> None:
        pass


def check(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert len(found) == len(expected)
    for name in ("probs_click", "value_spend"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    np.testing.assert_allclose(
        np.stack(found["probs_kind"]), np.stack(expected["probs_kind"]), rtol=1e-5
    )
    assert found["class_kind"].tolist() == expected["class_kind"].tolist()


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "folder"])
def test_files_predict_as_the_store(
    run: Path, expected: pd.DataFrame, form: str, tmp_path: Path
) -> None:
    table, source = rows().drop(columns=["click", "spend", "kind"]), tmp_path / f"in.{form}"
    if form == "parquet":
        table.to_parquet(source)
    elif form == "folder":
        source.mkdir()
        table[:300].to_parquet(source / "part-0.parquet")
        table[300:].to_parquet(source / "part-1.parquet")
    else:
        table.to_csv(source, index=False)
    heard = _Heard()
    assert (
        predict_file(run, source, tmp_path / "out.parquet", keep=["user", "place"], reporter=heard)
        == ROWS
    )
    found = pq.read_table(tmp_path / "out.parquet").to_pandas()
    assert found.columns.tolist() == [
        "user",
        "place",
        "probs_click",
        "value_spend",
        "probs_kind",
        "class_kind",
    ]
    assert found["user"].tolist() == table["user"].astype(str).tolist()
    check(found, expected)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_extra_columns_are_ignored_and_said(run: Path, tmp_path: Path) -> None:
    rows().to_csv(tmp_path / "in.csv", index=False)
    heard = _Heard()
    predict_file(run, tmp_path / "in.csv", tmp_path / "out.parquet", reporter=heard)
    assert "ignored, since the model does not read them: click, spend, kind, place" in heard.lines


def test_frames_predict_as_the_store_with_their_index(run: Path, expected: pd.DataFrame) -> None:
    frame = rows().set_index(np.arange(ROWS) * 2 + 5)
    found = automtl.predict(run, frame, keep=["user"])
    assert found.index.equals(frame.index)
    assert found["user"].dtype == frame["user"].dtype
    check(found, expected)
    joined = frame.assign(
        brand="b" + (frame["item"] % 5).astype(str), hour=frame["time"] // 3600 % 24
    ).drop(columns="time")
    check(predict_frame(run, joined), expected)


def test_unseen_ids_are_unknown_ids(run: Path) -> None:
    frame = rows()[:40]
    unknown = predict_frame(run, frame.astype({"user": object}).assign(user=None))
    for unseen in (2**53 + 1, "who?"):
        other = predict_frame(run, frame.assign(user=unseen))
        assert other["probs_click"].tolist() == unknown["probs_click"].tolist()
    assert (predict_frame(run, frame)["probs_click"] != unknown["probs_click"]).any()
    assert (
        predict_frame(run, frame.assign(words="new words"))["probs_click"].tolist()
        == predict_frame(run, frame.assign(words=""))["probs_click"].tolist()
    )


@pytest.mark.parametrize(
    ("change", "keep", "message"),
    [
        (lambda t: t.drop(columns="price"), [], "must have the column 'price', got columns"),
        (lambda t: t.drop(columns="item"), [], "must have the column 'item'"),
        (lambda t: t.drop(columns="time"), [], "must have the column 'time'"),
        (lambda t: t.rename(columns={"user": "usr"}), [], "did you mean 'usr'"),
        (lambda t: t.assign(price="cheap"), [], "column 'price'"),
        (lambda t: t.assign(time=5), [], "must be a time from 1990 to 2100"),
        (lambda t: t, ["usr"], "must have the column 'usr'"),
        (
            lambda t: t.assign(probs_click=1),
            ["probs_click"],
            "must not have the name of a prediction, got probs_click",
        ),
        (lambda t: t[:0], [], "must have rows to predict on"),
    ],
)
def test_refusals(run: Path, tmp_path: Path, change: object, keep: list[str], message: str) -> None:
    change(rows()).to_csv(tmp_path / "in.csv", index=False)  # type: ignore[operator]
    with pytest.raises((ConfigError, DataError)) as caught:
        predict_file(run, tmp_path / "in.csv", tmp_path / "out.parquet", keep=keep)
    assert message in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_rows_are_not_written_over(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    rows().to_csv(folder / "in.csv", index=False)
    (tmp_path / "link.csv").symlink_to(folder / "in.csv")
    before = (folder / "in.csv").read_bytes()
    for source, out in (
        (folder / "in.csv", folder / "in.csv"),
        (folder / "in.csv", tmp_path / "link.csv"),
        (folder / "*.csv", folder / "in.csv"),
        (folder, folder / "in.csv"),
        (folder, folder / "scores.parquet"),
    ):
        with pytest.raises(ConfigError, match="^--out: must not be among the rows to predict on"):
            predict_file(run, source, out)
    assert [path.name for path in folder.iterdir()] == ["in.csv"]
    assert (folder / "in.csv").read_bytes() == before
    for _ in range(2):  # of another file, what is there gives way
        assert predict_file(run, folder / "in.csv", folder / "scores.csv") == len(rows())
        (folder / "scores.csv").rename(tmp_path / "scores.csv")
        predict_file(run, folder, tmp_path / "scores.csv")


def test_the_output_has_a_known_ending_and_the_input_is_there(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must end in .parquet"):
        predict_file(run, tmp_path / "in.csv", tmp_path / "out.txt")
    with pytest.raises(DataError, match="input: .*must name a file"):
        predict_file(run, tmp_path / "in.csv", tmp_path / "out.parquet")
    with pytest.raises(ConfigError, match="keep: must be columns of the rows, got usr"):
        predict_frame(run, rows(), keep=["usr"])


def test_an_evaluation_in_another_s_midst_loses_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = one_phase(run, "retrain"), evaluate_runs([run])[0].reads
    honest = Session.predict

    def another_first(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(Session, "predict", honest)
        evaluate_runs([run], by="place")
        return honest(*args, **options)

    monkeypatch.setattr(Session, "predict", another_first)
    evaluate_runs([run], by="user")
    Manifest.read(folder.manifest).verify()
    assert {"place", "user"} <= set(json.loads(folder.results.read_text())["test_by"])
    assert evaluate_runs([run])[0].reads == before + 3


def test_evaluation_by_group_and_by_slice(run: Path, expected: pd.DataFrame) -> None:
    (result,) = evaluate_runs([run], by="place")
    late = rows().assign(p=expected["probs_click"])[-len(rows()) // 10 :]
    aucs = {}
    for user, group in late.groupby("user"):
        if group["click"].nunique() == 2:
            aucs[user] = (roc_auc_score(group["click"], group["p"]), len(group))
    gauc = sum(auc * n for auc, n in aucs.values()) / sum(n for _, n in aucs.values())
    assert result.test.tasks["click"]["gauc"] == pytest.approx(gauc, abs=1e-6)
    assert "gauc" not in result.test.tasks["spend"]
    judged = json.loads(one_phase(run, "retrain").results.read_text())["validation"]["tasks"]
    assert [name for name, metrics in judged.items() if "gauc" in metrics] == ["click"]
    parts = slice_rows(result)
    assert {part["slice"]: part["click rows"] for part in parts} == late[
        "place"
    ].value_counts().to_dict()
    for part in parts:
        mine = late[late["place"] == part["slice"]]
        assert part["click auc"] == pytest.approx(roc_auc_score(mine["click"], mine["p"]), abs=1e-6)
        assert part["spend rows"] == mine["spend"].notna().sum()
    written = json.loads((one_phase(run, "retrain").results).read_text())
    assert written["test_by"]["place"].keys() == {"home", "shop"}


def test_bootstrap_intervals_draw_groups_and_repeat(run: Path, expected: pd.DataFrame) -> None:
    (result,) = evaluate_runs([run], bootstrap=60)
    late = rows().assign(p=expected["probs_click"])[-len(rows()) // 10 :]
    draws = Resamples(60, units=late["user"].to_numpy(), rows=len(late), seed=0)
    (row,) = interval_rows(result)  # of the only binary task
    assert (row["task"], row["positives"]) == ("click", late["click"].sum())
    assert row["from"] < row["AUC"] < row["to"]
    low, high = draws.auc_interval(late["click"].to_numpy(float), late["p"].to_numpy()) or (
        0.0,
        0.0,
    )
    # the same rows, users in another order
    assert row["to"] - row["from"] == pytest.approx(high - low, rel=0.5)
    written = json.loads((one_phase(run, "retrain").results).read_text())["test"]["intervals"]
    assert written == {"click": [row["from"], row["to"]]}
    (again,) = evaluate_runs([run], bootstrap=60)
    assert again.test.intervals == result.test.intervals


@pytest.mark.parametrize(
    ("column", "slices"), [("brand", {f"b{i}" for i in range(5)}), ("price", None)]
)
def test_slices_by_features(run: Path, column: str, slices: set[str] | None) -> None:
    (result,) = evaluate_runs([run], by=column)
    names = {part["slice"] for part in slice_rows(result)}
    assert names == slices if slices else len(names) == 4
    assert (
        sum(part["click rows"] for part in slice_rows(result)) == result.test.tasks["click"]["rows"]
    )


def test_a_column_that_is_not_there_is_refused_before_the_test_rows_are_read(run: Path) -> None:
    (before,) = evaluate_runs([run])
    with pytest.raises(
        ConfigError, match="--by: must be a column that the data set keeps.*did you mean 'place'"
    ):
        evaluate_runs([run], by="plce")
    (after,) = evaluate_runs([run])
    assert after.reads == before.reads + 1
