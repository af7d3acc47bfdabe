"""The search in a loop of one's own takes the steps of the package's."""

import copy

import torch

import automtl
from automtl import nn as mtl
from automtl.models.supernet import build_supernet
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from tests.support import random_batch, small_schema, small_space

SCHEMA = small_schema()
EPOCHS, STEPS = 3, 4  # of an epoch
BATCHES = [random_batch(SCHEMA, seed=seed) for seed in range(2 * EPOCHS * STEPS)]
SETTINGS = {"epochs": EPOCHS, "warmup_epochs": 1, "alpha_lr": 0.01, "beta_lr": 0.01}


def search(net: mtl.Supernet, steps: int = EPOCHS * STEPS) -> mtl.Darts:
    darts = mtl.Darts(net, steps=EPOCHS * STEPS, **SETTINGS)
    for i in range(steps):
        darts.step(BATCHES[2 * i], BATCHES[2 * i + 1])
    return darts


def fresh(seed: int = 0, **changes) -> mtl.Supernet:
    torch.manual_seed(seed)
    return mtl.Supernet(small_space(), SCHEMA, **changes)


def test_its_steps_are_those_of_the_search_over_epochs() -> None:
    plain = search(fresh())
    net = build_supernet(small_space(), SCHEMA, seed=0)
    stepper = Darts(net, SCHEMA, DartsSettings(**SETTINGS))
    for epoch in range(EPOCHS):
        stepper.begin_epoch(epoch)
        for i in range(epoch * STEPS, (epoch + 1) * STEPS):
            net.sharing.advance(i / (EPOCHS * STEPS))
            stepper.step(BATCHES[2 * i], BATCHES[2 * i + 1])
        stepper.end_epoch()
    assert plain.derive() == stepper.derive()
    mine, others = plain.net.state_dict(), net.state_dict()
    assert mine.keys() == others.keys() and all(torch.equal(mine[k], others[k]) for k in mine)


def test_alpha_moves_from_the_first_step_and_beta_after_the_warm_up() -> None:
    net = fresh()
    start = [p.detach().clone() for p in [*net.alpha_parameters(), *net.beta_parameters()]]
    search(net, STEPS)
    *alphas, beta = [*net.alpha_parameters(), *net.beta_parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(alphas, start, strict=False))
    assert torch.equal(beta, start[-1])
    net = fresh()
    search(net, STEPS + 1)
    assert not torch.equal(net.beta_parameters()[0], start[-1])


def test_an_architecture_is_derived_and_built() -> None:
    net = fresh()
    architecture = search(net).derive()
    assert architecture == mtl.derive(net)
    assert [task.name for task in architecture.tasks] == [task.name for task in SCHEMA.tasks]
    model = automtl.build_model(architecture, SCHEMA)
    assert [out.shape for out in model(BATCHES[0].inputs)] == [(32,), (32,)]


def test_a_step_beyond_the_plan_is_one_of_the_last() -> None:
    darts = search(fresh())
    assert darts.epoch == EPOCHS - 1
    darts.step(BATCHES[0], BATCHES[1])
    assert darts.epoch == EPOCHS - 1 and darts.taken == EPOCHS * STEPS + 1


def test_it_goes_on_from_a_state_to_the_same_bits() -> None:
    whole = search(fresh())
    half = search(fresh(), 5)
    states = copy.deepcopy((half.net.state_dict(), half.state_dict()))
    other = mtl.Darts(fresh(7), steps=EPOCHS * STEPS, **SETTINGS)
    other.net.load_state_dict(states[0])
    other.load_state_dict(states[1])
    for i in range(5, EPOCHS * STEPS):
        other.step(BATCHES[2 * i], BATCHES[2 * i + 1])
    assert whole.derive() == other.derive()
    pairs = zip(whole.net.state_dict().values(), other.net.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_it_takes_what_the_space_recommends_and_other_sharing_kinds() -> None:
    space = SearchSpace.load("automtl_small")
    darts = mtl.Darts(mtl.Supernet(space, SCHEMA), beta_lr=0.5)
    assert (darts.settings.alpha_lr, darts.settings.epochs) == (0.003, 3)
    assert darts.settings.beta_lr == 0.5 and darts.settings.weight_lr == DartsSettings().weight_lr
    other = search(fresh(sharing="dselect_k", settings={"k": 1}))
    assert other.derive().sharing.kind == "dselect_k"
    assert other.derive().sharing.settings["k"] == 1


def test_a_batch_of_ones_own_has_no_weights_and_no_numbers_of_rows() -> None:
    batch = mtl.Batch(
        mtl.Inputs(torch.zeros(8, 3, dtype=torch.int64), torch.zeros(8, 1)), torch.ones(8, 2)
    )
    assert len(batch) == 8 and batch.weights is None and len(batch.rows) == 0
    assert len(batch.to("cpu")) == 8
    search_step = mtl.Darts(fresh(), steps=2, **SETTINGS).step(batch, batch)
    assert torch.isfinite(search_step.total)
