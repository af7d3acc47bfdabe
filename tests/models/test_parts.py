import pytest

from automtl.models.cost import cost
from automtl.models.derived import build_model
from automtl.models.parts import known_part_costs, part_costs
from automtl.spaces.architecture import Architecture, Expert, Sharing, shipped_architectures
from automtl.spaces.graph import to_graph
from tests.support import small_schema


def template(**changes):
    experts = (Expert(blocks=("mlp(5)",)), Expert(blocks=("skip",)))
    return Architecture(
        embedding_dim=4,
        interaction=("cross(2)",),
        projection=8,
        experts=experts,
        towers=(6,),
        **changes,
    )


@pytest.mark.parametrize(
    "name", sorted(name for name in shipped_architectures() if Architecture.load(name).is_template)
)
def test_parts_add_up_to_the_whole_and_are_nodes_of_the_graph(name):
    schema = small_schema(3)
    architecture = Architecture.load(name)
    parts, net = part_costs(architecture, schema), build_model(architecture, schema)
    whole = cost(net, schema)
    assert (
        sum(p.parameters for p in parts.values()) == whole.table_parameters + whole.other_parameters
    )
    assert sum(p.flops for p in parts.values()) == whole.flops_per_row
    assert set(parts) - {"fields", "sharing"} <= set(to_graph(architecture.bind(schema)).nodes)
    assert all(p.parameters >= 0 and p.flops >= 0 for p in parts.values())


def test_parts_by_hand():
    parts = part_costs(template(), small_schema(2))  # F = 4 fields of width 4, D = 8
    assert parts["projection"].parameters == 16 * 8 + 8 and parts["projection"].flops == 2 * 16 * 8
    assert (
        parts["expert.level0.pool.0"].flops == 2 * (8 * 5 + 5 * 8)
        and parts["expert.level0.pool.1"].flops == 0
    )
    assert parts["tower.0"].flops == 2 * (8 * 6 + 6 * 1)


def test_what_hangs_on_unknown_data_is_left_open_and_the_rest_is_told():
    schema = small_schema(2)
    bound = template().bind(schema)
    known, exact = part_costs(bound), part_costs(bound, schema)
    assert known["fields"].parameters is None
    assert {n: p for n, p in known.items() if n != "fields"} == {
        n: p for n, p in exact.items() if n != "fields"
    }
    loose = part_costs(template())
    assert loose["projection"].parameters is None and loose["tower.0"] == exact["tower.0"]
    assert loose["expert.level0.pool.0"] == exact["expert.level0.pool.0"]


def test_an_architecture_that_cannot_stand_alone_has_no_known_parts():
    assert known_part_costs(template().evolve(interaction=("self_attention(3)",))) == {}


def test_a_whole_model_per_task_counts_its_trunk_once_per_task():
    apart, schema = template(sharing=Sharing(kind="single_task")), small_schema(3)
    together = template(sharing=Sharing(kind="shared_bottom"))
    assert (
        part_costs(apart, schema)["projection"].parameters
        == 3 * part_costs(together, schema)["projection"].parameters
    )
