"""Changes to hand-made templates: what each does, and what is refused in which words."""

import pytest

from automtl.errors import ConfigError
from automtl.spaces.architecture import Architecture, shipped_architectures
from automtl.spaces.placement import plugged
from automtl.spaces.templates import OF_ANY, changed, check_changes
from tests.spaces.test_architecture import schema, searched, template

TEMPLATES = sorted(name for name in shipped_architectures() if Architecture.load(name).is_template)
VALUES = {
    "embedding_dim": 8,
    "numeric": "joint",
    "interaction": ["cross(2)"],
    "projection": 32,
    "towers": [9, 5],
    "dropout": 0.3,
    "batch_norm": False,
    "experts": [{"blocks": ["dense(7)"]}],
}


@pytest.mark.parametrize("name", VALUES)
def test_an_architectures_own_values_are_taken(name):
    before = Architecture.load("shared_bottom")
    after = changed(before, {name: VALUES[name]})
    plain = after.model_dump(mode="json")
    if name == "experts":
        assert [expert.blocks for expert in after.experts] == [("dense(7)",)]
    else:
        assert plain[name] == VALUES[name]
    assert {k for k, v in plain.items() if v != before.model_dump(mode="json")[k]} == {name}


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_takes_what_a_data_set_may_recommend(name):
    made = changed(Architecture.load(name), {key: VALUES[key] for key in OF_ANY})
    assert made.embedding_dim == 8 and made.towers == (9, 5)
    plugged(made, made.sharing.kind, made.sharing.settings)  # fits


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_takes_other_expert_widths(name):
    before = Architecture.load(name)
    levels = len({expert.level for expert in before.experts})
    made = changed(before, {"expert_widths": [[12, 6]] * levels if levels > 1 else [12, 6]})
    assert {expert.blocks for expert in made.experts} == {("dense(12)", "dense(6)")}
    assert [e.level for e in made.experts] == [e.level for e in before.experts] and len(
        made.experts
    ) == len(before.experts)


def test_widths_by_level_stay_in_their_level():
    made = changed(Architecture.load("ple"), {"expert_widths": [[5], [4, 3]]})
    assert {expert.level: expert.blocks for expert in made.experts} == {
        0: ("dense(5)",),
        1: ("dense(4)", "dense(3)"),
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [("mmoe", 3), ("mmoe", 12), ("dselect_k", 4), ("ml_mmoe", 2), ("snr_trans", 5)],
)
def test_the_number_of_experts_is_of_each_level(name, count):
    before = Architecture.load(name)
    made = changed(before, {"num_experts": count})
    levels = list(dict.fromkeys(expert.level for expert in before.experts))
    assert [(e.level, e.blocks) for e in made.experts] == [
        (level, next(e.blocks for e in before.experts if e.level == level))
        for level in levels
        for _ in range(count)
    ]


def test_number_and_widths_go_together():
    made = changed(Architecture.load("mmoe"), {"expert_widths": [4], "num_experts": 2})
    assert [expert.blocks for expert in made.experts] == [("dense(4)",)] * 2


@pytest.mark.parametrize(("experts", "k"), [(1, 1), (12, 5)])
def test_settings_of_the_sharing_change_along_with_the_number(experts, k):
    """One expert alone fits no k = 2, k = 5 fits no 4 experts: neither can go first."""
    before = Architecture.load("dselect_k")
    with pytest.raises(ConfigError, match=r"sharing\.k"):
        changed(before, {"num_experts": experts}, sharing={"k": experts + 1})
    made = changed(before, {"num_experts": experts}, sharing={"k": k})
    assert (len(made.experts), made.sharing.all_settings["k"]) == (experts, k)


def test_nothing_changed_is_the_same():
    made = Architecture.load("mmoe")
    assert changed(made, {}) is made


REFUSED = {
    "unknown": (
        "mmoe",
        {"embeding_dim": 8},
        r"embeding_dim: must be a setting of the template mmoe.*has embedding_dim \(16\)",
    ),
    "unknown lists the sizes": (
        "mmoe",
        {"width": 8},
        r"num_experts \(8\), expert_widths \(\[512, 256\]\)",
    ),
    "no pool is listed": (
        "aitm",
        {"width": 8},
        r"it has (?!.*num_experts).*expert_widths \(\[128, 64, 32\]\)",
    ),
    "type": (
        "mmoe",
        {"embedding_dim": "wide"},
        r"architecture: embedding_dim must be a valid integer|embedding_dim .*integer",
    ),
    "bounds": ("mmoe", {"dropout": 1.0}, r"dropout .*less than 1"),
    "word": ("mmoe", {"numeric": "round"}, r"numeric .*'linear'"),
    "no pool": (
        "ple",
        {"num_experts": 3},
        r"with a pool of experts, which the template ple lacks, got 3; see sharing.task_experts",
    ),
    "masks": (
        "mome",
        {"num_experts": 3},
        r"which the template mome lacks, got 3; see sharing.masks",
    ),
    "one bottom": (
        "shared_bottom",
        {"num_experts": 3},
        r"which the template shared_bottom lacks, got 3; leave it out",
    ),
    "levels": (
        "ple",
        {"expert_widths": [8]},
        r"a list of widths for each of the 2 levels for the template ple.*\[\[512\], \[256\]\]",
    ),
    "no levels": (
        "mmoe",
        {"expert_widths": [[8], [4]]},
        r"must be one list of widths for the template mmoe",
    ),
    "no widths": ("mmoe", {"expert_widths": []}, r"expert_widths must be widths from 1"),
    "zero width": ("mmoe", {"expert_widths": [0]}, r"expert_widths must be widths from 1"),
    "true": ("mmoe", {"expert_widths": [True]}, r"expert_widths must be widths from 1"),
    "k above": ("dselect_k", {"num_experts": 1}, r"sharing.k"),
    "count": ("mmoe", {"num_experts": 0}, r"num_experts .*greater than or equal to 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_template_lacks_is_said(case):
    name, changes, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message):
        changed(Architecture.load(name), changes)


def test_experts_of_other_operations_have_no_widths():
    with pytest.raises(
        ConfigError,
        match=r"is for experts of dense layers alone.*write them out in architecture.experts",
    ):
        changed(template(), {"expert_widths": [4]})
    with pytest.raises(ConfigError, match=r"needs experts that are alike"):
        changed(template(sharing={"kind": "mmoe"}), {"num_experts": 2})
    with pytest.raises(
        ConfigError, match=r"expert_widths \(none, its experts are of other operations\)"
    ):
        changed(template(), {"wide": 4})


@pytest.mark.parametrize("name", [*VALUES, "num_experts", "expert_widths"])
def test_a_bound_architecture_keeps_its_shape(name):
    found = searched().evolve(name="found")
    change = {name: VALUES.get(name, 3 if name == "num_experts" else [4])}
    if name == "interaction":
        assert changed(found, change) == found, "the same again is no change"
        change = {name: []}
    if name == "dropout":
        assert changed(found, change).dropout == 0.3
        return
    with pytest.raises(
        ConfigError,
        match=rf"architecture.{name}: must stay as it is: found is bound to its data set",
    ):
        changed(found, change)


def test_a_bound_hand_made_model_keeps_its_shape_too():
    with pytest.raises(ConfigError, match="must stay as it is: mmoe"):
        changed(Architecture.load("mmoe").bind(schema()), {"embedding_dim": 8})


def test_a_data_sets_changes_fit_every_template():
    check_changes({"numeric": "joint"}, "x.yaml: recommends.architecture", OF_ANY)
    with pytest.raises(
        ConfigError,
        match=r"x.yaml: recommends.architecture.num_experts: must be a setting of templates",
    ):
        check_changes({"num_experts": 3}, "x.yaml: recommends.architecture", OF_ANY)


def test_recommendations_travel_and_are_not_what_is_computed(tmp_path):
    made = Architecture.load("mssm")
    assert (
        made.recommended
        and made == made.evolve(recommended={})
        and made.identity() == made.evolve(recommended={}).identity()
    )
    bound = made.bind(schema())
    bound.save(tmp_path / "a.json")
    assert Architecture.load(tmp_path / "a.json").recommended == made.recommended
    assert (
        plugged(made, "ple", {}).recommended == {}
        and plugged(made, "mssm", {"l2": 0.0}).recommended == made.recommended
    )
    with pytest.raises(ConfigError, match="recommended"):
        made.evolve(recommended={"search": {}})
