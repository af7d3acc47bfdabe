import json
from types import SimpleNamespace

import pytest

from automtl.errors import ArtifactError, ConfigError
from automtl.spaces.architecture import Architecture, Expert, Ranked, Sharing, shipped_architectures
from automtl.spaces.graph import to_graph
from automtl.spaces.kinds import Slot
from automtl.spaces.placement import Placement, parts


def schema(tasks=("click", "buy"), fields=("user", "item")):
    return SimpleNamespace(
        name="shop",
        fields=[SimpleNamespace(name=n, kind="categorical") for n in fields],
        tasks=[SimpleNamespace(name=n, kind="binary", classes=2) for n in tasks],
    )


def template(**changes):
    experts = tuple(Expert(blocks=(f"mlp({16 * (i + 1)})", "skip")) for i in range(4))
    return Architecture(interaction=("cross(2)",), experts=experts, **changes)


def searched():
    ranking = (
        tuple(Ranked(expert=e, weight=w) for e, w in ((2, 0.4), (0, 0.3), (1, 0.2), (3, 0.1))),
        tuple(Ranked(expert=e, weight=w) for e, w in ((3, 0.7), (0, 0.2), (1, 0.06), (2, 0.04))),
    )
    return template().bind(schema()).evolve(chosen=((0, 2), (0, 3)), ranking=ranking)


def test_json_round_trip_is_equal_and_keeps_what_travels_along(tmp_path):
    made = searched().evolve(provenance={"seed": 3}, choices={"interaction.0": {"skip": 1.0}})
    made.save(tmp_path / "a.json")
    back = Architecture.load(tmp_path / "a.json")
    assert back == made and hash(back) == hash(made)
    assert (
        back.ranking == made.ranking
        and back.provenance == {"seed": 3}
        and back.choices == made.choices
    )


def test_equality_counts_what_is_computed_and_nothing_else():
    made = searched()
    assert made == made.evolve(name="other", provenance={"x": 1}, ranking=None)
    assert made != made.evolve(dropout=0.1)
    assert made != made.evolve(chosen=((0, 1), (0, 3)))


def test_binding_a_template_and_refusing_other_data_by_name():
    bound = template().bind(schema())
    assert not bound.is_template and [t.name for t in bound.tasks] == ["click", "buy"]
    assert bound.bind(schema()) == bound
    with pytest.raises(
        ConfigError, match="'buy' missing from the data, 'like' unknown to the architecture"
    ):
        bound.bind(schema(tasks=("click", "like")))
    with pytest.raises(ConfigError, match="the same names in another order"):
        bound.bind(schema(fields=("item", "user")))


def test_parts_are_one_model_per_task_for_single_task_only():
    assert parts(template().bind(schema())) == (template().bind(schema()),)
    apart = parts(searched().evolve(sharing=Sharing(kind="single_task")))
    assert [[t.name for t in part.tasks] for part in apart] == [["click"], ["buy"]]
    # click's chosen experts by rank
    assert [e.blocks[0] for e in apart[0].experts] == ["mlp(48)", "mlp(16)"]
    assert [e.blocks[0] for e in apart[1].experts] == ["mlp(64)", "mlp(16)"]


def test_plug_in_rule():
    made = searched()
    assert Placement(made).pool() == (0, 2, 3)
    assert [Placement(made).expert(Slot(0, "pool", i)) for i in range(3)] == [0, 2, 3]
    assert [Placement(made).expert(Slot(1, 0, i)) for i in range(3)] == [2, 0, 2]
    # mean softmax(beta)
    assert [Placement(made).expert(Slot(0, "shared", i)) for i in range(4)] == [3, 0, 2, 1]
    assert [Placement(template()).expert(Slot(0, 1, i)) for i in range(4)] == [0, 1, 2, 3]


def test_a_placed_expert_fills_only_its_own_slots():
    experts = (
        Expert(blocks=("dense(128)",), level=0),
        Expert(blocks=("dense(64)",), level=1),
        Expert(blocks=("skip",), level=1, owner="shared"),
    )
    made = Architecture(experts=experts)
    assert Placement(made).expert(Slot(0, 0, 0)) == 0
    assert Placement(made).expert(Slot(1, 1, 0)) == 1
    assert Placement(made).expert(Slot(1, "shared", 1)) == 2


@pytest.mark.parametrize("name", sorted(shipped_architectures()))
def test_each_shipped_architecture_loads_and_says_its_source(name):
    made = Architecture.load(name)
    assert made.name == name and len(made.provenance["source"]) > 20
    assert to_graph(made.bind(schema()) if made.is_template else made).number_of_nodes() > 3


def test_refusals(tmp_path):
    path = tmp_path / "a.json"
    template().save(path)
    data = json.loads(path.read_text())
    for change, error, message in [
        (
            {"version": 2},
            ArtifactError,
            "must have format version 1 or older, got 2; update automtl",
        ),
        ({"experts": [{"blocks": ["mpl(3)"]}]}, ConfigError, "did you mean 'mlp'?"),
        (
            {"chosen": [[0]]},
            ConfigError,
            "must list the experts of each task of a bound architecture",
        ),
        ({"sharing": {"kind": "mmo"}}, ConfigError, "did you mean 'mmoe'?"),
        ({"embeding_dim": 3}, ConfigError, "did you mean 'embedding_dim'?"),
        ({"experts": []}, ConfigError, "experts"),
    ]:
        path.write_text(json.dumps({**data, **change}))
        with pytest.raises(error) as caught:
            Architecture.load(path)
        assert message in str(caught.value) and str(path) in str(caught.value)
    path.write_text("{")
    with pytest.raises(ArtifactError, match="must be a JSON file"):
        Architecture.load(path)
    with pytest.raises(ArtifactError, match="did you mean 'mmoe'"):
        Architecture.load("mmoee")


def test_graph_shows_who_reads_what():
    graph = to_graph(searched())
    assert graph.has_edge("expert.level0.pool.1", "tower.0") and not graph.has_edge(
        "expert.level0.pool.1", "tower.1"
    )
    assert graph.edges["expert.level0.pool.1", "tower.0"]["weight"] == 0.4
    labels = [data["label"] for _, data in graph.nodes(data=True)]
    assert {"user", "item", "cross(2)", "expert 2", "Linear to 64"} <= set(labels)
