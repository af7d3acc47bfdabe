"""Turns an architecture graph into one that can be drawn in columns: fewer nodes, fewer crossings,
no wire across a card.
"""

from collections import Counter, defaultdict
from typing import Any

import networkx as nx

from automtl.reports.drawing.facts import FIELDS
from automtl.reports.drawing.text import clean

_HUB_FROM, _WEIGHTED_HUB_FROM = 6, 40  # wires; fewer stay as they are


def drawable(graph: nx.DiGraph) -> nx.DiGraph:
    """A drawing graph of a dataflow graph.

    All fields become one node. Where several nodes read the same sources alike, their wires meet in
    a hub. A wire over several columns gets a node in each column that it goes by.

    Nodes carry, beside what they had: ``layer`` (column, from 0), ``rank`` (place in it, 0 to 1),
    ``name`` (in others' lists), ``owner`` (whose expert it is, where not everyone's), ``tasks``
    (the towers that can be reached), ``reads`` (its sources with their weights, as (node, weight)),
    and towers ``index``.
    """
    drawing = _with_one_field(graph)
    _set_names(drawing)
    for node, data in drawing.nodes(data=True):
        _drop_repeated_weights(drawing, node)
        data["reads"] = [
            (source, drawing.edges[source, node].get("weight"))
            for source in drawing.predecessors(node)
        ]
    _add_hubs(drawing)
    _set_layers(drawing)
    _set_ranks(drawing)
    _add_passes(drawing)
    towers = {
        node: data["index"] for node, data in drawing.nodes(data=True) if data["kind"] == "tower"
    }
    for node, data in drawing.nodes(data=True):
        data["tasks"] = frozenset(
            towers[n] for n in (nx.descendants(drawing, node) | {node}) if n in towers
        )
    return drawing


def _with_one_field(graph: nx.DiGraph) -> nx.DiGraph:
    drawing = nx.DiGraph()
    names = {
        node: FIELDS if data["kind"] == "field" else node for node, data in graph.nodes(data=True)
    }
    for node, data in graph.nodes(data=True):
        drawing.add_node(
            names[node],
            **({"kind": "fields", "label": "fields"} if data["kind"] == "field" else data),
        )
    for source, target, data in graph.edges(data=True):
        drawing.add_edge(names[source], names[target], **data)
    return drawing


def _set_names(graph: nx.DiGraph) -> None:
    """Names, and owners as a slot's name tells them: level1.task0.2 is the first task's,
    level0.shared.0 the shared unit's.
    """
    towers = {
        data["index"]: data["task"]
        for node, data in graph.nodes(data=True)
        if _number_tower(node, data)
    }
    units = Counter(node.rpartition(".")[0] for node in graph.nodes)
    for node, data in graph.nodes(data=True):
        unit, _, place = node.rpartition(".")
        owner = unit.split(".")[2] if data["kind"] == "expert" and unit.count(".") == 2 else ""
        task = (
            towers.get(int(owner[4:])) if owner.startswith("task") and owner[4:].isdigit() else None
        )
        data["owner"] = owner if owner == "shared" else clean(task, 40) if task is not None else ""
        if data["owner"] and units[unit] > 1:
            data["owner"] += f" {int(place) + 1}"
        data["name"] = clean(str(data["label"]), 60) + (
            f", {data['owner']}" if data["owner"] else ""
        )


def _drop_repeated_weights(graph: nx.DiGraph, node: str) -> None:
    """Where one expert stands in several places, a weight that was found per expert says nothing
    about the places.
    """
    sources = list(graph.predecessors(node))
    experts = [
        graph.nodes[source]["expert"] for source in sources if "expert" in graph.nodes[source]
    ]
    if len(set(experts)) < len(experts):
        for source in sources:
            graph.edges[source, node]["weight"] = None


def _number_tower(node: str, data: dict[str, Any]) -> bool:
    if data["kind"] == "tower":
        data["index"] = int(node.rpartition(".")[2])
    return bool(data["kind"] == "tower")


def _add_hubs(graph: nx.DiGraph) -> None:
    """Where at least two nodes read the same two or more sources, let the wires meet; weights stand
    in the readers' lists.
    """
    readers = defaultdict(list)
    for node in graph.nodes:
        read = frozenset(graph.predecessors(node))
        if len(read) > 1:
            readers[read, any(graph.edges[s, node].get("weight") is not None for s in read)].append(
                node
            )
    for number, ((sources, weighted), targets) in enumerate(readers.items()):
        if len(targets) < 2 or len(targets) * len(sources) < (
            _WEIGHTED_HUB_FROM if weighted else _HUB_FROM
        ):
            continue
        for node in () if weighted else targets:
            graph.nodes[node]["reads"] = []
        hub = f"hub.{number}"
        graph.add_node(hub, kind="hub", label="", name="all of them")
        graph.remove_edges_from([(s, t) for s in sources for t in targets])
        graph.add_edges_from((s, hub) for s in sources)
        graph.add_edges_from((hub, t) for t in targets)


def _set_layers(graph: nx.DiGraph) -> None:
    """Longest path from the fields; towers all stand in the last column."""
    for node in nx.topological_sort(graph):
        graph.nodes[node]["layer"] = max(
            (graph.nodes[s]["layer"] + 1 for s in graph.predecessors(node)), default=0
        )
    last = max(layer for _, layer in graph.nodes(data="layer"))
    for _, data in graph.nodes(data=True):
        data["layer"] = last if data["kind"] == "tower" else data["layer"]


def _set_ranks(graph: nx.DiGraph) -> None:
    """The order in which the nodes were listed, so that expert 0 stands above expert 1; a hub
    beside its sources.
    """
    layers = defaultdict(list)
    for node, layer in graph.nodes(data="layer"):
        layers[layer].append(node)
    for nodes in layers.values():
        pool = all(".pool." in node for node in nodes)
        for i, node in enumerate(
            sorted(nodes, key=lambda n: int(n.rpartition(".")[2])) if pool else nodes
        ):
            graph.nodes[node]["rank"] = (i + 0.5) / len(nodes)
    for node, data in graph.nodes(data=True):
        if data["kind"] == "hub":
            ranks = [graph.nodes[s]["rank"] for s in graph.predecessors(node)]
            data["rank"] = sum(ranks) / len(ranks)


def _add_passes(graph: nx.DiGraph) -> None:
    """Nodes for wires that go by a column, one per source and column."""
    for source, target, data in list(graph.edges(data=True)):
        first, last = graph.nodes[source]["layer"], graph.nodes[target]["layer"]
        if last - first < 2:
            continue
        graph.remove_edge(source, target)
        before = source
        for layer in range(first + 1, last):
            node = f"pass.{source}.{layer}"
            if node not in graph:
                rank = (graph.nodes[source]["rank"] + graph.nodes[target]["rank"]) / 2
                graph.add_node(
                    node,
                    kind="pass",
                    label="",
                    name=graph.nodes[source]["name"],
                    layer=layer,
                    rank=rank,
                )
            graph.add_edge(before, node)
            before = node
        graph.add_edge(before, target, **data)
