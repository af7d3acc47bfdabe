"""What every sharing kind must keep, whatever it computes; a kind that is registered is here by
itself.
"""

import copy
import json

import pytest
import torch

from automtl.models.skeleton import seeded
from automtl.sharing import SEARCH_MODULES, SHARING_MODULES
from tests.sharing.modules import FIELDS, NOISY, VARIANTS, WIDTHS, inputs, make, run, variant

LABELS = torch.zeros(16, 7)
SPARSE = ("top_k", "gumbel", "snr", "mssm, b")  # a step leaves some experts, or some masks, out

every_kind = pytest.mark.parametrize("name", VARIANTS)
every_size = pytest.mark.parametrize(
    ("num_tasks", "num_experts"), [(1, 1), (1, 5), (2, 1), (2, 5), (7, 1), (7, 5), (2, 4)]
)


def logits(module, h):
    """One number per row and task, as towers would make."""
    return [out.sum(dim=1) for out in run(module, h)]


def step(module, h, labels=LABELS):
    """A loss over all tasks with the module's own term, and its gradients."""
    out = logits(module, h)
    loss = sum((o - 1).square().mean() for o in out)
    extra = module.auxiliary_loss(out, labels[:, : len(out)])
    (loss if extra is None else loss + extra).backward()
    return out, extra


@every_kind
@every_size
def test_one_vector_per_task_and_a_finite_gradient_to_everything_that_is_built(
    name, num_tasks, num_experts
):
    module, h = variant(name, num_tasks, num_experts).train(), inputs()
    module.advance(0.25)
    vectors = run(module, h)
    top = max(slot.level for slot in module.slots)
    assert [tuple(v.shape) for v in vectors] == [(16, WIDTHS[top])] * num_tasks
    assert module.width_out == [WIDTHS[top]] * num_tasks
    _, extra = step(module, h)
    assert extra is None or (extra.dim() == 0 and torch.isfinite(extra))
    for parameter_name, parameter in module.named_parameters():
        assert parameter.grad is not None, f"{parameter_name} is built and no tower reads it"
        assert torch.isfinite(parameter.grad).all(), parameter_name
        if not name.startswith(SPARSE):
            assert parameter.grad.any(), f"{parameter_name} is read and changes nothing"


@every_kind
def test_evaluation_is_finite_and_repeats(name):
    module, h = variant(name).eval(), inputs()
    first, second = run(module, h), run(module, h)
    assert all(
        torch.equal(a, b) and torch.isfinite(a).all() for a, b in zip(first, second, strict=True)
    )


@every_kind
def test_rows_do_not_see_each_other(name):
    module, h = variant(name).eval(), inputs()
    whole = run(module, h)
    for t, part in enumerate(run(module, h[3:5])):
        torch.testing.assert_close(part, whole[t][3:5], rtol=1e-12, atol=1e-12)


@every_kind
def test_same_seed_same_bits_and_noise_from_the_passed_generator_only(name):
    h = inputs()
    with seeded(1):
        made = [variant(name, seed=2).train() for _ in range(2)]
        results = [run(module, h) for module in made]
        untouched = torch.rand(1)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    with seeded(1):
        assert torch.equal(untouched, torch.rand(1)), "torch's own generator was drawn from"
    other = run(variant(name, seed=2, noise=8).train(), h)
    noisy = not all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert noisy == (VARIANTS[name][0] in NOISY)


@every_kind
def test_noise_without_a_generator_is_torchs_own(name):
    module, h = variant(name, noise=None).train(), inputs()
    draws = []
    for seed in (1, 1, 2):
        with seeded(seed):
            draws.append(run(module, h))
    first, second, other = draws
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    noisy = not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert noisy == (VARIANTS[name][0] in NOISY)


@every_kind
def test_state_round_trip(name):
    module, h = variant(name).train(), inputs()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    for i in range(5):
        module.advance(i / 5)
        step(module, h)
        optimizer.step()
        optimizer.zero_grad()
    expected = run(module.eval(), h)
    other = variant(name, seed=9)
    other.load_state_dict(module.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(run(other.eval(), h), expected, strict=True))
    other.load_state_dict(module.state_dict())
    weights, others = module.gate_weights(), other.gate_weights()
    assert weights.keys() == others.keys() and all(
        torch.equal(weights[k], others[k]) for k in weights
    )


@every_kind
def test_a_copy_after_a_training_step_is_whole(name):
    module = variant(name).train()
    run(module, inputs())
    copied = copy.deepcopy(module)
    assert all(
        torch.equal(a, b)
        for a, b in zip(run(copied.eval(), inputs()), run(module.eval(), inputs()), strict=True)
    )


@every_kind
def test_everything_moves_to_a_device(name):
    module = variant(name).to("meta")
    assert {t.device.type for t in [*module.parameters(), *module.buffers()]} == {"meta"}


@every_kind
@pytest.mark.parametrize("num_tasks", [1, 3])
def test_gradients_outside_what_a_task_reads_are_exactly_zero(name, num_tasks):
    module, h = variant(name, num_tasks).train(), inputs()
    owners = {
        id(p): slot
        for slot, expert in zip(module.slots, module.experts, strict=True)
        for p in expert.parameters()
    }
    for t in range(num_tasks):
        module.zero_grad()
        run(module, h)[t].square().sum().backward()
        read = {
            owners[id(p)]
            for p in module.parameters()
            if id(p) in owners and p.grad is not None and p.grad.any()
        }
        assert read <= module.reads(t)
        if not name.startswith(SPARSE):
            assert read == module.reads(t), "declared, but never read"
    assert set().union(*(module.reads(t) for t in range(num_tasks))) == set(module.slots), (
        "a slot that no tower reads"
    )


@every_kind
def test_each_expert_is_computed_once(name):
    module, calls = variant(name, num_tasks=4), []
    for expert in module.experts:
        expert.register_forward_hook(lambda *_: calls.append(1))
    run(module, inputs())
    assert len(calls) == len(module.slots)


@every_kind
def test_the_interaction_is_computed_once_on_whole_copies_of_the_batch(name):
    module, seen = variant(name, num_tasks=3), []

    def encode(fields):
        seen.append(fields.shape)
        return fields.flatten(1)

    module(inputs().unflatten(1, FIELDS), encode)
    [(rows, *shape)] = seen
    assert tuple(shape) == FIELDS and rows == 16 * (
        4 if name in ("mssm", "mssm, vector, sum", "mssm, b") else 1
    )


@every_kind
def test_gate_weights_are_means_over_the_rows_evaluated(name):
    module, h = variant(name).train(), inputs(rows=24)
    run(module, h)
    module.eval()
    for part in (h[:5], h[5:20], h[20:]):
        run(module, part)
    apart = module.gate_weights()
    run(module.train(), h)
    run(module.eval(), h)
    whole = module.gate_weights()
    assert apart.keys() == whole.keys() and len(apart) >= 1
    for unit, weights in apart.items():
        torch.testing.assert_close(weights, whole[unit], rtol=1e-12, atol=1e-12)


@every_kind
def test_weights_sum_to_one_where_they_should(name):
    module = variant(name, num_experts=4).eval()
    run(module, inputs())
    totals = torch.stack([weights.sum() for weights in module.gate_weights().values()])
    if name.startswith(("snr", "adatt", "mssm")) and name != "adatt, no residual":
        return
    # cross-stitch starts from float32's .9
    torch.testing.assert_close(totals, torch.ones_like(totals), rtol=1e-7, atol=1e-7)


@every_kind
def test_records_are_plain_json_and_name_units(name):
    module = variant(name).eval()
    run(module, inputs())
    record = module.record()
    assert json.loads(json.dumps(record)) == record
    for_all = ("moe", "moe, 2 experts", "shared_bottom")
    assert ("shared" if name in for_all else "task1") in json.dumps(record)


@every_kind
def test_training_goes_on_from_a_state_to_the_same_bits(name):
    h, labels = inputs(), torch.zeros(16, 2, dtype=torch.float64)

    def train(module, optimizer, steps):
        for step in steps:
            module.advance(step / 60)
            outputs = module.share(h)
            extra = module.auxiliary_loss(outputs, labels)
            (sum(v.square().mean() for v in outputs) + (0 if extra is None else extra)).backward()
            optimizer.step()
            optimizer.zero_grad()

    modules = [variant(name, seed=seed).train() for seed in (0, 5)]
    optimizers = [torch.optim.Adam(module.parameters(), lr=0.05) for module in modules]
    # past the step at which DSelect-k looks whether it has settled
    train(modules[0], optimizers[0], range(52))
    modules[1].load_state_dict(modules[0].state_dict())
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    modules[1].generator.set_state(modules[0].generator.get_state())
    for module, optimizer in zip(modules, optimizers, strict=True):
        train(module, optimizer, range(52, 57))
    for evaluated in (False, True):
        first, second = (m.train(not evaluated).share(h) for m in modules)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    states = [module.state_dict() for module in modules]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@every_kind
def test_parameter_groups_hold_own_parameters_once(name):
    module = variant(name)
    own = {id(p) for p in module.parameters()}
    groups = module.parameter_groups()
    apart = [id(p) for group in groups for p in group.parameters]
    assert len(set(apart)) == len(apart) and set(apart) <= own
    assert len({group.name for group in groups}) == len(groups)


@every_kind
def test_slot_weights_share_each_level_among_its_slots(name):
    module = variant(name, num_tasks=3).eval()
    run(module, inputs())
    weights = module.slot_weights()
    if name == "aitm":
        assert weights is None
        return
    assert weights.shape == (3, len(module.slots)) and (weights >= 0).all()
    for level in {slot.level for slot in module.slots}:
        on = [i for i, slot in enumerate(module.slots) if slot.level == level]
        torch.testing.assert_close(
            weights[:, on].sum(1), torch.ones(3, dtype=torch.float64), rtol=1e-9, atol=1e-9
        )
    for t in range(3):
        assert {
            slot for slot, w in zip(module.slots, weights[t], strict=True) if w > 0
        } <= module.reads(t)


def test_kinds_in_the_supernet_take_the_same_socket():
    for kind in SEARCH_MODULES:
        assert len(run(make(kind, searching=True), inputs())) == 2
    assert set(SHARING_MODULES) == {kind for kind, _ in VARIANTS.values()}
