"""`retrain.monitor`: the best epoch, patience and studies by one task's metric in place of the
MTL-Loss.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from automtl.config import resolve
from automtl.config_layers import merge
from automtl.errors import ConfigError, DataError
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.search import search
from automtl.phases.tune import tune
from automtl.reports._verdict import verdict
from automtl.reports.load import load_runs
from automtl.reports.panels._study import study_panel
from automtl.reports.panels.page import report
from automtl.runs.status import status
from automtl.training.early_stopping import DIRECTIONS, MONITORED, Monitor, check_monitor
from tests.phases.test_tuning import SETS
from tests.support import write_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), rows=400)


@pytest.fixture(autouse=True)
def cache(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(data.parent / "cache"))


def trained(data: Path, out: Path, *sets: str, source: str = "mmoe") -> Any:
    given = [
        "retrain.batch_size=32",
        "retrain.epochs=12",
        "retrain.patience=3",
        "retrain.lr=0.03",
        *sets,
    ]
    plan = plan_retrain(
        source, data=str(data), sharing=None, config_file=None, sets=given, flags={}, out=out
    )
    return retrain(plan.architecture, plan.config, run=plan.run, label=plan.label)


@pytest.mark.parametrize(
    ("task", "metric"), [("buy", "auc"), ("click", "auc"), ("buy", "logloss"), ("click", "ne")]
)
def test_the_best_epoch_and_patience_follow_the_monitor(
    data: Path, tmp_path: Path, task: str, metric: str
) -> None:
    result = trained(data, tmp_path / "run", f"retrain.monitor={{{task}: {metric}}}")
    lines = result.folder.read_metrics()
    values = [line["validation"]["tasks"][task][metric] for line in lines]
    best = values.index(max(values) if metric == "auc" else min(values))
    assert result.best_epochs == (best,)
    assert result.validation.tasks[task][metric] == pytest.approx(values[best], abs=1e-6)
    assert len(lines) == min(12, best + 1 + 3)


def test_the_default_is_the_mtl_loss_and_a_monitor_changes_no_training(
    data: Path, tmp_path: Path
) -> None:
    plain = trained(data, tmp_path / "plain", "retrain.patience=12")
    other = trained(data, tmp_path / "other", "retrain.patience=12", "retrain.monitor={click: auc}")
    losses, theirs = (
        [line["validation"]["loss"] for line in r.folder.read_metrics()] for r in (plain, other)
    )
    assert losses == theirs
    assert plain.best_epochs == (losses.index(min(losses)),)


def test_a_net_per_task_monitors_where_the_task_is(data: Path, tmp_path: Path) -> None:
    result = trained(data, tmp_path / "run", "retrain.monitor={buy: auc}", source="single_task")
    lines = result.folder.read_metrics()
    click = [line["validation"]["loss"] for line in lines if line["part"] == ["click"]]
    buy = [line["validation"]["tasks"]["buy"]["auc"] for line in lines if line["part"] == ["buy"]]
    epochs = [line["epoch"] for line in lines if line["best"] and line["part"] == ["buy"]]
    assert result.best_epochs == (click.index(min(click)), epochs[-1])
    assert buy[epochs[-1] - lines[len(click)]["epoch"]] == max(buy)


def test_gauc_is_computed_where_it_is_monitored(data: Path, tmp_path: Path) -> None:
    grouped = tmp_path / "grouped.yaml"
    grouped.write_text(
        data.read_text().replace("rows.csv", str(data.parent / "rows.csv")) + "group: user\n"
    )
    result = trained(grouped, tmp_path / "run", "retrain.monitor={click: gauc}", "retrain.epochs=3")
    values = [line["validation"]["tasks"]["click"]["gauc"] for line in result.folder.read_metrics()]
    assert result.best_epochs == (values.index(max(values)),)
    assert result.validation.tasks["click"]["gauc"] == pytest.approx(max(values), abs=1e-6)


def test_status_and_report_name_it(data: Path, tmp_path: Path) -> None:
    trained(data, tmp_path / "run", "retrain.monitor={buy: auc}", "retrain.epochs=2")
    trained(data, tmp_path / "plain", "retrain.epochs=2")
    [told] = status(tmp_path / "run")
    assert told["best epoch by"] == "buy auc" and "best epoch by buy auc " in told["verdict"]
    [told] = status(tmp_path / "plain")
    assert "best epoch by" not in told and told["verdict"].rpartition(" ")[0].endswith("best epoch")
    said = [
        s.text
        for s in verdict(load_runs([tmp_path / "run", tmp_path / "plain"]))
        if "picked by validation" in s.text
    ]
    assert said == ["The epoch of run was picked by validation buy auc, not by MTL-Loss."]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "{bye: auc}",
            "retrain.monitor: must name a task of the data set, got bye; did you mean 'buy'?",
        ),
        (
            "{buy: acu}",
            "retrain.monitor: must be a metric of a binary task with a direction, got acu; did "
            "you mean 'auc'?",
        ),
        (
            "{buy: rmse}",
            "must be a metric of a binary task with a direction, got rmse; choose from auc, "
            "gauc, logloss, ne",
        ),
        (
            "{buy: calibration}",
            "got calibration; its target is 1, neither end; choose from auc, gauc, logloss, ne",
        ),
        ("{buy: gauc}", "gauc needs a data set that names a `group`"),
        ("{buy: auc, click: auc}", "monitor"),
        ("auc", "monitor"),
    ],
)
def test_refusals(data: Path, tmp_path: Path, given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        trained(data, tmp_path / "run", f"retrain.monitor={given}")
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        settings = resolve(
            source=str(data),
            space="automtl_small",
            sets=[*SETS, f"retrain.monitor={given}"],
            flags={},
        )
        search(settings, out=tmp_path / "search")
    assert not list(tmp_path.iterdir())


def test_a_study_refuses_too_and_a_metric_undefined_on_the_rows_is_said(
    data: Path, tmp_path: Path
) -> None:
    settings = resolve(
        source=str(data),
        space="automtl_small",
        sets=[*SETS, "retrain.monitor={bye: auc}"],
        flags={},
    )
    with pytest.raises(ConfigError, match="did you mean 'buy'"):
        tune(settings, out=tmp_path / "study")
    assert not list(tmp_path.iterdir())
    lines = (data.parent / "rows.csv").read_text().splitlines()
    late = [line.rpartition(",")[0] + ",0.0" if i > 200 else line for i, line in enumerate(lines)]
    (tmp_path / "rows.csv").write_text(
        "\n".join([late[0] + ",t", *(f"{line},{i}" for i, line in enumerate(late[1:]))]) + "\n"
    )
    text = data.read_text().replace("split: {kind: random", "split: {kind: time, column: t")
    (tmp_path / "late.yaml").write_text(text)
    with pytest.raises(
        DataError,
        match="retrain.monitor, epoch 0: buy auc must be defined on the validation rows, got "
        "undefined",
    ):
        trained(tmp_path / "late.yaml", tmp_path / "run", "retrain.monitor={buy: auc}")


def test_a_study_is_judged_by_the_monitor(data: Path, tmp_path: Path) -> None:
    sets = [*SETS, "tune.trials=2", "retrain.monitor={buy: auc}"]
    result = tune(
        resolve(
            source=str(data), space="automtl_small", sets=sets, flags={"runtime": {"threads": 1}}
        ),
        out=tmp_path / "s",
    )
    aucs = []
    for finding in result.findings:
        [held] = (result.folder.path / "trials" / f"{finding.number:04d}" / "run" / "retrain").glob(
            "*/results.json"
        )
        aucs.append(json.loads(held.read_text())["validation"]["tasks"]["buy"]["auc"])
        lines = (held.parent / "metrics.jsonl").read_text().splitlines()
        last = [json.loads(line)["validation"]["tasks"]["buy"]["auc"] for line in lines]
        assert [-value for _, value in sorted(finding.steps.items())][
            -len(last) :
        ] == pytest.approx(last)
    assert [-finding.loss for finding in result.findings] == aucs
    assert result.named["best"] == aucs.index(max(aucs))
    assert (
        f"validation buy auc {max(aucs):.5f}, cost"
        in (result.folder.path / "best.yaml").read_text()
    )
    assert resolve(
        source=str(data), config_file=result.folder.path / "best.yaml", flags={}
    ).retrain.monitor == {"buy": "auc"}
    [run] = load_runs([tmp_path / "s"])
    made, page = study_panel([run]), report([run])
    assert made is not None
    assert all(f"{auc:.5f}" in made for auc in aucs) and "buy auc</th>" in made
    assert f"has the highest validation buy auc, {max(aucs):.4f}" in page
    assert status(tmp_path / "s")[0]["judged by"] == "buy auc"


def test_a_study_of_sharing_modules_takes_its_own_settings_of_the_retrain(
    data: Path, tmp_path: Path
) -> None:
    settings = resolve(
        source=str(data),
        space="automtl_small",
        sets=[*SETS, "search.epochs=2", "retrain.epochs=3"],
        flags={},
    )
    search(settings, out=tmp_path / "run")
    sets = [
        "retrain.epochs=1",
        "retrain.monitor={buy: auc}",
        "tune.parameters={sharing.kind: {choices: [mmoe]}}",
        "tune.trials=1",
    ]
    flags = {"tune": {"over": "sharing"}}
    result = tune(
        resolve(source=str(data), space=False, sets=sets, flags=flags),
        searched=str(tmp_path / "run"),
        out=tmp_path / "s",
    )
    [held] = result.folder.path.glob("trials/*/run/retrain/*/metrics.jsonl")
    [line] = [json.loads(text) for text in held.read_text().splitlines()]
    assert result.findings[0].loss == pytest.approx(
        -line["validation"]["tasks"]["buy"]["auc"], abs=1e-6
    )


def test_the_setting_is_one_value() -> None:
    assert merge(
        {"retrain": {"monitor": {"a": "auc"}, "lr": 1}}, {"retrain": {"monitor": {"b": "rmse"}}}
    ) == {"retrain": {"monitor": {"b": "rmse"}, "lr": 1}}


def test_every_metric_has_a_direction_and_a_cost() -> None:
    assert {metric for metrics in MONITORED.values() for metric in metrics} == set(DIRECTIONS) - {
        "loss"
    }
    line = {"loss": 0.7, "tasks": {"buy": {"auc": 0.8, "logloss": 0.3, "ne": None}}}
    assert (Monitor.of({}).value(line), Monitor.of({}).cost(line), Monitor.of({}).name) == (
        0.7,
        0.7,
        "MTL-Loss",
    )
    auc, loss = Monitor.of({"buy": "auc"}), Monitor.of({"buy": "logloss"})
    assert (auc.value(line), auc.cost(line), auc.name) == (0.8, -0.8, "buy auc")
    assert (loss.value(line), loss.cost(line)) == (0.3, 0.3)
    assert Monitor.of({"buy": "ne"}).cost(line) is None
    check_monitor({"n": "gauc"}, {"n": "binary"}, grouped=True)
