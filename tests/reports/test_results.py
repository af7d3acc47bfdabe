import base64
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from automtl.errors import ConfigError
from automtl.phases.retrain import RetrainResult
from automtl.phases.search.state import SearchResult
from automtl.reports.load import load_run
from automtl.runs.run_dir import PhaseDir
from automtl.training.metrics.evaluation import Evaluation
from tests.reports.architectures import searched
from tests.reports.runs import write_retrain, write_run

HOSTILE = "<img src=x>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(
        tmp_path_factory.mktemp("runs") / "made", names=("click", HOSTILE), seeds=(0, 1), experts=3
    )


@pytest.fixture(scope="module")
def found(run):
    architecture = load_run(run).search.architecture
    return SearchResult(run=run, architecture=architecture, state="done", epochs=5)


def test_a_search_s_leaderboard_has_its_trained_models(found, run):
    frame = found.leaderboard()
    assert (
        list(frame.model) == ["selected"]
        and list(frame.seeds) == [2]
        and {"MTL-Loss", "click auc"} <= set(frame.columns)
    )
    assert found.architecture.tasks[0].name == "click"


def test_before_any_retrain_it_is_the_supernet(tmp_path):
    folder = write_run(tmp_path / "bare", seeds=())
    result = SearchResult(
        run=folder, architecture=load_run(folder).search.architecture, state="done", epochs=5
    )
    [row] = result.leaderboard().to_dict("records")
    last = load_run(folder).search.lines[-1]["b"]
    assert row["model"] == "supernet" and row["rows"] == "B"
    assert row["MTL-Loss"] == last["loss"] and row["click auc"] == last["tasks"]["click"]["auc"]


def test_a_result_draws_itself(found):
    assert {"click", "expert 0"} <= {text.get_text() for text in found.plot().axes[0].texts}
    assert len(found.plot("alphas").axes) == 1 + 3 * 2
    with pytest.raises(ConfigError, match="architecture, or for alphas"):
        found.plot("gates")


def test_a_terminal_and_a_notebook_show_it(found):
    sink = io.StringIO()
    Console(file=sink, width=160).print(found)
    assert (
        "search done after 5 epochs" in sink.getvalue()
        and "selected" in sink.getvalue()
        and HOSTILE in sink.getvalue()
    )
    html = found._repr_html_()
    assert "<img src=x>" not in html and "&lt;img src=x&gt; auc" in html
    [svg] = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)
    assert b"click" in base64.b64decode(svg)


def test_a_retrained_model_shows_its_run(tmp_path):
    architecture = searched(1, 2)
    folder = write_retrain(tmp_path / "plain", architecture, label="mmoe")
    result = RetrainResult(PhaseDir(folder), architecture, Evaluation({}, 0.5, {}), (1,))
    assert result.home == tmp_path / "plain" and list(result.leaderboard().model) == ["mmoe"]
    assert "mmoe-s0: validation MTL-Loss 0.50000" in result._repr_html_()
    with pytest.raises(ConfigError):
        result.plot("alphas")


def test_importing_the_phases_does_not_wait_for_pictures():
    import subprocess
    import sys

    code = (
        "import automtl.phases.search, automtl.phases.retrain, sys; print([m for m in "
        "('matplotlib', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"
