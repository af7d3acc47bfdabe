"""A phase folder's places, however its path is written."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from automtl.errors import ArtifactError
from automtl.phases.finished.show import architecture_of
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.search.state import SearchResult
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, RunDir, run_names
from tests.cli.test_errors import run


@pytest.mark.parametrize("name", ["mmoe-s0", ".", "search", "retrain/mmoe-s0"])
def test_a_relative_phase_folder_has_a_run(name):
    assert PhaseDir(Path(name)).run == Path()


@pytest.mark.parametrize("name", ["k1-a/b c <b>", "k1-../../up", "k1-" + "long" * 250])
def test_a_new_run_is_one_folder_of_runs_whatever_a_space_is_called(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RunDir.new(None, name).search.path.mkdir(parents=True)
    [folder] = Path("runs").iterdir()
    assert folder.name.startswith("k1-") and folder.name.endswith("-1")
    assert RunDir.new(None, name).path.name.endswith("-2")


def begun(folder):
    search = PhaseDir(folder / "search")
    data = {"name": "x", "source": "x.yaml", "hash": "h"}
    made = {"seed": 0, "data": data, "planned_epochs": 3, "finished_epochs": 0}
    Manifest.start(search.manifest, **made).finish("interrupted")
    return search


def retrain_of(run):
    given = {"data": None, "sharing": None, "config_file": None, "sets": (), "flags": {}}
    plan_retrain(str(run), **given, out=None)


@pytest.mark.parametrize(
    "wants", [architecture_of, retrain_of, lambda run: SearchResult.read(PhaseDir(run / "search"))]
)
def test_a_search_without_a_result_is_to_be_gone_on_with(wants, tmp_path):
    """`show` and `retrain` took its architecture.json for the name of a shipped one."""
    search = begun(tmp_path / "run")
    with pytest.raises(ArtifactError) as refused:
        wants(tmp_path / "run")
    assert str(refused.value) == (
        f"{search.path}: must be a search that has ended, got interrupted; go on with --resume, "
        f"and --out {search.run}"
    )


def test_the_alphas_of_a_search_that_goes_on_are_shown(tmp_path, monkeypatch, capfd):
    begun(tmp_path / "run")
    monkeypatch.setattr("automtl.phases.finished.show.alphas_picture", lambda source: Figure())
    path = tmp_path / "alphas.svg"
    assert run(["show", str(tmp_path / "run"), "--what", "alphas", "-o", str(path)]) == 0
    assert capfd.readouterr().err == f"wrote {path}\n" and path.exists()


def test_runs_of_one_name_are_called_by_their_path():
    runs = [Path("x/one"), Path("y/one"), Path("x/two"), Path("x/one")]
    assert list(run_names(runs).values()) == ["x/one", "y/one", "two"]


def test_the_run_that_one_stands_in_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_names([Path()]) == {Path(): tmp_path.name}
