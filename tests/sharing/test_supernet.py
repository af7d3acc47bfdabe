"""Sharing kinds inside the supernet: both steps run, a one-hot supernet is the derived model, and
what is derived retrains.
"""

import functools

import pytest
import torch

from automtl.models.derived import build_model
from automtl.models.supernet import build_supernet
from automtl.spaces.catalogue import SHARING
from automtl.spaces.placement import Placement, plugged
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from tests.sharing.modules import VARIANTS
from tests.support import random_batch, small_schema, small_space

SEARCHED = {name: variant for name, variant in VARIANTS.items() if SHARING[variant[0]].in_supernet}
every_kind = pytest.mark.parametrize("name", SEARCHED)
SCHEMA = small_schema()


def space(**changes: object) -> SearchSpace:
    return small_space(
        **{
            "interaction": ("cross(1)", "skip"),
            "expert": ("gate", "mlp(4)", "conv1d(3)", "skip"),
            **changes,
        }
    )


def searching(name, schema=SCHEMA, noise=3, **changes):
    kind, settings = SEARCHED[name]
    generator = torch.Generator().manual_seed(noise)
    net = build_supernet(
        space(**changes), schema, sharing=kind, settings=settings, seed=1, generator=generator
    )
    darts = Darts(
        net,
        schema,
        DartsSettings(epochs=4, warmup_epochs=1, sharing=kind, sharing_settings=settings),
    )
    darts.begin_epoch(0)
    return net, darts


@functools.cache
def derived(name, **changes):
    """What a few steps of search derive, gate weights seen in evaluation."""
    net, darts = searching(name, **changes)
    for i in range(2):
        net.sharing.advance(i / 4)
        darts.step(random_batch(SCHEMA, seed=2 * i), random_batch(SCHEMA, seed=2 * i + 1))
    darts.end_epoch()
    net.eval()(random_batch(SCHEMA).inputs)
    return net, darts.derive()


@every_kind
def test_an_alpha_step_and_a_weight_step(name):
    net, darts = searching(name)
    gates = [
        p
        for n, p in net.named_parameters()
        if n.startswith("sharing.") and "alpha" not in n and ".candidates." not in n
    ]
    before = {id(p): p.detach().clone() for p in [*net.alpha_parameters(), *gates]}
    buffers = {k: v.clone() for k, v in net.named_buffers()}
    darts._alpha_step(random_batch(SCHEMA))
    assert all(torch.equal(v, buffers[k]) for k, v in net.named_buffers()), (
        "an alpha step leaves statistics and records"
    )
    moved = [not torch.equal(before[id(p)], p) for p in net.alpha_parameters()]
    assert all(moved) or (name.startswith(("top_k", "gumbel", "snr")) and any(moved))
    assert all(torch.equal(before[id(p)], p) for p in gates), (
        "gates, z, log_alpha, A and v are weights"
    )
    losses = darts._weight_step(random_batch(SCHEMA, seed=1))
    assert torch.isfinite(losses.total)
    held = [p for group in darts._sgd.param_groups for p in group["params"]]
    assert {id(p) for p in gates if p is not getattr(net.sharing, "beta", None)} <= {
        id(p) for p in held
    }


@every_kind
def test_each_slot_is_a_mixed_expert_with_alphas_of_its_own(name):
    net, _ = searching(name)
    blocks = {f"{slot}.block.{j}" for slot in net.slots for j in range(2)}
    assert (
        set(net.alphas) == blocks | {"interaction.0"}
        and len(net.alpha_parameters()) == len(blocks) + 1
    )
    kind, settings = SEARCHED[name]
    # `selected` keeps 3 of 3 experts: one way
    assert space().size(2, kind, settings) == 2 * 4 ** (2 * len(net.slots))
    tied, _ = searching(name, tie_alphas="levels")
    units = {(slot.owner, slot.index) for slot in tied.slots}
    assert len(tied.alpha_parameters()) == 2 * len(units) + 1


@every_kind
def test_what_is_derived_builds_with_the_operations_of_its_slots(name):
    net, architecture = derived(name)
    again = plugged(architecture, architecture.sharing.kind, architecture.sharing.settings)
    assert again == architecture
    slots = Placement(architecture, 2).slots
    if SEARCHED[name][0] != "selected":
        assert slots == net.slots
        assert [Placement(architecture).expert(slot) for slot in slots] == list(range(len(slots)))
    assert architecture.ranking is not None and all(
        len(task) == len(net.slots) for task in architecture.ranking
    )
    model = build_model(architecture, SCHEMA, generator=torch.Generator().manual_seed(0)).train()
    (sum(out.sum() for out in model(random_batch(SCHEMA).inputs))).backward()
    assert type(architecture).model_validate(architecture.model_dump()) == architecture


@pytest.mark.parametrize("name", [name for name in SEARCHED if name != "selected"])
def test_a_one_hot_supernet_is_the_derived_model(name):
    net, darts = searching(name, noise=5)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for alpha in net.alpha_parameters():
            alpha.zero_()[torch.randint(len(alpha), (), generator=generator)] = 1000.0
    net.set_auxiliary_skip(0.0)
    model = build_model(darts.derive(), SCHEMA, generator=torch.Generator().manual_seed(5))
    picked, state = {}, net.state_dict()
    for key, value in state.items():
        parts = key.split(".")
        if parts[-1] == "alpha" or "candidates" not in parts:
            picked[key] = value
            continue
        place = parts.index("candidates")
        alpha = state[".".join([*parts[:place], "alpha"])]
        if int(parts[place + 1]) == int(alpha.argmax()):
            picked[".".join(parts[:place] + parts[place + 2 :])] = value
    model.load_state_dict({key: picked[key] for key in model.state_dict()})
    inputs = random_batch(SCHEMA).inputs
    for mode in (False, True):
        for mine, theirs in zip(model.train(mode)(inputs), net.train(mode)(inputs), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_tied_levels_derive_the_same_operations_on_each_level():
    _, architecture = derived("ple, 3 levels", tie_alphas="levels")
    slots = Placement(architecture, 2).slots
    for unit in {(slot.owner, slot.index) for slot in slots}:
        found = {
            architecture.experts[i].blocks
            for i, slot in enumerate(slots)
            if (slot.owner, slot.index) == unit
        }
        assert len(found) == 1


@pytest.mark.parametrize("other", [kind for kind in SHARING if kind != "adatt"])
def test_another_kind_takes_the_slots_in_order_of_mean_gate_weight(other):
    net, architecture = derived("adatt, general")
    weights = net.sharing.slot_weights()
    made = plugged(architecture, other, {})
    assert all(expert.level is expert.owner is expert.task is None for expert in made.experts)
    for t in range(2):
        best = sorted(range(len(net.slots)), key=lambda i: (-float(weights[t, i]), i))
        assert [entry.expert for entry in made.ranking[t]] == best
        own = [slot for slot in Placement(made, 2).slots if slot.owner == t and slot.level == 0]
        assert [Placement(made).expert(slot) for slot in own] == best[: len(own)]
    mean = weights.mean(0)
    best = sorted(range(len(net.slots)), key=lambda i: (-float(mean[i]), i))
    shared = [
        slot for slot in Placement(made, 2).slots if slot.owner == "shared" and slot.level == 0
    ]
    assert [Placement(made).expert(slot) for slot in shared] == best[: len(shared)]
    pooled = [slot for slot in Placement(made, 2).slots if slot.owner == "pool" and slot.level == 0]
    if SHARING[other].slots == "base":
        held = [
            i
            for i in best
            if any(block.startswith(("mlp", "dense")) for block in made.experts[i].blocks)
        ]
        assert {Placement(made).expert(slot) for slot in pooled} == {held[0]}, (
            "one expert in all slots"
        )
    else:
        everyone = list(range(len(net.slots) if pooled else 0))
        assert [Placement(made).expert(slot) for slot in pooled] == everyone, (
            "a pool takes them all, as listed"
        )
    model = build_model(made, SCHEMA, generator=torch.Generator().manual_seed(0))
    assert all(torch.isfinite(out).all() for out in model(random_batch(SCHEMA).inputs))


def test_a_smaller_pool_keeps_the_experts_of_largest_mean_weight():
    net, architecture = derived("mmoe")
    mean = net.sharing.slot_weights().mean(0)
    made = plugged(architecture, "moe", {"experts": 2})
    kept = sorted(sorted(range(3), key=lambda i: -float(mean[i]))[:2])
    assert [Placement(made).expert(slot) for slot in Placement(made, 2).slots] == kept


def test_a_searched_kind_with_beta_plugs_into_every_kind():
    _, architecture = derived("selected", num_experts=4, chosen_experts=2)
    for kind in SHARING:
        made = plugged(architecture, kind, {})
        for task, picks in enumerate(architecture.chosen):
            own = [
                slot for slot in Placement(made, 2).slots if slot.owner == task and slot.level == 0
            ]
            ranked = [entry.expert for entry in architecture.ranking[task] if entry.expert in picks]
            assert [Placement(made).expert(slot) for slot in own] == [
                ranked[i % 2] for i in range(len(own))
            ]
        model = build_model(made, SCHEMA, generator=torch.Generator().manual_seed(0))
        assert all(torch.isfinite(out).all() for out in model(random_batch(SCHEMA).inputs))
