"""The Python front door is the command's own code."""

import pandas as pd

import automtl
from tests.support import write_dataset


def test_search_and_retrain_from_python(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    data = {"dir": str(tmp_path / "prepared")}
    space = {
        "base": "automtl_small",
        "num_experts": 2,
        "expert": ["gate", "skip"],
        "interaction": ["skip"],
    }
    found = automtl.search(
        dataset,
        space=space,
        out=tmp_path / "run",
        seed=3,
        data=data,
        runtime={"fast_dev_run": True},
    )
    assert len(found.architecture.experts) == 2
    trained = automtl.retrain(tmp_path / "run", seeds=[0, 1], runtime={"fast_dev_run": True})
    assert [r.folder.path.name for r in trained] == ["selected-s0", "selected-s1"]
    assert (
        automtl.Architecture.load(tmp_path / "run/search/architecture.json") == found.architecture
    )


def test_the_folder_of_prepared_data_is_an_argument(tmp_path, monkeypatch):
    """A hand-made model has no run whose folder it could take; `data` is the data set there, so the
    section of that name cannot say it.
    """
    dataset = write_dataset(tmp_path / "data", rows=200)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "default"))
    frame = pd.read_csv(tmp_path / "data/rows.csv")
    settings = {"runtime": {"fast_dev_run": True}, "data_dir": tmp_path / "mine"}
    automtl.retrain("moe", data=dataset, out=tmp_path / "a", **settings)
    automtl.retrain("moe", data=dataset, frame=frame, out=tmp_path / "b", **settings)
    automtl.search(
        dataset,
        space={"base": "automtl_small", "expert": ["skip"], "interaction": ["skip"]},
        out=tmp_path / "c",
        **settings,
    )
    automtl.retrain(tmp_path / "c", runtime={"fast_dev_run": True})  # the run knows it
    assert {"frames", "prepared"} <= {p.name for p in (tmp_path / "mine").iterdir()}
    assert not (tmp_path / "default").exists()
