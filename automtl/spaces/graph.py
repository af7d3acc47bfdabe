"""An architecture as a networkx graph, for pictures and for path questions."""

import networkx as nx

from automtl.spaces.architecture import Architecture
from automtl.spaces.catalogue import SHARING
from automtl.spaces.plugs import expert_for, pool
from automtl.spaces.slots import Slot, layout


def to_graph(architecture: Architecture) -> nx.DiGraph:
    """The dataflow from fields to tasks.

    Nodes carry ``kind`` (field, interaction, projection, expert, tower), ``label`` and, for experts, ``blocks`` and
    ``expert`` (its index); edges from experts to towers carry ``weight``, softmax(beta), where a search recorded it.
    A template is drawn with one task called "every task".
    """
    graph = nx.DiGraph()
    tasks = [task.name for task in architecture.tasks] if architecture.tasks else ["every task"]
    names = [field.name for field in architecture.fields] if architecture.fields else ["every field"]
    for i, name in enumerate(names):
        graph.add_node(f"field.{i}", kind="field", label=name)
    trunk = _add_trunk(graph, architecture, [f"field.{i}" for i in range(len(names))])
    for t, name in enumerate(tasks):
        label = " - ".join([name, *map(str, architecture.towers)])
        graph.add_node(f"tower.{t}", kind="tower", label=label, task=name)
    for slot, node in _add_experts(graph, architecture, len(tasks)):
        graph.add_edge(trunk, node)
        for t in range(len(tasks)):
            if _reads(architecture, slot, t):
                graph.add_edge(node, f"tower.{t}", weight=_weight(architecture, slot, t))
    return graph


def _add_trunk(graph: nx.DiGraph, architecture: Architecture, ends: list[str]) -> str:
    """Interaction blocks and projection in a row; returns the last node, which experts read."""
    stages = [(f"interaction.{i}", "interaction", block) for i, block in enumerate(architecture.interaction)]
    if architecture.projection is not None:
        stages.append(("projection", "projection", f"Linear to {architecture.projection}"))
    if not stages:
        stages = [("flat", "projection", "flat fields")]
    for node, kind, label in stages:
        graph.add_node(node, kind=kind, label=label)
        graph.add_edges_from((end, node) for end in ends)
        ends = [node]
    return ends[0]


def _add_experts(graph: nx.DiGraph, architecture: Architecture, num_tasks: int) -> list[tuple[Slot, str]]:
    kind, settings = architecture.sharing.kind, architecture.sharing.all_settings
    slots = layout(kind, num_tasks=num_tasks, num_experts=len(pool(architecture)), settings=settings)
    nodes = []
    for slot in slots:
        index = expert_for(architecture, slot)
        node = f"expert.{slot}"
        graph.add_node(node, kind="expert", label=f"expert {index}", expert=index, blocks=architecture.experts[index].blocks)
        nodes.append((slot, node))
    return nodes


def _reads(architecture: Architecture, slot: Slot, task: int) -> bool:
    if isinstance(slot.owner, int):
        return slot.owner == task
    if architecture.chosen is None or not SHARING[architecture.sharing.kind].uses_beta:
        return True
    return expert_for(architecture, slot) in architecture.chosen[task]


def _weight(architecture: Architecture, slot: Slot, task: int) -> float | None:
    if architecture.ranking is None:
        return None
    return next(entry.weight for entry in architecture.ranking[task] if entry.expert == expert_for(architecture, slot))
