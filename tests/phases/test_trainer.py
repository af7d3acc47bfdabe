"""The phases of a sharing module, through a retrain: their lengths, judgement, schedule, optimiser
and records.
"""

import math

import pytest
import torch
from torch import nn

from automtl.errors import ConfigError, NumericalError
from automtl.phases.retrain._phase import RetrainPhase
from automtl.phases.retrain._trainer_state import copied
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run.opening import open_session
from automtl.runs import checkpoint
from automtl.runs.run_dir import PhaseDir
from automtl.sharing.base import ParameterGroup, Stage
from automtl.sharing.network import FusionNetwork
from tests.support import write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


def phase_of(dataset, out, *sets):
    flags = {"data": {"dir": str(dataset.parent / "prepared")}}
    given = ["retrain.batch_size=64", "retrain.epochs=4", "retrain.patience=2", *sets]
    plan = plan_retrain(
        "mmoe", data=str(dataset), sharing=None, config_file=None, sets=given, flags=flags, out=out
    )
    session = open_session(plan.config)
    folder = PhaseDir(out)
    out.mkdir()
    return RetrainPhase(session, folder, plan.architecture.bind(session.schema))


def toy(monkeypatch, phases, told):
    """Give every net of the house these phases, and tell what is called when."""
    monkeypatch.setattr(FusionNetwork, "stages", lambda self: phases)
    monkeypatch.setattr(FusionNetwork, "begin", lambda self, phase: told.append(phase))
    monkeypatch.setattr(
        FusionNetwork, "advance", lambda self, progress: told.append(round(progress, 4))
    )


def test_phases_run_in_order_with_their_own_length_and_progress(dataset, tmp_path, monkeypatch):
    told = []
    toy(monkeypatch, (Stage("masks", 2, judged=False), Stage("none", 0), Stage("tune")), told)
    phase = phase_of(dataset, tmp_path / "r", "retrain.patience=9")
    steps = len(phase.trainers[0].batches)
    result = phase.run()
    masks = [round(i / (2 * steps), 4) for i in range(2 * steps)]
    tune = [round(i / (4 * steps), 4) for i in range(4 * steps)]
    assert told == ["masks", *masks, "none", "tune", *tune]
    lines = result.folder.read_metrics()
    assert [(line["epoch"], line["phase"]) for line in lines] == [
        *((e, "masks") for e in (0, 1)),
        *((e, "tune") for e in (2, 3, 4, 5)),
    ]
    assert not any(line["best"] for line in lines[:2]), (
        "an epoch of a phase that is not judged is never the best"
    )
    judged = {line["epoch"]: line["validation"]["loss"] for line in lines[2:]}
    assert result.best_epochs == (min(judged, key=judged.__getitem__),)
    # a phase's first line tells what its beginning made of the model: here nothing
    assert [line["epoch"] for line in lines if "start" in line] == [2]
    assert lines[2]["start"]["loss"] == pytest.approx(lines[1]["validation"]["loss"], rel=1e-6)


def test_one_phase_has_no_name_in_the_record(dataset, tmp_path):
    result = phase_of(dataset, tmp_path / "r").run()
    assert all("phase" not in line and "start" not in line for line in result.folder.read_metrics())


def test_patience_counts_in_judged_phases_only_and_anew_in_each(dataset, tmp_path, monkeypatch):
    toy(monkeypatch, (Stage("long", 4, judged=False), Stage("first"), Stage("second")), [])
    # nothing gets better, nor much worse
    phase = phase_of(dataset, tmp_path / "r", "retrain.patience=1", "retrain.lr=1e-9")
    rising = iter(range(1, 100))
    honest = phase.trainers[0]._validate

    def worse():
        found = honest()
        return type(found)(**{**vars(found), "loss": float(next(rising))})

    monkeypatch.setattr(phase.trainers[0], "_validate", worse)
    lines = phase.run().folder.read_metrics()
    assert [line["phase"] for line in lines] == ["long"] * 4 + ["first"] * 2 + ["second"] * 2
    assert [line["best"] for line in lines] == [False] * 4 + [True, False] * 2


@pytest.mark.parametrize("losses", [[5, 6, 4, 5, 6], [9, 8, 7, 6, 5, 4]])
def test_the_horizon_is_where_training_ends_if_nothing_gets_better(
    losses, dataset, tmp_path, monkeypatch
):
    toy(monkeypatch, (Stage("long", 2, judged=False), Stage("first"), Stage("second", 1)), [])
    phase = phase_of(dataset, tmp_path / "r", "retrain.epochs=6")
    part, judged = phase.trainers[0], iter([9.0, 9.0, *map(float, losses), 1.0])
    honest = part._validate

    def validate():
        found = honest()
        return type(found)(**{**vars(found), "loss": next(judged)})

    start = part._begin

    def begin(stage):  # a later stage is judged before it begins, too
        monkeypatch.setattr(part, "_validate", honest)
        start(stage)
        monkeypatch.setattr(part, "_validate", validate)

    monkeypatch.setattr(part, "_begin", begin)
    seen, train = [], part.train

    def watched():
        for event in train():
            seen.append((event.epoch, part.horizon))
            yield event

    monkeypatch.setattr(part, "train", watched)
    phase.run()
    best = [min(range(e), key=losses.__getitem__, default=0) for e in range(len(losses))]
    ends = [min(6, b + 3) for b in best]
    expected = {0: 6, 1: 6, **{2 + e: 2 + end + 1 for e, end in enumerate(ends)}}
    expected[2 + len(losses)] = 2 + len(losses) + 1
    assert dict(seen) == expected


def test_a_judged_phase_ends_with_its_best_weights_and_an_unjudged_one_with_its_last(
    dataset, tmp_path, monkeypatch
):
    seen = {}
    toy(monkeypatch, (Stage("first", 3), Stage("last", 2, judged=False)), [])
    phase = phase_of(dataset, tmp_path / "r", "retrain.patience=9")
    (part,) = phase.trainers
    # the second epoch is the best; then the start of "last" and its two epochs
    losses = iter([3.0, 1.0, 2.0, 1.0, 1.0, 1.0])
    honest = part._validate

    def told():
        seen[part.epoch] = first(part)
        return type(found := honest())(**{**vars(found), "loss": next(losses)})

    monkeypatch.setattr(part, "_validate", told)
    begun = {}
    monkeypatch.setattr(
        FusionNetwork, "begin", lambda self, name: begun.setdefault(name, first(part))
    )
    result = phase.run()
    assert result.best_epochs == (4,)
    assert begun["last"].equal(seen[1]) and not begun["last"].equal(seen[2])
    assert first(part).equal(seen[4])


def test_a_phase_may_begin_where_the_one_before_was_best_though_that_was_not_judged(
    dataset, tmp_path, monkeypatch
):
    seen = {}
    toy(monkeypatch, (Stage("masks", 3, judged=False), Stage("tune", 1, begins="best")), [])
    phase = phase_of(dataset, tmp_path / "r", "retrain.patience=1")
    (part,) = phase.trainers
    # the first epoch is the best, two worse ones do not stop the phase, then start and "tune"
    losses = iter([1.0, 3.0, 2.0, 1.0, 9.0])
    honest = part._validate

    def told():
        seen[part.epoch] = first(part)
        return type(found := honest())(**{**vars(found), "loss": next(losses)})

    monkeypatch.setattr(part, "_validate", told)
    begun = {}
    monkeypatch.setattr(
        FusionNetwork, "begin", lambda self, name: begun.setdefault(name, first(part))
    )
    lines = phase.run().folder.read_metrics()
    assert begun["tune"].equal(seen[0]) and not begun["tune"].equal(seen[2])
    assert [line["best"] for line in lines] == [False, False, False, True], (
        "what is not judged is never kept"
    )


def test_a_phase_may_begin_anew_but_for_what_was_decided(dataset, tmp_path, monkeypatch):
    toy(monkeypatch, (Stage("choose", 2, judged=False), Stage("train", 1, begins="anew")), [])
    phase = phase_of(dataset, tmp_path / "r")
    (part,) = phase.trainers
    decided = "gates.0.linear.weight"
    fresh = {name: value.clone() for name, value in part.net.state_dict().items()}
    monkeypatch.setattr(FusionNetwork, "decided", lambda self: frozenset([decided]))
    begun, end, honest = [], [], part._make_ready
    monkeypatch.setattr(
        FusionNetwork,
        "begin",
        lambda self, name: end.append(part.net.sharing.state_dict()[decided].clone()),
    )
    monkeypatch.setattr(
        part, "_make_ready", lambda: begun.append(copied(part.net.state_dict())) or honest()
    )
    lines = phase.run().folder.read_metrics()
    kept = f"sharing.{decided}"
    assert [name for name, value in begun[1].items() if not value.equal(fresh[name])] == [kept]
    assert begun[1][kept].equal(end[1])
    assert [line.get("anew_from") for line in lines] == [None, None, 2] and "start" not in lines[2]


@pytest.mark.parametrize(("asked", "epochs"), [(1, 1), (4, 1), (5, 2), (10**6, 4)])
def test_a_phase_of_steps_is_made_up_to_epochs_at_most_as_many_as_are_planned(
    asked, epochs, dataset, tmp_path, monkeypatch
):
    toy(monkeypatch, (Stage("settle", steps=asked, judged=False), Stage("train")), [])
    phase = phase_of(dataset, tmp_path / "r")
    assert len(phase.trainers[0].batches) == 4 and phase.trainers[0].planned_epochs == epochs + 4


def first(part):
    return next(iter(part.net.towers[0].parameters())).detach().clone()


def test_parameters_may_change_at_the_beginning_of_a_phase(dataset, tmp_path, monkeypatch):
    toy(monkeypatch, (Stage("a", 1, judged=False), Stage("b", 2)), [])
    made = {}

    def begin(self, phase):
        if phase == "b":
            self.extra = made["extra"] = nn.Parameter(torch.ones(3))

    monkeypatch.setattr(FusionNetwork, "begin", begin)
    monkeypatch.setattr(
        FusionNetwork,
        "auxiliary_loss",
        lambda self, outputs, labels: self.extra.sum() if "extra" in made else None,
    )

    def groups(self):
        return (
            [ParameterGroup("extra", [self.extra], lr=0.25, weight_decay=0.0)]
            if "extra" in made
            else []
        )

    monkeypatch.setattr(FusionNetwork, "parameter_groups", groups)
    phase = phase_of(dataset, tmp_path / "r")
    steps = len(phase.trainers[0].batches)
    best = phase.run().best_epochs[0]
    # Adam moves a parameter of constant gradient by its rate at each step
    trained = best * steps  # steps of phase b up to its best epoch's end
    moved = checkpoint.load(tmp_path / "r/checkpoint/best.safetensors")["net"]["sharing.extra"]
    assert torch.allclose(moved, torch.full((3,), 1 - 0.25 * trained), atol=1e-3)


def test_a_validation_loss_that_is_not_finite_is_told(dataset, tmp_path, monkeypatch):
    phase = phase_of(dataset, tmp_path / "r")
    honest = phase.trainers[0]._validate
    monkeypatch.setattr(
        phase.trainers[0],
        "_validate",
        lambda: type(found := honest())(**{**vars(found), "loss": float("nan")}),
    )
    with pytest.raises(
        NumericalError, match="epoch 0: the validation MTL-Loss must be finite, got nan"
    ):
        phase.run()


def test_a_group_keeps_its_decay_in_a_search_whose_rate_is_one_for_all_weights():
    from automtl.models.supernet import build_supernet
    from automtl.strategies.darts import Darts
    from automtl.strategies.darts_settings import DartsSettings
    from automtl.training.optim.schedules import cosine_lr
    from tests.support import small_schema, small_space

    net = build_supernet(small_space(), small_schema(), sharing="adatt")
    own = next(net.sharing.parameters())
    net.sharing.parameter_groups = lambda: [ParameterGroup("own", [own], lr=0.5, weight_decay=0.0)]
    darts = Darts(net, small_schema(), DartsSettings(epochs=4, warmup_epochs=1, weight_lr=0.02))
    darts.begin_epoch(2)
    first, rest = darts._sgd.param_groups
    assert first["lr"] == rest["lr"] == cosine_lr(0.02, 2, 4), "a group's own rate is Adam's"
    assert (
        first["weight_decay"] == 0.0 and rest["weight_decay"] == 3e-4 and first["params"] == [own]
    )


def test_rates_follow_the_schedule_anew_in_each_phase(dataset, tmp_path, monkeypatch):
    toy(monkeypatch, (Stage("masks", 2, judged=False), Stage("tune")), [])
    phase = phase_of(
        dataset,
        tmp_path / "r",
        "retrain.patience=9",
        "retrain.schedule=cosine",
        "retrain.lr=0.01",
        "retrain.warmup_epochs=1",
    )
    (part,), rates = phase.trainers, []
    honest = part.trained.step

    def watched(batch, **place):
        losses = honest(batch, **place)
        rates.append(part.trained.optimizer.param_groups[-1]["lr"])
        return losses

    monkeypatch.setattr(part.trained, "step", watched)
    phase.run()
    steps = len(part.batches)
    rise = [0.01 * (i + 1) / steps for i in range(steps)]
    two, four = (
        [
            0.01 * (1 + math.cos(math.pi * e / (n - 1))) / 2
            for e in range(n - 1)
            for _ in range(steps)
        ]
        for n in (2, 4)
    )
    assert rates == pytest.approx([*rise, *two, *rise, *four])


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["retrain.group_lr={masks: 0.1}"], "it has tables, weights"),
        (["retrain.warmup_epochs=4"], "must be below retrain.epochs = 4"),
        (
            ["retrain.betas=[0.9, 0.99]", "retrain.optimizer=sgd"],
            "belongs to optimizer adam or adamw",
        ),
        (["retrain.momentum=0.5"], "belongs to optimizer sgd"),
        (
            ["retrain.momentum=0.5", "retrain.embedding_optimizer=lazy_adam"],
            "belongs to optimizer sgd",
        ),
        (
            ["retrain.embedding_optimizer=adam", "retrain.optimizer=sgd"],
            "retrain.embedding_optimizer: must be sgd, lazy_adam or null",
        ),
        (["retrain.betas=[0.9, 1.0]"], "betas"),
        (["retrain.group_lr={tables: 0}"], "group_lr.tables"),
        (["retrain.group_lr={tables: .inf}"], "group_lr.tables"),
        (["retrain.optimizer=lion"], "optimizer"),
        (["retrain.schedule=step"], "'constant' or 'cosine'"),
    ],
)
def test_settings_of_the_optimiser_that_cannot_be_meant_are_refused(
    sets, message, dataset, tmp_path
):
    with pytest.raises(ConfigError, match=message):
        phase_of(dataset, tmp_path / "r", *sets)
    assert not (tmp_path / "r" / "manifest.json").exists()


def test_a_warm_up_as_long_as_a_phase_of_steps_is_refused(dataset, tmp_path, monkeypatch):
    toy(monkeypatch, (Stage("settle", steps=6, judged=False), Stage("train")), [])
    assert (
        phase_of(dataset, tmp_path / "steps", "retrain.warmup_epochs=1").trainers[0].planned_epochs
        == 2 + 4
    )
    with pytest.raises(
        ConfigError, match=r"must be below the 2 epochs of mmoe's stage 'settle', got 2"
    ):
        phase_of(dataset, tmp_path / "r", "retrain.warmup_epochs=2")


@pytest.mark.parametrize(
    "setting", ["optimizer=sgd", "group_lr={tables: 0.5}", "schedule=cosine", "betas=[0, 0]"]
)
def test_each_setting_of_the_optimiser_acts(setting, dataset, tmp_path):
    given = {"plain": [], "other": [f"retrain.{setting}"]}
    losses = [
        phase_of(dataset, tmp_path / name, *sets).run().validation.loss
        for name, sets in given.items()
    ]
    assert losses[0] != losses[1]
