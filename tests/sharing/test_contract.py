"""What every sharing kind must keep, whatever it computes: the rules of `automtl.testing` for all
kinds and variants, and what those of the package keep beside. A kind that is registered is here by
itself.
"""

import json

import pytest

from automtl.sharing import SEARCH_MODULES, SHARING_MODULES
from automtl.testing.sharing import RULES
from tests.sharing.modules import (
    CASES,
    FIELDS,
    FREE,
    NOISY,
    PARTIAL,
    VARIANTS,
    WIDTHS,
    inputs,
    make,
    run,
    variant,
)

every_kind = pytest.mark.parametrize("name", VARIANTS)
every_size = pytest.mark.parametrize(
    ("num_tasks", "num_experts"), [(1, 1), (1, 5), (2, 1), (2, 5), (7, 1), (7, 5), (2, 4)]
)
SIZED = [(rule, size) for rule in RULES.values() for size in rule.sizes]


@every_kind
@pytest.mark.parametrize(
    ("rule", "size"), SIZED, ids=[f"{rule.name}-{t}x{n}" for rule, (t, n) in SIZED]
)
def test_rule(rule, size, name):
    rule.check(CASES[name], *size)


@every_kind
def test_a_variant_says_what_it_promises(name):
    module = variant(name)
    assert module.noisy == (VARIANTS[name][0] in NOISY)
    if name != "mssm, basic":  # a connection may be off, and at this seed none is
        assert module.partial == name.startswith(PARTIAL)
    assert module.normalised == (name == "adatt, no residual" or not name.startswith(FREE))
    assert (module.slot_weights() is None) == (name == "aitm")


@every_size
def test_all_of_mssm_basic_changes_something_at_this_seed(num_tasks, num_experts):
    """It promises less, since a connection may be off; at this seed none is."""
    module = variant("mssm, basic", num_tasks, num_experts).train()
    sum((vector - 1).square().mean() for vector in run(module, inputs())).backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


@every_kind
@every_size
def test_a_vector_is_as_wide_as_an_expert_of_the_last_level(name, num_tasks, num_experts):
    module = variant(name, num_tasks, num_experts)
    assert module.width_out == [WIDTHS[max(slot.level for slot in module.slots)]] * num_tasks


@every_kind
def test_the_interaction_gets_a_copy_for_each_sub_network(name):
    module, rows = variant(name, num_tasks=3), []
    module(
        inputs().unflatten(1, FIELDS), lambda fields: rows.append(len(fields)) or fields.flatten(1)
    )
    assert rows == [16 * (4 if name in ("mssm", "mssm, vector, sum", "mssm, b") else 1)]


@every_kind
def test_gate_weights_and_records_name_units(name):
    module = variant(name).eval()
    run(module, inputs())
    for_all = ("moe", "moe, 2 experts", "shared_bottom")
    assert ("shared" if name in for_all else "task1") in json.dumps(module.record())
    assert len(module.gate_weights()) >= 1


def test_kinds_in_the_supernet_take_the_same_socket():
    for kind in SEARCH_MODULES:
        assert len(run(make(kind, searching=True), inputs())) == 2
    assert set(SHARING_MODULES) == {kind for kind, _ in VARIANTS.values()}
