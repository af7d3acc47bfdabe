import pytest

from automtl.errors import ConfigError
from automtl.layers.interaction import BUILDERS as INTERACTION_BUILDERS
from automtl.layers.operations import BUILDERS as EXPERT_BUILDERS
from automtl.sharing import SEARCH_MODULES, SHARING_MODULES
from automtl.spaces.catalogue import SHARING, sharing_settings
from automtl.spaces.kinds import LAYOUTS
from automtl.spaces.operations import OPERATIONS, Operation
from automtl.spaces.wiring import WIRINGS


@pytest.mark.parametrize(
    "text",
    [
        "mlp(64)",
        "product(inner)",
        "skip",
        "conv1d(7)",
        "cross(4)",
        "self_attention(8)",
        "gate",
        "dense(256)",
    ],
)
def test_an_operation_reads_back_as_written(text):
    assert str(Operation.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("mpl(64)", "", "did you mean 'mlp'?"),
        ("mlp", "", "mlp needs its argument 'hidden'"),
        ("mlp(0)", "", "mlp(hidden) must be a whole number from 1"),
        ("conv1d(4)", "", "conv1d(kernel) must be an odd whole number"),
        ("skip(3)", "", "skip takes no argument"),
        ("product(both)", "", "must be one of inner, outer, got 'both'"),
        ("gate", "interaction", "must be an interaction operation, got 'gate'"),
        ("cross(1)", "expert", "must be an expert operation, got 'cross'"),
        ("__import__('os')", "", "must be an operation such as mlp(64)"),
    ],
)
def test_a_wrong_operation_is_refused_by_name(text, place, message):
    with pytest.raises(ConfigError) as caught:
        Operation.parse(text, place)
    assert message in str(caught.value)


def test_catalogue_and_builders_match_one_to_one():
    by_place = {
        place: {n for n, s in OPERATIONS.items() if place in s.places}
        for place in ("interaction", "expert")
    }
    assert set(INTERACTION_BUILDERS) == by_place["interaction"]
    assert set(EXPERT_BUILDERS) == by_place["expert"]
    assert set(SHARING_MODULES) | {"single_task"} == set(SHARING)
    assert {s.slots for s in SHARING.values()} == set(LAYOUTS)
    assert {s.wiring for s in SHARING.values()} == set(WIRINGS)
    assert {kind for kind, s in SHARING.items() if s.in_supernet} <= set(SEARCH_MODULES)


def test_sharing_settings_fill_defaults_and_refuse_what_is_unknown_or_of_another_type():
    assert sharing_settings("mmoe", {}) == {"gate_bias": False}
    for kind, given, message in [
        ("mmoee", {}, "did you mean 'mmoe'?"),
        ("mmoe", {"gate_bia": True}, "did you mean 'gate_bias'?"),
        ("selected", {"k": 2}, "this kind has no settings"),
        ("mmoe", {"gate_bias": 1}, "must be of type bool, got 1"),
    ]:
        with pytest.raises(ConfigError) as caught:
            sharing_settings(kind, given)
        assert message in str(caught.value)
