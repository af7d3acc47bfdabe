"""Optimisers and schedules against torch's own, step by step, and what is refused."""

import copy

import pytest
import torch

from automtl.errors import ArtifactError, ConfigError
from automtl.models.derived import build_model
from automtl.spaces.architecture import Architecture
from automtl.training.optim.optimizers import (
    OptimizerSettings,
    check_fit,
    make_optimizer,
    set_rates,
)
from automtl.training.optim.schedules import rate_factor
from tests.support import random_batch, small_schema

EPOCHS, STEPS = 4, 3
ORACLES = {
    "adam": lambda g: torch.optim.Adam(g, lr=0.01, weight_decay=0.02, betas=(0.5, 0.9)),
    "adamw": lambda g: torch.optim.AdamW(g, lr=0.01, weight_decay=0.02, betas=(0.5, 0.9)),
    "sgd": lambda g: torch.optim.SGD(g, lr=0.01, weight_decay=0.02, momentum=0.7),
    "adagrad": lambda g: torch.optim.Adagrad(g, lr=0.01, weight_decay=0.02),
}
OWN = {
    "adam": {"betas": (0.5, 0.9)},
    "adamw": {"betas": (0.5, 0.9)},
    "sgd": {"momentum": 0.7},
    "adagrad": {},
}


def net_of(name="mmoe", sparse=False):
    template = Architecture.load(name).evolve(embedding_dim=4, towers=(4,))
    return build_model(template.bind(small_schema()), small_schema(), seed=3, sparse=sparse)


def planned(epochs):
    """A stage's epochs where so many are planned, at most."""
    return lambda stage: epochs if stage.epochs is None else min(stage.epochs, epochs)


def moved(net, optimizer, before_step, steps=EPOCHS * STEPS):
    """The weights after some steps on a plain loss."""
    for number in range(steps):
        before_step(number)
        sum(
            out.square().mean() for out in net(random_batch(small_schema(), seed=number).inputs)
        ).backward()
        optimizer.step()
        optimizer.zero_grad()
    return {name: value.clone() for name, value in net.state_dict().items()}


def settings_of(kind, **more):
    return OptimizerSettings(optimizer=kind, lr=0.01, weight_decay=0.02, **OWN[kind], **more)


def oracle_groups(net):
    tables = {id(p) for p in net.tables()}
    return [
        {"params": [p for p in net.parameters() if id(p) in tables], "weight_decay": 0.0},
        {"params": [p for p in net.parameters() if id(p) not in tables]},
    ]


@pytest.mark.parametrize("kind", ORACLES)
def test_each_optimiser_is_torchs_own_with_undecayed_tables(kind):
    mine, theirs = net_of(), net_of()
    settings = settings_of(kind)
    optimizer = make_optimizer(mine, settings)
    found = moved(
        mine,
        optimizer,
        lambda n: set_rates(
            optimizer, settings, epoch=n // STEPS, share=(n % STEPS + 1) / STEPS, epochs=EPOCHS
        ),
    )
    expected = moved(theirs, ORACLES[kind](oracle_groups(theirs)), lambda n: None)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)
    plain = moved(again := net_of(), torch.optim.Adam(again.parameters(), lr=1e-3), lambda n: None)
    assert not all(torch.equal(found[name], plain[name]) for name in found)


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_cosine_is_torchs_by_epochs(kind):
    mine, theirs, constant = net_of(), net_of(), net_of()
    settings = settings_of(kind, schedule="cosine")
    optimizer, oracle = make_optimizer(mine, settings), ORACLES[kind](oracle_groups(theirs))
    scheduler, rates = (
        torch.optim.lr_scheduler.CosineAnnealingLR(oracle, T_max=EPOCHS),
        {"mine": [], "theirs": []},
    )

    def placed(number):
        set_rates(
            optimizer,
            settings,
            epoch=number // STEPS,
            share=(number % STEPS + 1) / STEPS,
            epochs=EPOCHS,
        )
        rates["mine"].append(optimizer.param_groups[0]["lr"])

    def scheduled(number):
        if number and number % STEPS == 0:
            scheduler.step()
        rates["theirs"].append(oracle.param_groups[0]["lr"])

    found, expected = moved(mine, optimizer, placed), moved(theirs, oracle, scheduled)
    assert (
        rates["mine"] == pytest.approx(rates["theirs"])
        and rates["mine"][0] == 0.01
        and rates["mine"][-1] < 0.002
    )
    assert all(torch.allclose(found[name], expected[name], atol=1e-3) for name in expected)
    steady = moved(constant, ORACLES[kind](oracle_groups(constant)), lambda n: None)
    assert not all(torch.allclose(found[name], steady[name], atol=1e-3) for name in found)


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [(0, [1, 1, 1, 1, 1, 1]), (1, [0.5, 1, 1, 1, 1, 1]), (2, [0.25, 0.5, 0.75, 1, 1, 1])],
)
def test_a_warm_up_rises_step_by_step_to_the_whole_rate(warmup, expected):
    found = [
        rate_factor("constant", warmup, epoch=e, share=s, epochs=3)
        for e in range(3)
        for s in (0.5, 1.0)
    ]
    assert found == pytest.approx(expected)


def test_a_cosine_after_a_warm_up_is_over_the_epochs_that_are_left():
    found = [rate_factor("cosine", 1, epoch=e, share=1.0, epochs=4) for e in range(4)]
    assert found == pytest.approx([1.0, 1.0, 0.75, 0.25])  # (1 + cos(pi i / 3)) / 2


def test_rates_of_groups_are_their_own_and_follow_the_schedule_too():
    settings = OptimizerSettings(
        lr=0.01, schedule="cosine", group_lr={"masks": 0.5, "tables": 0.002}
    )
    optimizer = make_optimizer(net_of("mssm"), settings)
    assert {g["name"]: g["lr"] for g in optimizer.param_groups} == {
        "masks": 0.5,
        "tables": 0.002,
        "weights": 0.01,
    }
    set_rates(optimizer, settings, epoch=1, share=1.0, epochs=2)
    assert {g["name"]: g["lr"] for g in optimizer.param_groups} == pytest.approx(
        {"masks": 0.25, "tables": 0.001, "weights": 0.005}
    )


@pytest.mark.parametrize(
    ("model", "name", "listed"),
    [
        ("mssm", "mask", "masks, tables, weights"),
        ("mmoe", "masks", "tables, weights"),
        ("dselect_k", "gates", "selectors, scores, tables, weights"),
    ],
)
def test_an_unknown_group_is_refused_with_those_there_are(model, name, listed):
    with pytest.raises(
        ConfigError,
        match=rf"retrain.group_lr.{name}: must be a group of parameters of {model}, .*it has "
        rf"{listed}",
    ):
        check_fit(net_of(model), OptimizerSettings(group_lr={name: 0.1}), length=planned(5))


@pytest.mark.parametrize("model", ["mssm", "mome"])
def test_a_group_that_a_stage_leaves_empty_is_known(model):
    check_fit(net_of(model), OptimizerSettings(group_lr={"masks": 0.1}), length=planned(5))


def test_a_warm_up_as_long_as_a_stage_is_refused():
    net = net_of("mome")
    check_fit(net, OptimizerSettings(warmup_epochs=9), length=planned(50))
    with pytest.raises(ConfigError, match=r"must be below the 10 epochs of mome's stage"):
        check_fit(net, OptimizerSettings(warmup_epochs=10), length=planned(50))


@pytest.mark.parametrize("kind", ORACLES)
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_state_goes_on_to_the_same_bits(kind, schedule):
    settings = settings_of(kind, schedule=schedule, warmup_epochs=1)

    def placing(optimizer, first=0):
        return lambda n: set_rates(
            optimizer,
            settings,
            epoch=(n + first) // STEPS,
            share=((n + first) % STEPS + 1) / STEPS,
            epochs=EPOCHS,
        )

    whole = net_of()
    optimizer = make_optimizer(whole, settings)
    moved(whole, optimizer, placing(optimizer), steps=5)
    held, state = copy.deepcopy(whole), copy.deepcopy(optimizer.state_dict())
    other = make_optimizer(held, settings)
    other.load_state_dict(state)
    assert {g["initial_lr"] for g in other.param_groups} == {0.01}
    ends = [
        moved(net, made, placing(made, first=5), steps=5)
        for net, made in ((whole, optimizer), (held, other))
    ]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize(
    ("begun", "now"), [("adam", "sgd"), ("sgd", "adagrad"), ("adagrad", "adam"), ("adam", "adamw")]
)
def test_a_state_of_another_optimiser_is_refused(begun, now):
    net = net_of()
    optimizer = make_optimizer(net, settings_of(begun))
    moved(net, optimizer, lambda n: None, steps=2)
    with pytest.raises(ArtifactError):
        make_optimizer(net, settings_of(now)).load_state_dict(optimizer.state_dict())


def test_a_negative_sum_of_squares_is_refused():
    net = net_of()
    optimizer = make_optimizer(net, settings_of("adagrad"))
    moved(net, optimizer, lambda n: None, steps=2)
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0]["sum"][0] = -1.0
    with pytest.raises(ArtifactError, match="sum: must be at least 0"):
        optimizer.load_state_dict(state)


TABLES = {
    "lr": 0.01,
    "weight_decay": 0.02,
    "betas": (0.5, 0.9),
    "momentum": 0.7,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "group_lr": {"tables": 0.05},
}


def apart(net, optimizer, settings, first=0, steps=EPOCHS * STEPS):
    """Train by a batch of 4 rows each, of which most table rows are none."""
    for n in range(first, first + steps):
        share = (n % STEPS + 1) / STEPS
        set_rates(optimizer, settings, epoch=n // STEPS, share=share, epochs=EPOCHS)
        inputs = random_batch(small_schema(), rows=4, seed=n).inputs
        optimizer.catch_up(inputs)
        sum(out.square().mean() for out in net(inputs)).backward()
        optimizer.step()
        optimizer.zero_grad()


def lazily(tables, rates, state, n):
    """Adam (Kingma & Ba, algorithm 1) on the rows that have a gradient, each by its own count."""
    for table in tables:
        for row, slope in enumerate(table.grad):
            if not slope.any():
                continue
            m, v, t = state.get((id(table), row), (0.0, 0.0, 0))
            m, v, t = 0.5 * m + 0.5 * slope, 0.9 * v + 0.1 * slope**2, t + 1
            step = (m / (1 - 0.5**t)) / ((v / (1 - 0.9**t)).sqrt() + 1e-8)
            table.data[row] -= rates[n] * step
            state[id(table), row] = (m, v, t)


@pytest.mark.parametrize("kind", ["sgd", "lazy_adam"])
def test_tables_of_their_own_optimiser_follow_its_formula_and_the_schedule(kind):
    mine, theirs = net_of(sparse=True).double(), net_of().double()
    settings = OptimizerSettings(**TABLES, embedding_optimizer=kind)
    optimizer = make_optimizer(mine, settings)
    assert [g["name"] for g in optimizer.param_groups][-1] == "tables"
    apart(mine, optimizer, settings)
    optimizer.flush()
    tables = theirs.tables()
    rest = [p for p in theirs.parameters() if all(p is not table for table in tables)]
    adam = torch.optim.Adam(rest, betas=(0.5, 0.9), weight_decay=0.02)
    sgd, state = torch.optim.SGD(tables, momentum=0.7), {}
    factors = [
        rate_factor("cosine", 1, epoch=n // STEPS, share=(n % STEPS + 1) / STEPS, epochs=EPOCHS)
        for n in range(EPOCHS * STEPS)
    ]
    for n, factor in enumerate(factors):
        inputs = random_batch(small_schema(), rows=4, seed=n).inputs
        sum(out.square().mean() for out in theirs(inputs)).backward()
        adam.param_groups[0]["lr"], sgd.param_groups[0]["lr"] = 0.01 * factor, 0.05 * factor
        adam.step()
        if kind == "sgd":
            sgd.step()
        else:
            lazily(tables, [0.05 * f for f in factors], state, n)
        theirs.zero_grad()
    expected = theirs.state_dict()
    assert all(
        torch.allclose(value, expected[name], rtol=0, atol=1e-9)
        for name, value in mine.state_dict().items()
    )


@pytest.mark.parametrize("kind", ["sgd", "lazy_adam"])
def test_tables_of_their_own_optimiser_go_on_to_the_same_bits(kind):
    whole, held = net_of(sparse=True), net_of(sparse=True)
    settings = OptimizerSettings(**TABLES, embedding_optimizer=kind)
    optimizer, other = (make_optimizer(net, settings) for net in (whole, held))
    apart(whole, optimizer, settings, steps=5)
    held.load_state_dict(copy.deepcopy(whole.state_dict()))
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for net, made in ((whole, optimizer), (held, other)):
        apart(net, made, settings, first=5, steps=5)
        made.flush()
    assert all(torch.equal(v, held.state_dict()[name]) for name, v in whole.state_dict().items())


def test_a_state_of_tables_with_another_optimiser_is_refused():
    made = {
        kind: make_optimizer(
            net_of(sparse=kind is not None), OptimizerSettings(embedding_optimizer=kind)
        )
        for kind in (None, "sgd", "lazy_adam")
    }
    for kind, optimizer in made.items():
        for other, state in made.items():
            if kind != other:
                with pytest.raises(ArtifactError, match=r"table"):
                    optimizer.load_state_dict(state.state_dict())
    for strange in (None, [], {"tables": 3}, {**made["sgd"].state_dict(), "tables": [None]}):
        with pytest.raises(ArtifactError):
            made["sgd"].load_state_dict(strange)
