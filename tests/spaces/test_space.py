import math

import pytest

from automtl.errors import ConfigError
from automtl.spaces.space import SearchSpace, shipped_spaces
from automtl.strict import build


@pytest.fixture
def table1():
    return SearchSpace.load("automtl")


def test_table_1_has_the_papers_size_and_the_right_one(table1):
    assert f"{table1.paper_size(2):.3g}" == "8.27e+27"
    assert f"{table1.size(2):.3g}" == "9.97e+29"
    assert table1.size(2) == 16 * 12**24 * math.comb(8, 6) ** 2


def test_table_1_offers_every_candidate(table1):
    assert len(table1.interaction) == 16 and len(table1.expert) == 12
    assert (table1.num_experts, table1.num_blocks, table1.expert_dim) == (8, 3, 64)


@pytest.mark.parametrize(("tasks", "chosen"), [(1, 6), (2, 6), (3, 4), (4, 3), (7, 3)])
def test_default_number_of_chosen_experts(table1, tasks, chosen):
    assert table1.chosen(tasks) == chosen


def test_a_space_without_beta_or_with_tied_alphas_is_smaller(table1):
    assert table1.size(2, "mmoe") == 16 * 12**24
    tied = build(SearchSpace, {**dict(table1), "tie_alphas": "all"}, "x")
    assert tied.size(2) == 16 * 12**3 * math.comb(8, 6) ** 2


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_each_shipped_space_loads_under_its_own_name_and_says_its_source(name):
    space = SearchSpace.load(name)
    assert space.name == name and len(space.source) > 20
    assert space.paper_size(2) < space.size(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_expert": 3}, "num_expert is not a known key (did you mean 'num_experts'?)"),
        ({"chosen_experts": 9}, "chosen_experts: must be at most num_experts = 8, got 9"),
        ({"embedding_dim": 12}, "must be divisible by the heads of self_attention(8), got 12"),
        ({"expert": ("dense(32)",)}, "only with u = expert_dim = 64, got dense(32)"),
        ({"expert": ("skip", "skip")}, "must name each candidate once"),
        ({"interaction": ("conv1d(3)",)}, "must be an interaction operation, got 'conv1d'"),
        ({"num_experts": "8"}, "num_experts should be a valid integer, got '8'"),
    ],
)
def test_a_wrong_space_is_refused_with_the_place_and_the_rule(table1, change, message):
    with pytest.raises(ConfigError) as caught:
        build(SearchSpace, {**dict(table1), **change}, "mine.yaml")
    assert message in str(caught.value) and "mine.yaml" in str(caught.value)


def test_all_faults_are_told_at_once(table1):
    with pytest.raises(ConfigError) as caught:
        build(SearchSpace, {**dict(table1), "num_blocks": 0, "towerz": (1,)}, "mine.yaml")
    assert "num_blocks" in str(caught.value) and "towerz" in str(caught.value)


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'automtl_small'"):
        SearchSpace.load("automtl_smal")


def test_an_existing_path_wins_over_a_shipped_name(tmp_path, monkeypatch, table1):
    monkeypatch.chdir(tmp_path)
    shipped = shipped_spaces()["automtl"].read_text()
    (tmp_path / "automtl").write_text(shipped.replace("num_experts: 8", "num_experts: 5"))
    assert SearchSpace.load("automtl").num_experts == 5
