"""What earlier formats left is told apart: what still works on it works, what does not is refused
in one line with its maker.

tests/golden/make.py made the files, each folder by the code of its time; the newest one holds what
this code must go on reading.
"""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import automtl
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.data.store.encoding import FORMAT
from automtl.errors import ArtifactError, ConfigError
from automtl.spaces.architecture import Architecture
from automtl.strict import load_yaml
from tests.cli.test_errors import run

GOLDEN = Path(__file__).parent / "golden"
OLDER, NEWEST = GOLDEN / "format2", GOLDEN / f"format{FORMAT}"
MAKER = "must be of a run that keeps its data set, got one made by automtl 0.1.0; "
REFUSED = {
    "predict": ["predict", "run", "rows.csv", "-o", "new.parquet"],
    "evaluate": ["evaluate", "run"],
    "export": ["export", "run", "--format", "python", "-o", "new"],
    "search --resume": ["search", "SOURCE", "--out", "run", "--resume"],
    "retrain --resume": ["retrain", "run", "--resume"],
    "retrain": ["retrain", "run", "--seeds", "1"],
    "rank": ["rank", "run"],
    "pareto": ["pareto", "run"],
    "tune": ["tune", "run", "--over", "sharing", "--out", "new"],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    shutil.copytree(OLDER, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_there_is_a_golden_run_of_each_format():
    assert sorted(path.name for path in GOLDEN.glob("format*")) == [
        f"format{number}" for number in range(2, FORMAT + 1)
    ]


def test_an_older_run_is_shown_told_and_compared(here, capfd):
    commands = (
        "show run -o it.svg",
        "report run -o it.html",
        "status run",
        "runs list .",
        "compare run",
    )
    assert [run(command.split()) for command in commands] == [0] * 5
    assert "0.1.0" in Path("it.html").read_text() and Path("it.svg").stat().st_size > 1000
    capfd.readouterr()


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_the_data_of_an_older_run_is_refused_with_its_maker(name, here, capfd):
    before = sorted(path for path in here.rglob("*") if path.name != ".lock")
    source = load_yaml(Path("run/search/config.yaml"))["data"]["source"]  # a folder that is gone
    assert run([source if word == "SOURCE" else word for word in REFUSED[name]]) == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert len(said) == 1 and MAKER in said[0] and "`automtl show` and `report` work" in said[0]
    assert (
        sorted(
            path for path in here.rglob("*") if path.name != ".lock" and "cache" not in path.parts
        )
        == before
    )


def test_what_an_older_search_found_is_trained_where_its_data_set_is_named(here):
    assert run(["retrain", "run", "--data", "golden.yaml", "--fast-dev-run", "--out", "new"]) == 0
    assert run(["predict", "new", "rows.csv", "-o", "new.parquet"]) == 0


def test_an_older_store_is_left_alone_and_another_is_made(here):
    (old,) = (here / "prepared").iterdir()
    shutil.move(old, here / "cache/prepared" / old.name)
    old = here / "cache/prepared" / old.name
    with pytest.raises(
        ArtifactError, match=f"must be of format {FORMAT}, got 2; run `automtl data prepare` again"
    ):
        Store.open(old)
    before, said = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}, []
    store = prepare(load_dataset("golden.yaml"), data_dir=here / "cache", progress=said.append)
    assert said[0].startswith("preparing golden from 1 file, once") and store.path != old
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before


def test_an_older_export_is_refused_by_predict_and_serves_by_its_own_code(here, capfd):
    assert run(["predict", "served", "rows.csv", "-o", "new.parquet"]) == 2
    assert "served/manifest.json: must be of version 2, got 1, made by " in (
        said := capfd.readouterr().err
    )
    assert "automtl 0.1.0" in said and "the folder's own encode.py" in said
    scores_match(here)


def scores_match(folder: Path) -> None:
    """The exported code answers on the data set's rows as the run did."""
    encode, model = (loaded(folder / "served" / f"{name}.py") for name in ("encode", "model"))
    rows = pd.read_csv(folder / "rows.csv", keep_default_na=False, dtype={"tags": str}).replace(
        {"price": {"": None}}
    )
    arrays = encode.Encoder()(rows.to_dict("records"))
    answers = model.load(folder / "served/weights.safetensors")(
        {name: torch.from_numpy(array) for name, array in arrays.items()}
    )
    scores = pd.read_parquet(folder / "scores.parquet")
    for name in scores:
        np.testing.assert_allclose(answers[name].numpy(), scores[name], rtol=1e-5, atol=1e-5)


def loaded(path: Path):
    spec = importlib.util.spec_from_file_location(f"golden_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_architectures_of_every_format_are_read_and_newer_ones_refused(here):
    for folder in GOLDEN.glob("format*"):
        for path in folder.glob("run/**/architecture.json"):
            held = json.loads(path.read_text())
            found = Architecture.load(path)
            assert held["version"] == 1 and found.model_dump(mode="json") == {
                "recommended": {},
                **held,
            }
    Path("newer.json").write_text(json.dumps({**held, "version": 2}))
    with pytest.raises(
        (ArtifactError, ConfigError),
        match="must have format version 1 or older, got 2; update automtl",
    ):
        Architecture.load(Path("newer.json"))


def test_the_newest_golden_run_answers_as_it_did(tmp_path, monkeypatch):
    """Where this fails, what users have does not work any more: raise FORMAT, and make the next
    golden run.
    """
    shutil.copytree(NEWEST, tmp_path / "it")
    monkeypatch.chdir(tmp_path / "it")
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "none"))
    rows, scores = pd.read_csv("rows.csv"), pd.read_parquet("scores.parquet")
    np.testing.assert_allclose(automtl.predict("run", rows), scores, rtol=1e-5, atol=1e-6)
    assert (
        run(["export", "run", "--format", "python", "-o", "again"])
        == run(["show", "run"])
        == run(["report", "run"])
        == 0
    )
    scores_match(tmp_path / "it")
    (store,) = Path("prepared").iterdir()
    assert Store.open(store).rows("test").labels.shape[1] == 2
