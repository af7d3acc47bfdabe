"""Slots, wiring and pictures of every sharing kind: by hand for each, and one graph rule for
all.
"""

from types import SimpleNamespace

import networkx as nx
import pytest

from automtl.errors import ConfigError
from automtl.spaces.architecture import Architecture, Expert, Ranked, Sharing, shipped_architectures
from automtl.spaces.catalogue import SHARING, sharing_settings
from automtl.spaces.graph import to_graph
from automtl.spaces.kinds import Slot, layout
from automtl.spaces.placement import Placement, check_widths, plugged
from automtl.spaces.wiring import WIRINGS, wire
from tests.spaces.test_architecture import schema, searched


def slots(kind, tasks=2, pool=3, **settings):
    return layout(
        kind, num_tasks=tasks, num_experts=pool, settings=sharing_settings(kind, settings)
    )


def read(fusion):
    return [str(slot).removeprefix("level") for slot in fusion.slots]


def test_slots_of_pools_and_units():
    assert len(slots("moe", pool=8)) == 8 and len(slots("moe", pool=8, experts=3)) == 3
    assert [str(s) for s in slots("ml_mmoe", pool=2)] == [
        "level0.pool.0",
        "level0.pool.1",
        "level1.pool.0",
        "level1.pool.1",
    ]
    units = ["task0.0", "task0.1", "task1.0", "task1.1", "shared.0"]
    found = [str(s) for s in slots("ple", task_experts=2, shared_experts=1)]
    assert found == [f"level{level}.{unit}" for level in (0, 1) for unit in units]
    assert [str(s) for s in slots("cross_stitch", levels=1, tasks=3)] == [
        "level0.task0.0",
        "level0.task1.0",
        "level0.task2.0",
    ]
    assert slots("shared_bottom") == (Slot(0, "shared", 0),)


def test_ple_reads_own_then_shared_and_its_shared_unit_everything():
    wiring = wire("ple", slots("ple", task_experts=1, shared_experts=2), num_tasks=2)
    assert [(f.level, f.owner, read(f)) for f in wiring.fusions] == [
        (0, 0, ["0.task0.0", "0.shared.0", "0.shared.1"]),
        (0, 1, ["0.task1.0", "0.shared.0", "0.shared.1"]),
        (0, "shared", ["0.task0.0", "0.task1.0", "0.shared.0", "0.shared.1"]),
        (1, 0, ["1.task0.0", "1.shared.0", "1.shared.1"]),
        (1, 1, ["1.task1.0", "1.shared.0", "1.shared.1"]),
    ]
    assert (
        wiring.source(Slot(1, "shared", 1)) is wiring.fusions[2]
        and wiring.source(Slot(1, 1, 0)) is wiring.fusions[1]
    )
    assert (
        wiring.previous(wiring.fusions[3]) is wiring.fusions[0]
        and wiring.source(Slot(0, 0, 0)) is None
    )
    everything = {slot for fusion in wiring.fusions for slot in fusion.slots}
    assert wiring.reads(0) == everything - {Slot(1, 1, 0)}, (
        "the other task's last expert is its own"
    )


def test_adatt_reads_everything_on_every_level():
    wiring = wire("adatt", slots("adatt", task_experts=1, shared_experts=1), num_tasks=2)
    assert [(f.level, f.owner) for f in wiring.fusions] == [
        (0, 0),
        (0, 1),
        (0, "shared"),
        (1, 0),
        (1, 1),
    ]
    assert all(len(f.slots) == 3 for f in wiring.fusions) and wiring.reads(0) == wiring.reads(1)


def test_stacked_pools_have_a_unit_per_expert_of_the_next_level():
    for kind in ("ml_mmoe", "snr_trans", "snr_aver"):
        wiring = wire(kind, slots(kind), num_tasks=2)
        assert [(f.level, f.owner, f.index) for f in wiring.fusions] == [
            (0, "pool", 0),
            (0, "pool", 1),
            (0, "pool", 2),
            (1, 0, 0),
            (1, 1, 0),
        ]
        assert wiring.source(Slot(1, "pool", 2)) is wiring.fusions[2]


def test_a_funnel_reads_its_own_and_what_came_before():
    wiring = wire("aitm", slots("aitm", tasks=3), num_tasks=3, order=[2, 0, 1])
    assert [(f.owner, f.after and f.after.owner, read(f)) for f in wiring.fusions] == [
        (2, None, ["0.task2.0"]),
        (0, 2, ["0.task0.0"]),
        (1, 0, ["0.task1.0"]),
    ]
    assert {s.owner for s in wiring.reads(0)} == {0, 2}


def test_mssm_has_no_connection_between_two_tasks_unless_all_pairs_are_asked_for():
    found = slots("mssm", levels=2)
    assert [str(s) for s in found[:3]] == [
        "level0.task0.0",
        "level0.task1.0",
        "level0.shared.0",
    ] and len(found) == 6
    sparse, full = (wire("mssm", found, num_tasks=2, all_pairs=pairs) for pairs in (False, True))
    own = [["task0.0", "shared.0"], ["task1.0", "shared.0"]]
    everyone = ["task0.0", "task1.0", "shared.0"]
    assert [[name[2:] for name in read(f)] for f in sparse.fusions] == [*own, everyone, *own]
    assert [[name[2:] for name in read(f)] for f in full.fusions] == [everyone] * 5


def test_masks_of_fields_stand_before_the_interaction():
    made = Architecture(
        experts=experts(), interaction=("skip",), sharing=Sharing(kind="mssm")
    ).bind(schema())
    graph = to_graph(made)
    assert [
        graph.nodes[n]["kind"] for n in nx.shortest_path(graph, "field.0", "expert.level0.shared.0")
    ] == [
        "field",
        "masks",
        "interaction",
        "projection",
        "expert",
    ]
    assert "masks" not in to_graph(
        plugged(made, "mssm", {"fields": False})
    ) and "masks" not in to_graph(plugged(made, "ple", {}))


def test_every_kind_has_slots_and_a_wiring():
    assert set(WIRINGS) == {signature.wiring for signature in SHARING.values()}


def experts(n=4):
    return tuple(Expert(blocks=(f"mlp({16 * (i + 1)})",)) for i in range(n))


KINDS = {
    **{kind: {} for kind in SHARING},
    "ple": {"levels": 3},
    "adatt": {"task_experts": 2, "shared_experts": 2},
    "aitm": {"order": ["buy", "click"]},
}


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("kind", SHARING)
def test_the_picture_shows_what_is_computed(kind, bare):
    made = Architecture(experts=experts(), sharing=Sharing(kind=kind, settings=KINDS[kind])).bind(
        schema()
    )
    if not bare:
        made = plugged(searched(), kind, KINDS[kind])
    graph, wiring = to_graph(made), Placement(made, 2).wiring
    assert nx.is_directed_acyclic_graph(graph)
    for t in range(2):
        above = nx.ancestors(graph, f"tower.{t}")
        assert {n for n in above if n.startswith("expert.")} == {
            f"expert.{slot}" for slot in wiring.reads(t)
        }
    shown = {node: data for node, data in graph.nodes(data=True) if data["kind"] == "expert"}
    assert set(shown) == {f"expert.{slot}" for slot in Placement(made, 2).slots}, (
        "a slot without its expert"
    )
    for slot in Placement(made, 2).slots:
        data, source = shown[f"expert.{slot}"], wiring.source(slot)
        assert (
            data["expert"] == Placement(made).expert(slot)
            and data["blocks"] == made.experts[data["expert"]].blocks
        )
        assert (source is None) == graph.has_edge("projection", f"expert.{slot}")
    ends = {n for n in graph if not graph.out_degree(n)}
    assert ends == {"tower.0", "tower.1"}, "a node that leads nowhere"
    assert all(
        graph.nodes[a]["row"] < graph.nodes[b]["row"] or kind == "aitm" for a, b in graph.edges
    )


@pytest.mark.parametrize(
    ("kind", "settings", "gates"),
    [
        ("mmoe", {}, []),
        ("moe", {}, ["gate: shared"]),
        ("ml_mmoe", {}, [f"gate: expert {i}" for i in range(4)]),
        ("ple", {}, ["gate: click", "gate: buy", "gate: shared"]),
        ("ple", {"shared_experts": 0}, ["gate: click", "gate: buy"]),
        ("cgc", {}, []),
        ("mssm", {}, ["cells: click", "cells: buy", "cells: shared"]),
        ("mssm", {"cells": False}, ["gate: click", "gate: buy", "gate: shared"]),
        ("adatt", {}, ["gate: click", "gate: buy"]),
        ("aitm", {}, []),
        ("cross_stitch", {"levels": 3}, ["gate: click", "gate: buy"] * 2),
    ],
)
def test_gates_of_inner_levels_are_nodes(kind, settings, gates):
    graph = to_graph(
        Architecture(experts=experts(), sharing=Sharing(kind=kind, settings=settings)).bind(
            schema()
        )
    )
    assert sorted(
        data["label"] for _, data in graph.nodes(data=True) if data["kind"] == "gate"
    ) == sorted(gates)


def test_single_task_shows_every_chosen_expert_of_each_task():
    graph = to_graph(plugged(searched(), "single_task", {}))
    by_task = [
        [graph.nodes[n]["expert"] for n in graph.predecessors(f"tower.{t}")] for t in range(2)
    ]
    assert by_task == [[2, 0], [3, 0]]
    assert graph.edges["expert.level0.task1.0", "tower.1"]["weight"] == 0.7


def test_a_derived_order_fills_units_by_rank_and_an_own_unit_as_listed():
    """Experts bound to the units of the kind they were searched in stand there as listed; another
    kind goes by rank.
    """
    bound = tuple(
        Expert(blocks=(f"mlp({16 * (i + 1)})",), level=0, owner="task", task=i // 2)
        for i in range(4)
    )
    orders, weights = ((3, 1, 0, 2), (2, 3, 1, 0)), (0.4, 0.3, 0.2, 0.1)
    ranking = tuple(
        tuple(Ranked(expert=e, weight=w) for e, w in zip(order, weights, strict=True))
        for order in orders
    )
    own = Architecture(
        experts=bound, sharing=Sharing(kind="adatt", settings={"levels": 1, "task_experts": 2})
    ).bind(schema())
    own = own.evolve(ranking=ranking)
    assert [Placement(own).expert(slot) for slot in Placement(own, 2).slots] == [0, 1, 2, 3]
    other = plugged(own, "cgc", {"task_experts": 3, "shared_experts": 1})
    # of mean weight 3 leads
    assert [Placement(other).expert(slot) for slot in Placement(other, 2).slots] == [
        3,
        1,
        0,
        2,
        3,
        1,
        3,
    ]
    again = plugged(own, "adatt", {"levels": 2, "task_experts": 2})
    assert [Placement(again).expert(slot) for slot in Placement(again, 2).slots] == [
        0,
        1,
        2,
        3,
    ] * 2, "a level more repeats the one below"


@pytest.mark.parametrize("name", sorted(shipped_architectures()))
def test_levels_of_shipped_architectures_have_one_width_each(name):
    check_widths(Architecture.load(name))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("top_k", {"k": 4}, "sharing.k: must be at most the number of experts, 3, got 4"),
        ("dselect_k", {"k": 4}, "sharing.k: must be at most the number of experts, 3, got 4"),
        ("dselect_k", {"gamma": 0}, "sharing.gamma: must be from 0.001"),
        ("ple", {"levels": 0}, "sharing.levels: must be from 1 to 64, got 0"),
        ("ple", {"shared_experts": -1}, "sharing.shared_experts: must be from 0 to 1024, got -1"),
        ("adatt", {"task_experts": 0}, "sharing.task_experts: must be from 1 to 1024, got 0"),
        (
            "adatt",
            {"task_experts": [1, 2, 3]},
            "sharing.task_experts: must have a number for each task: click, buy, got 3 numbers",
        ),
        (
            "ple",
            {"task_experts": []},
            "must have a number for each task: click, buy, got 0 numbers",
        ),
        ("ple", {"task_experts": [1, 0]}, "sharing.task_experts[1]: must be from 1 to 1024, got 0"),
        (
            "cgc",
            {"task_experts": [1, "2"]},
            "sharing.task_experts[1]: must be of type int, got '2'",
        ),
        ("cgc", {"task_experts": [1, [2]]}, "sharing.task_experts[1]: must be of type int"),
        ("cgc", {"task_experts": "12"}, "sharing.task_experts: must be of type int, got '12'"),
        (
            "adatt",
            {"task_experts": {"click": 2}},
            "a number for each task: click, buy, got click; name the others, too",
        ),
        (
            "adatt",
            {"task_experts": {"click": 2, "bay": 1}},
            "a number for each task: click, buy, got click, bay; did you mean 'buy'?",
        ),
        (
            "adatt",
            {"task_experts": {"click": 2, "buy": True}},
            "sharing.task_experts.buy: must be of type int, got True",
        ),
        ("adatt", {"shared_experts": [1, 2]}, "sharing.shared_experts: must be of type int"),
        ("ml_mmoe", {"levels": [1, 2]}, "sharing.levels: must be of type int"),
        ("adatt", {"native_init": "one"}, "did you mean 'ones'?"),
        (
            "aitm",
            {"order": ["click", "bay"]},
            "sharing.order: must name every task once: click, buy, got click, bay; did you mean "
            "'buy'?",
        ),
        ("aitm", {"order": ["click"]}, "must name every task once: click, buy, got click"),
        ("aitm", {"order": ["click", "click"]}, "must name each only once"),
        ("aitm", {"order": "click"}, "must be a list of names"),
        ("aitm", {"callibration": 0.6}, "did you mean 'calibration'?"),
        ("snr_trans", {"l0": "much"}, "sharing.l0: must be of type float"),
        ("moe", {"experts": 0}, "sharing.experts: must be from 1"),
        ("plee", {}, "did you mean 'ple'?"),
        ("nothing alike", {}, "choose from selected, moe, mmoe"),
    ],
)
def test_refusals_come_before_any_data(kind, settings, message):
    with pytest.raises(ConfigError) as caught:
        Architecture(experts=experts(3)).bind(schema()).evolve(
            sharing=Sharing(kind=kind, settings=settings)
        )
    assert message in str(caught.value)


def test_calibration_is_for_binary_tasks():
    tasks = schema()
    tasks.tasks[1].kind = "regression"
    template = Architecture(
        experts=experts(), sharing=Sharing(kind="aitm", settings={"calibration": 0.6})
    )
    with pytest.raises(
        ConfigError,
        match="may be above 0 for binary tasks only, got 0.6 and task 'buy'; set it to 0",
    ):
        template.bind(tasks)


def test_k_counts_the_chosen_experts_only():
    made = plugged(searched(), "top_k", {"k": 3})
    assert len(Placement(made, 2).slots) == 3
    with pytest.raises(ConfigError, match="must be at most the number of experts, 3, got 4"):
        plugged(searched(), "top_k", {"k": 4})


def test_experts_of_several_widths_are_refused_where_they_are_added():
    uneven = (
        Expert(blocks=("dense(8)",)),
        Expert(blocks=("mlp(16)",)),
        Expert(blocks=("dense(8)", "dense(4)")),
    )
    said = (
        r"experts of level 0: must have one output width, since their outputs are added, got "
        r"expert 0: 8, expert 1: 64, expert 2: 4"
    )
    with pytest.raises(ConfigError, match=said):
        plugged(Architecture(experts=uneven), "mmoe", {})
    with pytest.raises(ConfigError, match="expert 1: as its input"):
        check_widths(Architecture(experts=uneven, projection=None))
    levels = (Expert(blocks=("dense(8)",), level=0), Expert(blocks=("dense(4)",), level=1))
    check_widths(Architecture(experts=levels, sharing=Sharing(kind="ple")))


@pytest.mark.parametrize("given", [[1, 3], {"buy": 3, "click": 1}])
@pytest.mark.parametrize("kind", ["adatt", "ple", "cgc"])
def test_each_task_may_have_its_own_number_of_experts(kind, given, tmp_path):
    template = Architecture(
        experts=experts(),
        sharing=Sharing(kind=kind, settings={"task_experts": given, "shared_experts": 1}),
    )
    template.save(tmp_path / "template.json")
    made = Architecture.load(tmp_path / "template.json").bind(schema())
    first = [str(slot) for slot in Placement(made, 2).slots if slot.level == 0]
    assert first == ["level0.task0.0", *(f"level0.task1.{i}" for i in range(3)), "level0.shared.0"]
    made.save(tmp_path / "bound.json")
    assert Architecture.load(tmp_path / "bound.json") == made
    towers = [
        data["label"] for _, data in to_graph(template).nodes(data=True) if data["kind"] == "tower"
    ]
    assert len(towers) == 2, "a template that counts experts of its tasks is drawn with as many"
    assert [label.split()[0] for label in towers] == (
        ["task", "task"] if isinstance(given, list) else ["buy", "click"]
    )
    other = SimpleNamespace(**{**vars(schema()), "tasks": schema().tasks[:1]})
    with pytest.raises(ConfigError, match="must have a number for each task: click, got"):
        template.bind(other)
