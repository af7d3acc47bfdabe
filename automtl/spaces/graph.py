"""An architecture as a networkx graph, for pictures and for path questions."""

from collections.abc import Sequence

import networkx as nx

from automtl.spaces.architecture import Architecture
from automtl.spaces.catalogue import SHARING
from automtl.spaces.kinds import Slot
from automtl.spaces.placement import Placement
from automtl.spaces.wiring import Fusion


def to_graph(architecture: Architecture) -> nx.DiGraph:
    """The dataflow from fields to tasks.

    Nodes carry ``kind`` (field, masks, interaction, projection, expert, gate, tower), ``label``,
    ``row`` (0 for fields, growing along the flow) and, for experts, ``blocks`` and ``expert`` (its
    index); edges from experts to towers carry ``weight``, softmax(beta) or the mean gate weight,
    where a search recorded it. A fusion is drawn where it has several readers, or one that is no
    tower; else its inputs lead straight on. A template is drawn with one task called "every task",
    or with as many as it counts experts of.
    """
    graph = nx.DiGraph()
    tasks = Placement(architecture).task_names or ["every task"]
    names = (
        [field.name for field in architecture.fields] if architecture.fields else ["every field"]
    )
    for i, name in enumerate(names):
        graph.add_node(f"field.{i}", kind="field", label=name, row=0)
    trunk = _add_trunk(graph, architecture, [f"field.{i}" for i in range(len(names))])
    _Joiner(graph, Placement(architecture, len(tasks)), trunk).add(tasks)
    return graph


def _add_trunk(graph: nx.DiGraph, architecture: Architecture, ends: list[str]) -> str:
    """Masks of fields, interaction blocks and projection in a row; returns the last node, which
    experts read.
    """
    stages = [
        (f"interaction.{i}", "interaction", block)
        for i, block in enumerate(architecture.interaction)
    ]
    if architecture.projection is not None:
        stages.append(("projection", "projection", f"Linear to {architecture.projection}"))
    if not stages:
        stages = [("flat", "projection", "flat fields")]
    if architecture.sharing.all_settings.get("fields"):
        count = len(architecture.tasks) + 1 if architecture.tasks else "T + 1"
        stages = [("masks", "masks", f"{count} masked copies"), *stages]
    for row, (node, kind, label) in enumerate(stages, 1):
        graph.add_node(node, kind=kind, label=label, row=row)
        graph.add_edges_from((end, node) for end in ends)
        ends = [node]
    return ends[0]


class _Joiner:
    """Adds experts, fusions and towers as they are placed and wired."""

    def __init__(self, graph: nx.DiGraph, placement: Placement, trunk: str) -> None:
        self.graph, self.trunk = graph, trunk
        self.placement, self.wiring = placement, placement.wiring
        self.architecture = architecture = placement.architecture
        self.base = graph.nodes[trunk]["row"] + 1
        self.joint = "cells" if architecture.sharing.all_settings.get("cells") else "gate"

    def add(self, tasks: list[str]) -> None:
        """Add the levels from below, then the towers."""
        fed = [self.wiring.tower(t) for t in range(len(tasks))]
        readers = [
            *fed,
            *(f.after for f in self.wiring.fusions),
            *(self.wiring.source(s) for s in self._slots()),
        ]
        for fusion in self.wiring.fusions:
            for slot in fusion.slots:
                self._add_expert(slot)
            if fusion.inputs > 1 and not (readers.count(fusion) == 1 and fusion in fed):
                label = f"{self.joint}: {self._fed(fusion, tasks)}"
                self.graph.add_node(
                    _name(fusion), kind="gate", label=label, row=self._row(fusion) + 1
                )
                self._lead(fusion, _name(fusion))
        top = self._row(self.wiring.fusions[-1]) + 2
        for t, name in enumerate(tasks):
            label = " - ".join([name, *map(str, self.architecture.towers)])
            self.graph.add_node(f"tower.{t}", kind="tower", label=label, task=name, row=top)
            self._join(fed[t], f"tower.{t}", t)

    def _fed(self, fusion: Fusion, tasks: Sequence[str]) -> str:
        """Whose gate it is: a task, a shared unit, or the expert of the next level that reads
        it.
        """
        if fusion.owner != "pool":
            return fusion.label(tasks)
        reader = Slot(fusion.level + 1, "pool", fusion.index)
        return f"expert {self.placement.expert(reader)}"

    def _slots(self) -> list[Slot]:
        return list(dict.fromkeys(slot for fusion in self.wiring.fusions for slot in fusion.slots))

    def _row(self, fusion: Fusion) -> int:
        return int(self.base + 2 * fusion.level)

    def _add_expert(self, slot: Slot) -> None:
        node, index = f"expert.{slot}", self.placement.expert(slot)
        if node in self.graph:
            return
        blocks, row = self.architecture.experts[index].blocks, self.base + 2 * slot.level
        sharing = self.architecture.sharing
        masked = SHARING[sharing.kind].slots == "base" and sharing.all_settings["masks"] > 0
        label = f"mask {slot.index} of expert {index}" if masked else f"expert {index}"
        self.graph.add_node(node, kind="expert", label=label, expert=index, blocks=blocks, row=row)
        self._join(self.wiring.source(slot), node)

    def _join(self, fusion: Fusion | None, reader: str, task: int | None = None) -> None:
        """An edge to `reader` from a fusion's node, or from its inputs where it has none."""
        if fusion is None:
            self.graph.add_edge(self.trunk, reader)
        elif _name(fusion) in self.graph:
            self.graph.add_edge(_name(fusion), reader)
        else:
            self._lead(fusion, reader, task)

    def _lead(self, fusion: Fusion, reader: str, task: int | None = None) -> None:
        """Edges to `reader` from everything that a fusion weighs."""
        if fusion.after is not None:
            self._join(fusion.after, reader)
        for slot in fusion.slots:
            self.graph.add_edge(
                f"expert.{slot}", reader, weight=None if task is None else self._weight(slot, task)
            )

    def _weight(self, slot: Slot, task: int) -> float | None:
        if self.architecture.ranking is None or not self.architecture.learned:
            return None
        expert = self.placement.expert(slot)
        return next(
            (entry.weight for entry in self.architecture.ranking[task] if entry.expert == expert),
            None,
        )


def _name(fusion: Fusion) -> str:
    return f"gate.level{fusion.level}.{fusion.owner}.{fusion.index}"
