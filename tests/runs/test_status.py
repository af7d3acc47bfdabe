"""A run's state from its files alone: live, ended, interrupted, failed."""

import pytest

from automtl import files
from automtl.cli.main import main
from automtl.runs.epoch_line import trained
from automtl.runs.manifest import Manifest
from automtl.runs.overview import cleanable, overview, remove
from automtl.runs.run_dir import RunDir
from automtl.runs.status import status


def line(epoch, loss):
    task = {"click": {"rows": 10, "auc": 0.75}, "buy": {"rows": 0, "auc": None}}
    return {
        "epoch": epoch,
        "loss": {"click": loss, "total": loss},
        "validation": {"tasks": task, "loss": loss},
    }


def made(folder, state="running", **values):
    phase = RunDir(folder).search
    data = {"name": "shop", "source": "shop.yaml", "hash": "h"}
    manifest = Manifest.start(
        phase.manifest, seed=3, planned_epochs=4, finished_epochs=1, data=data, **values
    )
    if state != "running":
        manifest.finish(state, error="loss must be finite")
    phase.append_metrics(line(0, 0.5))
    return phase


def test_a_live_run_tells_epoch_time_left_and_figures(tmp_path):
    made(tmp_path / "a")
    [found] = status(tmp_path / "a")
    assert (
        found["state"] == "running"
        and found["epoch"] == "1 of 4"
        and found["left_s_at_most"] is not None
    )
    figures = {"click": "auc 0.7500", "buy": "undefined"}
    assert found["last_epoch"] == {
        "epoch": 1,
        "train_loss": 0.5,
        "validation_loss": 0.5,
        "validation": figures,
    }
    assert found["verdict"] is None and "best_epoch" not in found, (
        "no epoch of a search is the best"
    )


def test_what_an_ended_phase_has_cost_is_told(tmp_path):
    phase = made(tmp_path / "a")
    assert status(tmp_path / "a")[0]["spent"] is None
    cost = {"seconds": 61.4, "samples": 12_345}
    files.write_json(phase.cost, cost)
    assert status(tmp_path / "a")[0]["spent"] == "12,345 rows read, 61 s"
    files.write_json(phase.cost, {**cost, "flops_spent": None, "reference_seconds": None})
    assert status(tmp_path / "a")[0]["spent"] == "12,345 rows read, 61 s"
    files.write_json(phase.cost, {**cost, "flops_spent": 4_560_000, "reference_seconds": 20.7})
    told = "12,345 rows read, 61 s, 4.56e+06 FLOPs, 21 reference seconds"
    assert status(tmp_path / "a")[0]["spent"] == told


def retrained(folder, losses, part=("click",)):
    """The lines of one part of a retrain, best wherever the loss falls."""
    phase, least = RunDir(folder).retrain("mmoe", 0), float("inf")
    if not phase.manifest.exists():
        data = {"name": "shop", "source": "shop.yaml", "hash": "h"}
        Manifest.start(
            phase.manifest,
            seed=0,
            planned_epochs=len(losses),
            data=data,
            command="automtl retrain mmoe",
        )
    for epoch, loss in enumerate(losses):
        best, least = loss < least, min(loss, least)
        phase.append_metrics({**line(epoch, loss), "part": list(part), "best": best})


def test_a_retrain_tells_its_best_epoch_and_its_last(tmp_path):
    retrained(tmp_path / "a", [0.7, 0.4, 0.6])
    [found] = status(tmp_path / "a")
    assert (found["best_epoch"]["epoch"], found["best_epoch"]["validation_loss"]) == (2, 0.4)
    assert (found["last_epoch"]["epoch"], found["last_epoch"]["validation_loss"]) == (3, 0.6)


def test_tasks_trained_one_after_the_other_have_a_best_epoch_each(tmp_path):
    retrained(tmp_path / "a", [0.7, 0.4], part=["click"])
    retrained(tmp_path / "a", [0.3, 0.5, 0.6], part=["buy"])
    [found] = status(tmp_path / "a")
    best = {
        task: (best["epoch"], best["validation_loss"]) for task, best in found["best_epoch"].items()
    }
    assert best == {"click": (2, 0.4), "buy": (1, 0.3)}
    assert found["last_epoch"]["epoch"] == 3


def test_a_clock_that_was_set_back_gives_no_time_left(tmp_path, monkeypatch):
    made(tmp_path / "a")
    monkeypatch.setattr("automtl.runs.status.now", lambda: "2001-01-01T00:00:00+00:00")
    [found] = status(tmp_path / "a")
    assert found["epoch"] == "1 of 4" and found["left_s_at_most"] is None


def test_ended_runs_say_how_and_what_to_do(tmp_path):
    made(tmp_path / "i", "interrupted")
    made(tmp_path / "f", "failed")
    assert (
        f"automtl search shop.yaml --out {tmp_path / 'i'} --resume"
        in status(tmp_path / "i")[0]["verdict"]
    )
    assert status(tmp_path / "f")[0]["verdict"] == "failed: loss must be finite"


def test_a_torn_last_line_is_left_out(tmp_path):
    phase = made(tmp_path / "a")
    with phase.metrics.open("ab") as stream:
        stream.write(b'{"epoch": 1, "lo')
    assert [found["epoch"] for found in status(tmp_path / "a")] == ["1 of 4"]


def test_clean_names_failed_phases_and_finished_searches_checkpoints_only(tmp_path):
    made(tmp_path / "runs/failed", "failed")
    done = made(tmp_path / "runs/done", "done")
    made(tmp_path / "runs/live")
    done.checkpoint("last").parent.mkdir()
    done.checkpoint("last").write_bytes(b"x")
    assert {row["run"]: row["state"] for row in overview(tmp_path / "runs")} == {
        "failed": "failed",
        "done": "done",
        "live": "running",
    }
    found = cleanable(tmp_path / "runs")
    assert found == [done.checkpoint("last"), tmp_path / "runs/failed/search"]
    for path in found:
        remove(path)
    assert cleanable(tmp_path / "runs") == [] and done.manifest.exists()


DRAW = {"epoch": 0, "loss": {"click": None, "total": None}, "b": None}
TRAINING = {"stage": "rung", "rung": 0, "name": "control 1", "b": 0.5}


@pytest.mark.parametrize(
    ("lines", "trainings", "place", "verdict"),
    [
        ([DRAW], 2, None, "architecture derived after a race of 2 trainings"),
        ([DRAW], 0, None, "architecture drawn, nothing was trained"),
        (
            [line(0, 0.5)],
            1,
            "1 of 1",
            "architecture derived after 1 epoch and a race of 1 training",
        ),
        ([line(0, 0.5)], 0, "1 of 1", "architecture derived after 1 epoch"),
    ],
)
def test_a_race_over_draws_has_no_epochs(lines, trainings, place, verdict, tmp_path):
    """It said "epoch 1 of 1", "train loss None", and "derived after 1 epoch"."""
    phase = RunDir(tmp_path).search
    data = {"name": "shop", "source": "shop.yaml", "hash": "h"}
    manifest = Manifest.start(
        phase.manifest, seed=3, planned_epochs=1, finished_epochs=1, data=data
    )
    for told in lines:
        phase.append_metrics(told)
    for _ in range(trainings):
        files.append_line(phase.race, TRAINING)
    assert status(tmp_path)[0]["left_s_at_most"] is None, "how long a race takes is not known"
    manifest.finish("done")
    [found] = status(tmp_path)
    assert found["epoch"] == place and found["verdict"] == verdict
    assert ("last_epoch" in found) == bool(place)


def test_an_epoch_of_evolution_that_only_scores_is_no_draw():
    nothing = {"loss": {"click": None, "total": None}}
    assert trained({**nothing, "best_score": 0.3}) and not trained(nothing)


@pytest.fixture
def screen(monkeypatch, capfd):
    """What `automtl status FOLDER --full` shows, in one line."""

    def shown(folder):
        monkeypatch.setattr("sys.argv", ["automtl", "status", str(folder), "--full"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return " ".join(capfd.readouterr().out.split())

    return shown


def test_an_epoch_that_only_scores_has_no_loss_and_says_so(tmp_path, screen):
    phase = made(tmp_path / "a")
    values = Manifest.read(phase.manifest)
    scoring = {**line(1, None), "best_score": 0.5, "validation": line(1, 0.5)["validation"]}
    phase.append_metrics(scoring)
    values.finish("done", finished_epochs=2)
    told = screen(tmp_path / "a")
    assert "None" not in told and "trained nothing, since it scores architectures" in told
    assert "architecture derived after 2 epochs (1 train, 1 score architectures)" in told


def test_no_figure_that_is_not_known_is_written_as_none(tmp_path, screen):
    phase = made(tmp_path / "a")
    phase.append_metrics({**line(1, 0.5), "validation": {"tasks": {}, "loss": None}})
    assert "None" not in screen(tmp_path / "a")
