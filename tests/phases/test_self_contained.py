"""A run keeps its data set: it serves after files, store and YAML are gone, and follows no later
edit of them.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import automtl
from automtl import files
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.store.snapshot import Snapshot
from automtl.errors import ArtifactError, DataError
from automtl.phases.finished.evaluate import evaluate_runs
from automtl.phases.run.run_data import snapshot_of
from automtl.runs.run_dir import PhaseDir, one_phase
from tests.cli.test_errors import run

ROWS = 500
SMALL: dict[str, Any] = {"retrain": {"epochs": 2, "batch_size": 64}}
SETTINGS: dict[str, Any] = {
    "name": "kept",
    "files": {"train": "rows.csv"},
    "joins": [
        {"file": "items.csv", "on": "item"},
        {"file": "places.parquet", "on": "place"},
        {"file": "labels.csv", "on": "row"},
    ],
    "derived": [{"name": "hour", "what": "hour", "column": "opened", "unit": "s"}],
    "features": [
        {"name": "user", "kind": "categorical"},
        {"name": "item", "kind": "categorical", "min_count": 2},
        {"name": "brand", "kind": "categorical"},
        {"name": "weight", "kind": "numeric", "transform": "quantile"},
        {"name": "hour", "kind": "categorical"},
        {"name": "tags", "kind": "multi", "separator": " "},
        {"name": "city", "kind": "categorical", "hash_buckets": 7},
        {"name": "price", "kind": "numeric", "missing": "indicator"},
        {"name": "fee", "kind": "numeric", "fill": 1.5},
    ],
    "tasks": [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy", "weight": 3.0}],
    "split": {"kind": "random", "train": 0.6, "validation": 0.2, "test": 0.2, "column": "row"},
}


def write(folder: Path) -> None:
    g = np.random.default_rng(5)
    rows = pd.DataFrame(
        {"row": range(ROWS), "user": g.integers(0, 20, ROWS), "item": g.integers(0, 14, ROWS)}
    )
    rows["place"] = g.choice(["n", "s", "x"], ROWS)
    for name in ("price", "fee"):
        rows[name] = np.where(g.random(ROWS) < 0.15, np.nan, g.normal(size=ROWS).round(3))
    rows["click"] = (g.random(ROWS) < 0.4).astype(int)
    items = pd.DataFrame(
        {
            "item": range(14),
            "brand": [f"b{i % 5}" for i in range(14)],
            "weight": g.gamma(2.0, size=14).round(2),
        }
    )
    items["opened"] = 1_650_000_000 + g.integers(0, 10**6, 14)
    items["unused"] = "word " * 100
    places = pd.DataFrame(
        {"place": ["n", "s"], "tags": [["wet", "flat"], ["dry"]], "city": ["Ny", "Sü"]}
    )
    folder.mkdir()
    rows.to_csv(folder / "rows.csv", index=False)
    items.to_csv(folder / "items.csv", index=False)
    places.to_parquet(folder / "places.parquet")
    pd.DataFrame({"row": range(ROWS), "buy": (g.random(ROWS) < 0.3).astype(int)}).to_csv(
        folder / "labels.csv", index=False
    )
    (folder / "kept.yaml").write_text(json.dumps(SETTINGS))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data, its store and a trained run."""
    folder = tmp_path_factory.mktemp("made")
    write(folder / "data")
    automtl.retrain(
        "mmoe",
        data=folder / "data/kept.yaml",
        out=folder / "run",
        data_dir=folder / "cache",
        **SMALL,
    )
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same at its own place, to be destroyed; put back afterwards, since paths are absolute."""
    monkeypatch.chdir(made)
    shutil.copytree(made, made.with_name("copy"), symlinks=True)
    yield made
    shutil.rmtree(made)
    shutil.move(made.with_name("copy"), made)


class Heard:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def step(self, event: object, epochs: int) -> None: ...

    def epoch(self, phase: str, line: dict[str, Any]) -> None: ...


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "rows.csv").drop(columns=["click"])


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    settings = json.loads(path.read_text())
    change(settings)
    path.write_text(json.dumps(settings))


def test_a_run_serves_elsewhere_when_data_and_store_and_settings_are_gone(
    here, tmp_path, monkeypatch
):
    rows = table(here / "data")
    before = automtl.predict(here / "run", rows)
    shutil.move(here / "run", tmp_path / "elsewhere")
    for name in ("data", "cache"):
        shutil.rmtree(here / name)
    for name in ("HOME", "AUTOMTL_DATA_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    heard, moved = Heard(), tmp_path / "elsewhere"
    pd.testing.assert_frame_equal(
        automtl.predict(moved, rows, reporter=heard), before, check_exact=True
    )
    assert "ignored, since the model does not read it: row" in heard.said
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert (
        run(
            [
                "predict",
                str(moved),
                str(tmp_path / "rows.csv"),
                "-o",
                str(tmp_path / "scores.parquet"),
            ]
        )
        == 0
    )
    np.testing.assert_array_equal(pd.read_parquet(tmp_path / "scores.parquet"), before)
    assert (
        run(["report", str(moved), "-o", str(tmp_path / "it.html")])
        == run(["show", str(moved), "-o", str(tmp_path / "it.svg")])
        == 0
    )
    served = automtl.export(moved, "onnx", out=tmp_path / "served").path
    assert (
        "drawn at random, since the validation rows were not at hand"
        in (served / "README.md").read_text()
    )
    items = pd.read_csv(here.with_name("copy") / "data/items.csv")
    whole = rows.merge(items, "left", "item").merge(
        pd.read_parquet(here.with_name("copy") / "data/places.parquet"), "left", "place"
    )
    np.testing.assert_allclose(automtl.predict(served, whole), before, atol=2e-5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s["features"][8].update(fill=9999), "features.fee.fill is 9999.0, was 1.5"),
        (
            lambda s: s["features"][7].update(transform="quantile"),
            "features.price.transform is quantile, was none",
        ),
        (lambda s: s["tasks"][0].update(weight=9.0), "tasks.click.weight is 9.0, was 1.0"),
        (lambda s: s["features"].pop(1), "features.item.name is gone"),
        (lambda s: s["joins"][0].update(file="other.csv"), "other.csv"),
    ],
)
def test_edited_settings_are_told_and_not_followed(change, told, here):
    rows, (before,) = table(here / "data"), evaluate_runs([here / "run"])
    answers = automtl.predict(here / "run", rows)
    edit(here / "data/kept.yaml", change)
    heard = Heard()
    pd.testing.assert_frame_equal(
        automtl.predict(here / "run", rows, reporter=heard), answers, check_exact=True
    )
    assert (
        heard.said[0].startswith("the data set's YAML differs from the run's: ")
        and told in heard.said[0]
    )
    assert heard.said[0].endswith("; the run's own is used")
    (after,) = evaluate_runs([here / "run"])
    assert after.test.tasks == before.test.tasks
    by_hand = (after.test.tasks["click"]["logloss"] + 3 * after.test.tasks["buy"]["logloss"]) / 4
    assert after.test.loss == before.test.loss == pytest.approx(by_hand, abs=1e-6), (
        "Eq. 1 by the weights of the training"
    )


def test_settings_that_cannot_be_read_any_more_are_told(here):
    (here / "data/kept.yaml").write_text("name: [")
    heard = Heard()
    automtl.predict(here / "run", table(here / "data"), reporter=heard)
    assert "the data set's YAML cannot be read any more" in heard.said[0]


def test_evaluate_and_resume_need_the_rows_of_the_training(here, capfd):
    (before,) = evaluate_runs([here / "run"])
    (here / "data/kept.yaml").unlink()
    (after,) = evaluate_runs([here / "run"])
    assert after.test == before.test, "the settings are the run's own"
    path = here / "data/rows.csv"
    with path.open("a") as stream:
        stream.write("500,1,2,n,.5,.5,1\n")
    size = path.stat().st_size
    with pytest.raises(ArtifactError, match="must be of the same prepared data") as refused:
        evaluate_runs([here / "run"])
    assert (
        f"rows.csv has {size:,} bytes, then {size - 18:,}, and another content; 501 rows, then 500"
        in str(refused.value)
    )
    assert (
        run(["retrain", "mmoe", "--data", "data/kept.yaml", "--out", "run", "--resume", *sets()])
        == 2
    )
    assert "501 rows, then 500" in capfd.readouterr().err
    path.unlink()
    (after,) = evaluate_runs([here / "run"])
    assert after.test == before.test, "the store that was prepared of them is still there"
    shutil.rmtree(here / "cache")
    with pytest.raises(
        ArtifactError,
        match="must find the rows that the run was made of, got none at .*rows.csv and no store "
        "kept-",
    ):
        evaluate_runs([here / "run"])


def sets() -> list[str]:
    return ["--set", "retrain.epochs=2", "--set", "retrain.batch_size=64"]


def test_rows_that_are_split_otherwise_are_refused(here, monkeypatch):
    shutil.rmtree(here / "cache")
    from automtl.data.prepare import _passes

    honest = _passes.split_rule
    monkeypatch.setattr(
        _passes, "split_rule", lambda config, times: honest(reseeded(config), times)
    )
    with pytest.raises(ArtifactError, match="the same rows, split otherwise"):
        evaluate_runs([here / "run"])


def reseeded(config: DatasetConfig) -> DatasetConfig:
    return config.model_copy(update={"split": config.split.model_copy(update={"seed": 1})})


def test_side_tables_beyond_the_limit_are_asked_for_by_name(here, capfd):
    rows, folder = table(here / "data"), here / "none"
    before = automtl.predict(here / "run", rows)
    words = [
        "retrain",
        "mmoe",
        "--data",
        "data/kept.yaml",
        "--data-dir",
        "cache",
        "--out",
        "none",
        *sets(),
    ]
    assert run([*words, "--set", "data.keep_side_tables=0"]) == 0
    said = capfd.readouterr().err
    assert (
        "places.parquet is too large to be kept in the run (data.keep_side_tables): rows to "
        "predict on must bring tags, city" in said
    )
    assert snapshot_of(one_phase(folder, "retrain")).left_out == {
        **dict.fromkeys(["brand", "weight", "opened"], "items.csv"),
        **dict.fromkeys(["tags", "city"], "places.parquet"),
    }
    with pytest.raises(
        DataError,
        match="must have the columns brand, weight, opened, tags, city, got .*; join items.csv, "
        "places.parquet",
    ):
        automtl.predict(folder, rows)
    whole = rows.merge(pd.read_csv("data/items.csv"), "left", "item").merge(
        pd.read_parquet("data/places.parquet"), "left", "place"
    )
    np.testing.assert_array_equal(automtl.predict(folder, whole), before)


def test_a_run_has_one_copy_and_where_it_can_it_costs_nothing(here, monkeypatch):
    automtl.retrain(
        "mmoe",
        data=here / "data/kept.yaml",
        out=here / "two",
        data_dir=here / "cache",
        seeds=[0, 1],
        **SMALL,
    )
    (folder,) = (path for path in (here / "two/data").iterdir() if path.is_dir())
    assert {
        snapshot_of(phase).path
        for phase in (PhaseDir(path) for path in (here / "two/retrain").iterdir())
    } == {folder}
    store = here / "cache/prepared" / Snapshot.open(folder).key
    shared = [
        "schema.json",
        *(f"vocabularies/{i}.arrow" for i in range(5)),
        "sides/0.parquet",
        "sides/1.parquet",
    ]
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {*shared, "dataset.json", "manifest.json"}
    assert all(os.path.samefile(store / name, folder / name) for name in shared)
    assert b"word word" not in (folder / "sides/0.parquet").read_bytes(), (
        "a column that nobody reads is not kept"
    )

    def refused(*given: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(files.os, "link", refused)
    automtl.retrain(
        "mmoe", data=here / "data/kept.yaml", out=here / "three", data_dir=here / "cache", **SMALL
    )
    copied = here / "three/data" / folder.name
    assert all(
        (copied / name).read_bytes() == (folder / name).read_bytes()
        for name in [*shared, "dataset.json"]
    )
    assert not any(os.path.samefile(store / name, copied / name) for name in shared)


def test_a_searched_run_is_retrained_on_its_own_data_unless_another_is_named(here, capfd):
    small = {
        "space": {"base": "automtl_small", "expert": ["gate", "skip"], "interaction": ["skip"]},
        "runtime": {"fast_dev_run": True},
    }
    automtl.search(here / "data/kept.yaml", out=here / "found", data_dir=here / "cache", **small)
    edit(here / "data/kept.yaml", lambda s: s["tasks"][0].update(weight=9.0))
    heard = Heard()
    (own,) = automtl.retrain(here / "found", reporter=heard, **SMALL)
    assert any(
        "tasks.click.weight is 9.0, was 1.0; the run's own is used" in said for said in heard.said
    )
    assert snapshot_of(own.folder).path == snapshot_of(PhaseDir(here / "found/search")).path
    (named,) = automtl.retrain(here / "found", data=here / "data/kept.yaml", seeds=[1], **SMALL)
    assert [task.weight for task in snapshot_of(named.folder).schema.tasks] == [9.0, 3.0]
    (here / "data/kept.yaml").unlink()
    (again,) = automtl.retrain(here / "found", seeds=[2], **SMALL)
    assert snapshot_of(again.folder).path == snapshot_of(own.folder).path
    assert run(["search", "data/kept.yaml", "--out", "found", "--resume"]) == 0, (
        capfd.readouterr().err
    )


def test_trials_share_the_copy_of_their_study(here):
    words = (
        "tune data/kept.yaml --data-dir cache --space automtl_small --trials 2 --fast-dev-run "
        "--out study".split()
    )
    assert (
        run([*words, "--set", "space.expert=[gate, skip]", "--set", "space.interaction=[skip]"])
        == 0
    )
    (folder,) = (path for path in (here / "study/data").iterdir() if path.is_dir())
    phases = [
        PhaseDir(path.parent)
        for path in (here / "study").rglob("manifest.json")
        if path.parent.parent.name != "data"
    ]
    assert len(phases) == 5 and {snapshot_of(phase).path for phase in phases} == {folder}
    assert run(["evaluate", "study/tune/trials/0000/run"]) == 0


def test_a_snapshot_that_is_not_with_the_run_is_asked_for(here):
    shutil.move("run/retrain/mmoe-s0", "alone")
    with pytest.raises(
        ArtifactError,
        match="must lie in the run's folder, as .* says, got no such folder; bring the whole "
        "folder",
    ):
        automtl.predict(here / "alone", table(here / "data"))


def test_a_snapshot_under_another_name_is_refused(here):
    (folder,) = (path for path in (here / "run/data").iterdir() if path.is_dir())
    shutil.copytree(folder, folder.with_name("0" * 16))
    with pytest.raises(
        ArtifactError, match=f"must be named by its content, got that of {folder.name}"
    ):
        Snapshot.open(folder.with_name("0" * 16))
    store = prepare(Snapshot.open(folder).config, data_dir=here / "cache")
    assert store.schema == Snapshot.open(folder).schema
