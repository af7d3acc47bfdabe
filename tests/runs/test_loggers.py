import pytest

from automtl.errors import ConfigError
from automtl.runs import loggers
from automtl.runs.loggers import LOGGERS, Sinks, mlflow_name, scalars
from automtl.runs.run_dir import PhaseDir

ABOUT = {"data": "clicks", "seed": "3", "phase": "search"}


def line(epoch=0, **changes):
    metrics = {
        "click": {"auc": 0.7 + epoch / 100, "calibration": None},
        "buy": {"rmse": 1.5, "rows": 9},
    }
    validation = {"tasks": metrics, "loss": 0.6}
    return {
        "epoch": epoch,
        "loss": {"click": 0.5, "buy": None, "total": 0.5},
        "validation": validation,
        "entropy": 1.9,
        **changes,
    }


EXPECTED = {
    "loss/click": 0.5,
    "loss/total": 0.5,
    "validation_loss/total": 0.6,
    "metric/auc_click": 0.7,
    "metric/rmse_buy": 1.5,
    "metric/rows_buy": 9.0,
    "search/entropy": 1.9,
}


class Memory:
    def __init__(self, folder, about, first):
        self.folder, self.about, self.first, self.lines, self.state = folder, about, first, [], None
        MADE.append(self)

    def log(self, epoch, values):
        self.lines.append((epoch, values))

    def close(self, state):
        self.state = state


class Broken(Memory):
    def log(self, epoch, values):
        raise OSError("no space left")


MADE = []


@pytest.fixture
def memory(monkeypatch):
    MADE.clear()
    monkeypatch.setitem(LOGGERS, "memory", (Memory, "json"))
    monkeypatch.setitem(LOGGERS, "broken", (Broken, "json"))
    return MADE


def test_figures_have_the_names_that_users_know():
    assert scalars(line(), 2) == EXPECTED


def test_a_line_of_one_net_of_several_has_no_total_of_the_whole():
    part = scalars(line(part=["click"], loss={"click": 0.5, "total": 0.5}), 2)
    assert (
        "loss/total" not in part
        and "validation_loss/total" not in part
        and part["loss/click"] == 0.5
    )
    assert "loss/total" in scalars(line(part=["click"], loss={"click": 0.5, "total": 0.5}), 1)


def test_an_epoch_without_validation_is_told_as_it_is():
    assert scalars(line(validation=None), 2) == {
        "loss/click": 0.5,
        "loss/total": 0.5,
        "search/entropy": 1.9,
    }


def test_loggers_get_every_line_and_how_the_phase_ended(memory, tmp_path):
    sinks = Sinks(["memory"], print)
    with sinks.of(PhaseDir(tmp_path), about=ABOUT, tasks=2):
        sinks.log(line(1))
        sinks.log(line(2))
    [made] = memory
    assert (
        [epoch for epoch, _ in made.lines] == [1, 2]
        and made.first == 1
        and made.state == "done"
        and made.about == ABOUT
    )
    with pytest.raises(KeyboardInterrupt), sinks.of(PhaseDir(tmp_path), about=ABOUT, tasks=2):
        sinks.log(line())
        raise KeyboardInterrupt
    assert memory[1].state == "failed"


def test_a_logger_that_fails_is_named_once_and_the_others_go_on(memory, tmp_path):
    said = []
    sinks = Sinks(["broken", "memory"], said.append)
    with sinks.of(PhaseDir(tmp_path), about=ABOUT, tasks=2):
        for epoch in range(3):
            sinks.log(line(epoch))
    assert said == ["the logger broken failed and is left out from here on: OSError: no space left"]
    assert len(memory[1].lines) == 3


def test_unknown_and_missing_loggers_are_refused_before_anything_runs(monkeypatch):
    with pytest.raises(ConfigError, match="did you mean 'tensorboard'"):
        Sinks(["tensorbord"], print)
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'automtl\[mlflow\]'"):
        Sinks(["mlflow"], print)


def test_names_for_mlflow_are_legal_and_stay_apart():
    assert mlflow_name("metric/auc_click") == "metric/auc_click"
    assert mlflow_name("loss/<b>") == "loss/_3cb_3e" and mlflow_name("loss/é") != mlflow_name(
        "loss/ü"
    )


@pytest.mark.slow  # needs the extra; scripts/test_report_browser.sh installs it
def test_tensorboard_reads_back_what_was_logged(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = PhaseDir(tmp_path / "run" / "search")
    for epochs in ((0, 1, 2), (2, 3)):  # stopped after epoch 2 was logged, resumed from it
        sinks = Sinks(["tensorboard"], pytest.fail)
        with sinks.of(folder, about=ABOUT, tasks=2):
            for epoch in epochs:
                sinks.log(line(epoch))
    reader = EventAccumulator(str(folder.path / "tensorboard"))
    reader.Reload()
    assert set(reader.Tags()["scalars"]) == set(EXPECTED)
    told = [(event.step, round(event.value, 5)) for event in reader.Scalars("metric/auc_click")]
    assert told == [(0, 0.7), (1, 0.71), (2, 0.72), (3, 0.73)]


# MLflow's own use of SQLAlchemy 2.1
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.slow  # needs the extra; scripts/test_report_browser.sh installs it
def test_mlflow_s_client_reads_back_what_was_logged(tmp_path):
    from mlflow.tracking import MlflowClient

    search, retrain = (
        PhaseDir(tmp_path / "it's" / "search"),
        PhaseDir(tmp_path / "it's" / "retrain" / "selected-s0"),
    )
    for folder, epochs in ((search, (0, 1)), (search, (2,)), (retrain, (0,))):
        sinks = Sinks(["mlflow"], pytest.fail)
        with sinks.of(folder, about=ABOUT, tasks=2):
            for epoch in epochs:
                sinks.log(line(epoch))
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("clicks")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"it's: search", "it's: selected-s0"}
    assert len(client.search_runs([experiment.experiment_id])) == 2, (
        "a resumed phase goes on with its run"
    )
    run = runs["it's: search"]
    assert (
        run.info.status == "FINISHED"
        and run.data.params == ABOUT
        and set(run.data.metrics) == set(EXPECTED)
    )
    history = client.get_metric_history(run.info.run_id, "metric/auc_click")
    assert sorted((m.step, m.value) for m in history) == [(0, 0.7), (1, 0.71), (2, 0.72)]
