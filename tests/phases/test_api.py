"""The Python front door is the command's own code."""

import automtl
from tests.support import write_dataset


def test_search_and_retrain_from_python(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    data = {"dir": str(tmp_path / "prepared")}
    space = {"base": "automtl_small", "num_experts": 2, "expert": ["gate", "skip"], "interaction": ["skip"]}
    found = automtl.search(dataset, space=space, out=tmp_path / "run", seed=3, data=data, runtime={"fast_dev_run": True})
    assert len(found.architecture.experts) == 2
    trained = automtl.retrain(tmp_path / "run", seeds=[0, 1], runtime={"fast_dev_run": True})
    assert [r.folder.path.name for r in trained] == ["selected-s0", "selected-s1"]
    assert automtl.Architecture.load(tmp_path / "run/search/architecture.json") == found.architecture
