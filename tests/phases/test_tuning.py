"""Studies through the real phases: stopped and gone on with, pruned, failed, over budgets and over
sharing modules.
"""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from automtl.cli.main import main
from automtl.config import resolve
from automtl.errors import ArtifactError, ConfigError, EnvironmentFault, Interrupted
from automtl.phases.run.reporter import Silent
from automtl.phases.search import search
from automtl.phases.tune import tune
from automtl.reports.load import load_runs
from automtl.reports.panels._study import study_panel
from automtl.reports.panels.page import report
from automtl.runs.overview import overview
from automtl.runs.status import status
from automtl.strict import load_yaml
from tests.support import write_dataset

SETS = (
    "space.expert=[gate, mlp(4), mlp(8), skip]",
    "space.interaction=[skip]",
    "space.embedding_dim=4",
    "space.expert_dim=4",
    "search.strategy=darts",
    "search.selection=argmax",
    "search.epochs=3",
    "search.warmup_epochs=1",
    "search.batch_size=128",
    "retrain.epochs=2",
    "retrain.batch_size=128",
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=400)


@pytest.fixture(autouse=True)
def cache(data, monkeypatch):
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(data.parent / "cache"))


def config(data, *sets):
    return resolve(
        source=str(data),
        space="automtl_small",
        sets=[*SETS, *sets],
        flags={"runtime": {"threads": 1}},
    )


def plain(result):
    """What must not depend on when and how often a study was stopped."""
    return [
        (f.number, f.state, dict(f.values), f.loss, f.cost, dict(f.steps)) for f in result.findings
    ]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMTL_DATA_DIR", str(data.parent / "cache"))
        return tune(config(data, "tune.trials=3"), out=tmp_path_factory.mktemp("runs") / "whole")


def test_a_study_ends_with_settings_that_the_search_takes(whole, data, tmp_path):
    assert whole.state == "done"
    assert [f.state for f in whole.findings] == ["complete"] * 3
    best = min(whole.findings, key=lambda f: f.loss)
    assert whole.named["best"] == best.number
    ready = whole.folder.path / "best.yaml"
    resolved = resolve(source=str(data), config_file=ready, flags={})
    assert resolved.search.epochs == best.values["search.epochs"]
    assert resolved.space.num_experts == best.values["space.num_experts"]
    found = search(resolved, out=tmp_path / "again")
    held = json.loads(
        (
            whole.folder.path
            / "trials"
            / f"{best.number:04d}"
            / "run"
            / "search"
            / "architecture.json"
        ).read_text()
    )
    assert [e.model_dump(mode="json") for e in found.architecture.experts] == held["experts"]
    told = json.loads(whole.folder.results.read_text())
    assert told["trials"][best.number]["loss"] == best.loss
    assert json.loads(whole.folder.manifest.read_text())["state"] == "done"


def test_reports_status_and_lists_tell_of_a_study(whole):
    (run,) = load_runs([whole.folder.path.parent])
    made = study_panel([run])
    assert made.count("<svg") == 2
    assert all(f"{finding.loss:.5f}" in made for finding in whole.findings)
    page = report([run])
    assert 'id="study"' in page and "data: tiny · 1 study" in page
    best = whole.findings[whole.named["best"]]
    assert (
        f"Of 3 trials number {best.number} has the lowest validation MTL-Loss, {best.loss:.4f}"
        in page
    )
    assert f"{best.number} (best" in made and "--config" in page
    assert "TypeError" not in page
    (told,) = status(whole.folder.path.parent)
    assert told["trials"] == "3 of 3 begun, 3 judged"
    assert told["named"]["best"] == f"trial {whole.named['best']}"
    assert [row["state"] for row in overview(whole.folder.path.parent.parent)] == ["done"]


def test_losses_are_those_of_the_trials_retrains(whole):
    for finding in whole.findings:
        (result,) = (
            whole.folder.path / "trials" / f"{finding.number:04d}" / "run" / "retrain"
        ).glob("*/results.json")
        assert finding.loss == json.loads(result.read_text())["validation"]["loss"]
        spent = json.loads((result.parents[2] / "search" / "cost.json").read_text())
        assert finding.cost == spent["samples"] * spent["supernet"]["flops_per_row"]


def test_a_study_that_ran_out_of_time_goes_on_to_the_same_result(whole, data, tmp_path):
    limited, states = config(data, "tune.trials=3", "runtime.time_limit_s=0.2"), []
    result = tune(limited, out=tmp_path / "s")
    while result.state == "time_limited" and len(states) < 40:
        states.append(len(result.findings))
        result = tune(limited, out=tmp_path / "s", resume=True)
    assert len(states) > 1
    assert plain(result) == plain(whole)


def test_a_study_that_was_killed_goes_on_to_the_same_result(whole, data, tmp_path):
    out = tmp_path / "s"
    command = [
        sys.executable,
        "-c",
        "from automtl.cli.main import main; main()",
        "tune",
        str(data),
        "--space",
        "automtl_small",
    ]
    command += [part for item in SETS for part in ("--set", item)] + [
        "--trials",
        "3",
        "--threads",
        "1",
        "--out",
        str(out),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list(out.glob("tune/trials/0001/run/search/metrics.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = tune(config(data, "tune.trials=3"), out=out, resume=True)
    assert plain(result) == plain(whole)


class Full(Silent):
    """After so many steps the disk is full."""

    def __init__(self, steps, patch):
        self.left, self.patch = steps, patch

    def step(self, event, epochs):
        self.left -= 1
        if not self.left:
            self.patch.setattr("automtl.files.os.fsync", self.refuse)

    def refuse(self, handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_ends_the_study_and_not_one_trial_after_the_other(whole, data, tmp_path):
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(EnvironmentFault, match="No space left on device"),
    ):
        tune(config(data, "tune.trials=3"), out=tmp_path / "s", reporter=Full(12, patch))
    assert plain(tune(config(data, "tune.trials=3"), out=tmp_path / "s", resume=True)) == plain(
        whole
    )


def test_an_interrupted_study_names_itself_and_not_its_trial(data, tmp_path):
    class Terminated(Silent):
        def step(self, event, epochs):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as stopped:
        tune(config(data, "tune.trials=3"), out=tmp_path / "s", reporter=Terminated())
    assert (stopped.value.signal, stopped.value.folder) == (signal.SIGTERM, str(tmp_path / "s"))
    (told,) = status(tmp_path / "s")
    assert told["state"] == "interrupted" and told["verdict"].startswith(
        "interrupted; go on with: "
    )


def test_a_study_goes_on_with_its_own_data_and_settings_only(data, tmp_path):
    tune(config(data, "tune.trials=1"), out=tmp_path / "s")
    other = write_dataset(tmp_path / "data", rows=300)
    shutil.copy(tmp_path / "data/rows.csv", data.parent / "rows.csv")
    try:
        with pytest.raises(ArtifactError, match="data that changed since"):
            tune(config(data, "tune.trials=1"), out=tmp_path / "s", resume=True)
        with pytest.raises(ConfigError, match=r"data\.source: must be as in"):
            tune(config(other, "tune.trials=1"), out=tmp_path / "s", resume=True)
    finally:
        write_dataset(data.parent, rows=400)
    settings = tmp_path / "s/tune/config.yaml"
    settings.write_text(
        settings.read_text().replace("eval_batch_size: 8192", "eval_batch_size: 4096")
    )
    with pytest.raises(ArtifactError, match=r"config\.yaml: must be as it was written"):
        tune(config(data, "tune.trials=1"), out=tmp_path / "s", resume=True)


def test_poor_trials_are_pruned_between_epochs(data, tmp_path, monkeypatch):
    # no loss is that low
    monkeypatch.setattr(
        optuna.pruners, "MedianPruner", lambda **_: optuna.pruners.ThresholdPruner(upper=0.0)
    )
    result = tune(config(data, "tune.trials=1"), out=tmp_path / "s")
    (finding,) = result.findings
    assert (finding.state, finding.loss) == ("pruned", None)
    assert list(finding.steps) == [0]  # its first epoch was its last
    assert result.named == {}


@pytest.mark.parametrize(("kind", "judged_first"), [("dselect_k", 0), ("mssm", 1)])
def test_a_kind_that_trains_in_stages_is_pruned_in_the_judged_one_only(
    kind, judged_first, data, tmp_path, monkeypatch
):
    """What begins anew is counted from there; masks that settle go on, so their epochs count."""
    run = search(config(data), out=tmp_path / "run").run
    # no loss is that low
    monkeypatch.setattr(
        optuna.pruners, "MedianPruner", lambda **_: optuna.pruners.ThresholdPruner(upper=0.0)
    )
    ranges = f"tune.parameters={{sharing.kind: {{choices: [{kind}]}}}}"
    made = config(data, "tune.over=sharing", "tune.trials=1", ranges, "retrain.epochs=2")
    (finding,) = tune(made, searched=str(run), out=tmp_path / "s").findings
    (metrics,) = (tmp_path / "s").rglob("retrain/*/metrics.jsonl")
    told = [json.loads(line) for line in metrics.read_text().splitlines()]
    unjudged = [line for line in told if not line["judged"]]
    assert len(unjudged) >= 1 and len(told) == len(unjudged) + 1, (
        "pruned after the first epoch that may be the best"
    )
    assert finding.state == "pruned"
    assert list(finding.steps) == [judged_first * len(unjudged)]


def test_a_trial_that_fails_is_kept_and_the_study_goes_on(data, tmp_path):
    ranges = "tune.parameters={search.epochs: {choices: [1]}}"  # a search has at least 2 epochs
    result = tune(config(data, ranges, "tune.trials=2"), out=tmp_path / "s")
    assert [f.state for f in result.findings] == ["fail", "fail"]
    assert all("search.epochs" in f.facts["error"] for f in result.findings)
    assert result.state == "done"


def test_two_objectives_have_a_front(data, tmp_path):
    made = config(data, "tune.trials=2", "tune.objective=loss_and_cost", "tune.sampler=random")
    result = tune(made, out=tmp_path / "s")
    told = json.loads(result.folder.results.read_text())
    assert set(told["front"]) <= {0, 1}
    assert told["front"]
    assert (result.folder.path / "smallest.yaml").exists()


def test_wilcoxon_judges_by_seeds(data, tmp_path):
    made = config(data, "tune.trials=2", "tune.pruner=wilcoxon", "tune.seeds=2")
    result = tune(made, out=tmp_path / "s")
    assert len(result.findings[0].facts["losses"]) == 2
    assert list(result.findings[0].steps) == [0, 1]
    with pytest.raises(ConfigError, match="wilcoxon needs tune.seeds of 2 or more"):
        config(data, "tune.pruner=wilcoxon")


def test_over_sharing_asks_each_kind_once(data, tmp_path, capfd, monkeypatch):
    run = search(config(data), out=tmp_path / "run").run
    monkeypatch.chdir(tmp_path)
    ranges = "tune.parameters={sharing.kind: {choices: [selected, mmoe]}}"
    command = [
        "automtl",
        "tune",
        str(run),
        "--over",
        "sharing",
        "--trials",
        "2",
        "--set",
        ranges,
        "--out",
        "s",
    ]
    monkeypatch.setattr(sys, "argv", [*command, "--json", "--threads", "1"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    told = json.loads(capfd.readouterr().out)
    assert [t["values"]["sharing.kind"] for t in told["trials"]] == ["selected", "mmoe"]
    assert "--sharing" in Path("s/tune/best.yaml").read_text()
    assert set(load_yaml(Path("s/tune/best.yaml"))) == {"retrain"}
