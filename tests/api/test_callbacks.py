"""Callbacks read and stop; they do not write."""

import pytest

import automtl
from automtl.errors import ConfigError
from automtl.runs.manifest import Manifest
from automtl.runs.status import status
from tests.api.shop import BRIEF, DARTS, QUICK, SPACE


class Watching(automtl.Callback):
    """Keeps what it is told; stops after some epochs."""

    def __init__(self, stop=None):
        self.stop, self.calls = stop, []

    def on_start(self, phase):
        self.calls.append(("start", phase))

    def on_epoch_end(self, epoch, figures):
        self.calls.append((epoch, figures))
        return self.stop is not None and epoch + 1 == self.stop

    def on_end(self, result):
        self.calls.append(("end", result))


def test_a_callback_sees_each_epoch_as_the_history_has_it(data, home, tmp_path):
    watching = Watching()
    [model] = automtl.retrain("mmoe", data, out=tmp_path / "r", callbacks=[watching], **BRIEF)
    (start, *epochs, end) = watching.calls
    assert start == ("start", "retrain") and end[1] is model
    history = model.history
    assert [epoch for epoch, _ in epochs] == history["epoch"].tolist()
    for (_, figures), row in zip(epochs, history.to_dict("records"), strict=True):
        assert figures == {k: v for k, v in row.items() if k != "epoch"}


def test_a_retrain_stops_with_its_best_epoch_and_is_done(data, home, tmp_path):
    [model] = automtl.retrain(
        "mmoe", data, out=tmp_path / "r", callbacks=[Watching(stop=2)], **QUICK
    )
    assert model.history["epoch"].tolist() == [0, 1] and model.folder.state() == "done"
    best = model.history["validation.loss"].idxmin()
    assert model.best_epochs == (best,)
    whole = automtl.retrain("mmoe", data, out=tmp_path / "w", **QUICK)
    assert len(whole[0].history) > 2


def test_each_seed_and_each_net_of_its_own_is_asked_anew(data, home, tmp_path):
    models = automtl.retrain(
        "single_task",
        data,
        out=tmp_path / "r",
        seeds=[0, 1],
        callbacks=[lambda e, f: True],
        **QUICK,
    )
    for model in models:  # one epoch for each of two tasks
        assert model.history[["part", "epoch"]].values.tolist() == [["click", 0], ["buy", 0]]
    assert len(models.plot().axes[0].lines) >= 4


def test_a_stop_may_be_raised(data, home, tmp_path):
    def stop(epoch, figures):
        raise automtl.StopTraining

    [model] = automtl.retrain("mmoe", data, out=tmp_path / "r", callbacks=[stop], **QUICK)
    assert len(model.history) == 1


def test_a_search_that_is_stopped_derives_from_what_there_is(data, home, tmp_path):
    found = automtl.search(
        data, space=SPACE, out=tmp_path / "s", search={**DARTS, "epochs": 4}, callbacks=[Watching(stop=1)],
        runtime={"threads": 1},
    )  # fmt: skip
    assert found.epochs == 1 and found.state == "done" and found.architecture.experts
    held = Manifest.read(tmp_path / "s/search/manifest.json").values
    assert held["stopped_early"] is True and held["finished_epochs"] == 1
    assert automtl.open(tmp_path / "s").architecture == found.architecture


def test_a_stop_after_the_last_epoch_is_no_early_stop(data, home, tmp_path):
    automtl.search(
        data,
        space=SPACE,
        out=tmp_path / "s",
        search=DARTS,
        callbacks=[Watching(stop=2)],
        **BRIEF,
    )
    assert "stopped_early" not in Manifest.read(tmp_path / "s/search/manifest.json").values


def test_callbacks_that_watch_change_nothing(data, home, tmp_path):
    def spoil(epoch, figures):
        figures.clear()

    alone = automtl.retrain("mmoe", data, out=tmp_path / "a", **BRIEF)
    watched = automtl.retrain(
        "mmoe", data, out=tmp_path / "b", callbacks=[spoil, Watching()], **BRIEF
    )
    assert alone.history.drop(columns="model").equals(watched.history.drop(columns="model"))


def test_an_error_in_a_callback_is_the_callers(data, home, tmp_path):
    def fail(epoch, figures):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        automtl.retrain("mmoe", data, out=tmp_path / "r", callbacks=[fail], **BRIEF)
    with pytest.raises(ConfigError, match="callbacks: must be functions"):
        automtl.retrain("mmoe", data, out=tmp_path / "q", callbacks=[3], **BRIEF)
    assert not (tmp_path / "q").exists()


def test_a_draw_is_no_epoch(data, home, tmp_path):
    """It was told of as one, with a row of None."""
    watching, settings = Watching(), {"strategy": "random_sampling", "selection": "argmax"}
    found = automtl.search(
        data, space=SPACE, out=tmp_path / "s", search=settings, callbacks=[watching]
    )
    assert [name for name, _ in watching.calls] == ["start", "end"]
    assert found.epochs == 0 == len(found.history) and found.after == ""
    assert [phase["epoch"] for phase in status(tmp_path / "s")] == [None]
