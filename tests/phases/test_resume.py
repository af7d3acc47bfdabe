"""Exact resume: a phase that was stopped at any step ends in the same bits as one that was not."""

import os
import signal

import pytest

from automtl.errors import Interrupted
from automtl.phases.search import search
from automtl.runs import checkpoint
from automtl.runs.run_dir import PhaseDir
from automtl.sharing.base import Stage
from automtl.sharing.network import FusionNetwork
from automtl.strategies.registry import STRATEGIES
from tests.phases.stopping import (
    After,
    When,
    config,
    len_of,
    plan,
    same_phase,
    stop,
    terminate,
    train,
)
from tests.support import Stop, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


SEARCHES = [
    *(name for name in STRATEGIES if name != "random_sampling"),
    "second_order",
    "lazy_adam",
    "dselect_k",
    "balanced",
]
CUTS = {"darts": (1, 3, 4), "evolution": (2, 4), "random_search": (1, 5)}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_stopped_inside_an_epoch_goes_on_to_the_same_bits(name, dataset, tmp_path):
    extra = {
        "second_order": ["search.second_order=true"],
        "lazy_adam": ["search.embedding_optimizer=lazy_adam"],
        "dselect_k": ["search.sharing=dselect_k"],
        "balanced": ["search.balancing.method=gradnorm"],
    }.get(name, [f"search.strategy={name}"])
    made = config(dataset, *extra)
    search(made, out=tmp_path / "whole")
    for number, steps in enumerate(CUTS.get(name, (3,))):
        out = tmp_path / f"cut{number}"
        with pytest.raises(Stop):
            search(made, out=out, reporter=After(steps, stop))
        search(made, out=out, resume=True)
        same_phase(tmp_path / "whole/search", out / "search", ["last"])


@pytest.mark.parametrize("name", ["darts", "evolution", "random_search"])
def test_a_search_stopped_between_two_epochs_goes_on_to_the_same_bits(name, dataset, tmp_path):
    own = ["search.generations=2"] if name == "evolution" else []
    made = config(dataset, f"search.strategy={name}", *own, every=None)
    whole = search(made, out=tmp_path / "whole")
    for epoch in range(2, whole.epochs + 1):
        out = tmp_path / f"epoch{epoch}"
        with pytest.raises(Stop):
            search(made, out=out, reporter=When(f"epoch {epoch}/", stop))
        search(made, out=out, resume=True)
        same_phase(tmp_path / "whole/search", out / "search", ["last"])


OTHERS = {
    "sgd": (
        "mmoe",
        ["retrain.optimizer=sgd", "retrain.schedule=cosine", "retrain.group_lr={tables: 0.1}"],
    ),
    "adagrad": ("mmoe", ["retrain.optimizer=adagrad", "retrain.warmup_epochs=2"]),
    "adamw": (
        "mssm",
        [
            "retrain.optimizer=adamw",
            "retrain.schedule=cosine",
            "retrain.warmup_epochs=1",
            "retrain.group_lr={masks: 0.1}",
        ],
    ),
    "tables by sgd": (
        "single_task",
        ["retrain.embedding_optimizer=sgd", "retrain.group_lr={tables: 0.1}"],
    ),
    "tables by lazy adam, balanced": (
        "mmoe",
        ["retrain.embedding_optimizer=lazy_adam", "retrain.balancing.method=pcgrad"],
    ),
    "tables by sgd, in stages": (
        "mome",
        [
            "retrain.embedding_optimizer=sgd",
            "retrain.schedule=cosine",
            "sharing.masks=2",
            "sharing.neuron_epochs=1",
            "sharing.weight_epochs=1",
        ],
    ),
    "stages": (
        "mome",
        [
            "retrain.schedule=cosine",
            "sharing.masks=2",
            "sharing.neuron_epochs=2",
            "sharing.weight_epochs=1",
        ],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_optimiser_and_its_schedule_go_on_to_the_same_bits(name, dataset, tmp_path):
    kind, sets = OTHERS[name]
    train(plan(dataset, kind, tmp_path / "whole", *sets))
    for cut in (2, 7, 11):
        out = tmp_path / f"cut{cut}"
        with pytest.raises(Stop):
            train(plan(dataset, kind, out, *sets), reporter=After(cut, stop))
        result = train(plan(dataset, kind, out, *sets, resume=True), resume=True)
        same_phase(
            tmp_path / "whole/retrain" / result.folder.path.name, result.folder.path, ["best"]
        )


def test_what_a_stage_does_not_train_stays_untrained(dataset, tmp_path, monkeypatch):
    """A sharing module's begin() is not called again for a stage that was begun."""
    monkeypatch.setattr(
        FusionNetwork, "stages", lambda self: (Stage("learn", 1, judged=False), Stage("fit"))
    )
    monkeypatch.setattr(
        FusionNetwork, "begin", lambda self, phase: self.experts[0].requires_grad_(phase != "fit")
    )
    train(plan(dataset, "mmoe", tmp_path / "whole"))
    for cut in (2, 7):
        out = tmp_path / f"cut{cut}"
        with pytest.raises(Stop):
            train(plan(dataset, "mmoe", out), reporter=After(cut, stop))
        result = train(plan(dataset, "mmoe", out, resume=True), resume=True)
        same_phase(
            tmp_path / "whole/retrain" / result.folder.path.name, result.folder.path, ["best"]
        )


@pytest.mark.parametrize("kind", ["mmoe", "single_task", "gumbel", "balanced"])
def test_a_retrain_stopped_at_any_step_goes_on_to_the_same_bits(kind, dataset, tmp_path):
    sets = ["retrain.balancing.method=uncertainty"] if kind == "balanced" else []
    kind = "mmoe" if kind == "balanced" else kind
    train(plan(dataset, kind, tmp_path / "whole", *sets))
    steps = 3 * 4 * (2 if kind == "single_task" else 1)
    for cut in (2, steps // 2 + 1, steps):
        out = tmp_path / f"cut{cut}"
        with pytest.raises(Stop):
            train(plan(dataset, kind, out, *sets), reporter=After(cut, stop))
        result = train(plan(dataset, kind, out, *sets, resume=True), resume=True)
        same_phase(
            tmp_path / "whole/retrain" / result.folder.path.name, result.folder.path, ["best"]
        )
        assert not result.folder.checkpoint("last").exists(), (
            "nothing goes on from an ended retrain"
        )


STAGED = {  # two epochs before the first that is judged, each of 4 steps
    "dselect_k": ["sharing.select_epochs=2"],
    "dselect_k, per example": ["sharing.select_epochs=2", "sharing.per_example=true"],
    "mssm": ["sharing.settle_steps=5"],
    "snr_trans": ["sharing.settle_steps=8"],
    "mome": [
        "sharing.masks=2",
        "sharing.neuron_epochs=1",
        "sharing.weight_epochs=1",
        "sharing.lambda_neuron=1",
    ],
}


@pytest.mark.parametrize("name", STAGED)
def test_a_retrain_stopped_in_any_stage_goes_on_to_the_same_bits(name, dataset, tmp_path):
    kind, sets = name.split(",")[0], STAGED[name]
    whole = train(plan(dataset, kind, tmp_path / "whole", *sets))
    assert [line["judged"] for line in whole.folder.read_metrics()] == [False] * 2 + [True] * 3
    # inside the stage before, at its end, at the first step of the judged one and inside that
    for cut in (3, 8, 9, 15):
        out = tmp_path / f"cut{cut}"
        with pytest.raises(Stop):
            train(plan(dataset, kind, out, *sets), reporter=After(cut, stop))
        result = train(plan(dataset, kind, out, *sets, resume=True), resume=True)
        same_phase(whole.folder.path, result.folder.path, ["best"])


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_step_end_and_keeps_it(asked, dataset, tmp_path):
    before = signal.getsignal(asked)
    seldom = config(dataset, every=None)
    search(seldom, out=tmp_path / "whole")
    with pytest.raises(Interrupted) as caught:
        search(seldom, out=tmp_path / "cut", reporter=After(3, lambda: os.kill(os.getpid(), asked)))
    assert caught.value.signal == asked and caught.value.folder == str(tmp_path / "cut")
    assert signal.getsignal(asked) is before, "whoever had the signal has it again"
    folder = PhaseDir(tmp_path / "cut/search")
    assert folder.state() == "interrupted"
    held = checkpoint.load(folder.checkpoint("last"))
    assert held["epoch"] * len_of(dataset) + held["step"] == 3
    search(seldom, out=tmp_path / "cut", resume=True)
    same_phase(tmp_path / "whole/search", folder.path, ["last"])


def test_a_second_signal_stops_at_once(dataset, tmp_path):
    def twice():
        terminate()
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="what the last checkpoint holds is kept") as caught:
        search(config(dataset, every=2), out=tmp_path / "cut", reporter=After(2, twice))
    assert caught.value.signal == signal.SIGINT
    assert not (tmp_path / "cut/search/checkpoint/last.safetensors").exists()


def test_a_retrain_that_is_told_to_stop_goes_on_and_ended_seeds_are_not_run_again(
    dataset, tmp_path
):
    train(plan(dataset, "mmoe", tmp_path / "whole", every=None))
    made = plan(dataset, "mmoe", tmp_path / "cut", every=None)
    with pytest.raises(Interrupted):
        train(made, reporter=After(5, terminate))
    again = plan(dataset, "mmoe", tmp_path / "cut", resume=True, every=None)
    ended = train(again, resume=True)
    same_phase(tmp_path / "whole/retrain/mmoe-s0", tmp_path / "cut/retrain/mmoe-s0", ["best"])
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut").rglob("*") if p.name != ".lock"}
    steps = After(1, stop)
    result = train(again, resume=True, reporter=steps)
    assert steps.left == 1 and before == {
        p: p.stat().st_mtime_ns for p in (tmp_path / "cut").rglob("*") if p.name != ".lock"
    }
    assert (result.validation, result.best_epochs) == (ended.validation, ended.best_epochs)
