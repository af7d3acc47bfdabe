"""One card per node: fields, operations, experts with their blocks, towers with what they read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import networkx as nx

from automtl.reports.drawing.facts import (
    FIELDS,
    Choice,
    Part,
    choices_of,
    fields_lines,
    flat_width,
    tower_line,
)
from automtl.reports.drawing.scene import Card, Label, Rect
from automtl.reports.drawing.text import LINE, clean, text_width, wrap
from automtl.runs import decided
from automtl.spaces.architecture import Architecture

_PAD = 8.0
_PORT = 15.0
_MOST_FIELDS = 16
_TASK_NAME = 190.0  # names of up to some 25 letters stay whole in every style
NEUTRAL_SHADE, UNDECIDED_SHADE = 0.1, 0.4
SHADES = {"decided": 0.9, "tied": 0.2}

Legend = Literal["verdicts", "margins"]


@dataclass(frozen=True)
class Style:
    """Sizes of a drawing, in pixels.

    Args:
        size: of names.
        small: of everything else; 9.4 px are 7 points.
        chips: blocks in a row before the next row begins.
        gap: between two columns, as a share of the usual.
        name: the widest line of a name.
    """

    size: float = 12.0
    small: float = 10.0
    chips: int = 4
    gap: float = 1.0
    name: float = 190.0


class CardMaker:
    """Makes the cards of one architecture's graph.

    Args:
        architecture: for fields, towers and choices.
        graph: simplified for drawing (see ``layers``).
        parts: what each node costs; may lack any.
        style: sizes.
    """

    def __init__(
        self, architecture: Architecture, graph: nx.DiGraph, parts: Mapping[str, Part], style: Style
    ) -> None:
        self.architecture, self.graph = architecture, graph
        self.parts, self.style = parts, style
        self.choices = choices_of(architecture, graph)
        self._decisions = {d["choice"]: d for d in decided.decisions_of(architecture.provenance)}

    def card(self, node: str) -> Card:
        """The card of a node, at (0, 0)."""
        data = self.graph.nodes[node]
        kind = data["kind"]
        if kind == "pass":
            return Card(node, kind, 0, 0, 0.0, 6.0)
        if kind == "hub":
            return Card(node, kind, 0, 0, 5.0, 20.0, (Rect(0, 0, 5.0, 20.0, "hub"),))
        if node == FIELDS:
            return self._finish(node, kind, self._fields())
        if kind == "tower":
            return self._finish(node, kind, self._tower(node), ports=True)
        if data.get("blocks"):
            lines = [
                _Line(clean(data["label"]), bold=True),
                *([_Line(data["owner"], soft=True)] if data["owner"] else []),
            ]
            return self._finish(node, kind, lines, blocks=data["blocks"])
        if kind == "interaction":
            return self._finish(node, kind, [], blocks=[data["label"]])
        return self._finish(node, kind, self._title(data["label"]), ports=True)

    def shade(self, node: str, block: int) -> float:
        """The shade of a block: by its verdict where there are decisions, one that is not decided
        by its alpha margin at most.
        """
        choice = self.choices.get((node, block))
        if choice is None:
            return NEUTRAL_SHADE
        decision = self._decisions.get(choice.name)
        if decision is None:
            return choice.margin
        believed = choice.margin if decision.get("alpha") else 0.0
        return SHADES.get(decision["verdict"], min(believed, UNDECIDED_SHADE))

    def tied(self, node: str, block: int) -> bool:
        """Whether a block's choice is tied with its runner-up."""
        choice = self.choices.get((node, block))
        decision = None if choice is None else self._decisions.get(choice.name)
        return decision is not None and decision["verdict"] == "tied"

    def choice(self, node: str, block: int) -> Choice | None:
        """The choice block behind a drawn block."""
        return self.choices.get((node, block))

    @property
    def legend(self) -> Legend | None:
        """The legend of the shades; None where nothing was searched."""
        if not self.choices:
            return None
        return "verdicts" if self._decisions else "margins"

    def _title(self, text: str, least: float = 0.0) -> list["_Line"]:
        width = max(self.style.name, least)
        return [
            _Line(line, bold=True)
            for line in wrap(clean(text), size=self.style.size, width=width, bold=True)
        ]

    def _fields(self) -> list["_Line"]:
        count = len(self.architecture.fields or ())
        title = f"{count} field{'s' * (count != 1)}" if count else "fields"
        names = fields_lines(self.architecture, _MOST_FIELDS)
        fitted = [wrap(name, size=self.style.small, width=130.0, lines=1)[0] for name in names]
        return [
            _Line(title, bold=True),
            _Line(flat_width(self.architecture), soft=True),
            *(_Line(name, soft=True) for name in fitted),
        ]

    def _tower(self, node: str) -> list["_Line"]:
        data = self.graph.nodes[node]
        line = tower_line(self.architecture, int(node.rpartition(".")[2]))
        below = wrap(line, size=self.style.small, width=self.style.name, lines=4)
        return [
            *self._title(data["task"], least=_TASK_NAME),
            *(_Line(text, soft=True) for text in below),
        ]

    def _finish(
        self,
        node: str,
        kind: str,
        lines: list["_Line"],
        blocks: Sequence[str] = (),
        ports: bool = False,
    ) -> Card:
        """Lay title lines, blocks, ports and the cost line under each other."""
        column = _Column(self.style)
        for line in lines:
            column.text(line)
        if blocks:
            column.chips(
                [clean(b) for b in blocks],
                [self.shade(node, i) for i in range(len(blocks))],
                [self.tied(node, i) for i in range(len(blocks))],
            )
        if ports:
            self._ports(column, node)
        cost = str(self.parts.get(node, ""))
        if cost:
            column.text(_Line(cost, soft=True))
        return column.card(node, kind)

    def _ports(self, column: "_Column", node: str) -> None:
        """A line per source with its weight, where a node reads several; its wire ends there."""
        reads = self.graph.nodes[node].get("reads", [])
        if len(reads) < 2:
            return
        ports = {s: self._port_of(s, node) for s, _ in reads}
        most = max(self.style.name, min(1.2 * self.style.name, 120.0))
        largest = max((w for _, w in reads if w is not None), default=1.0)
        for source, weight in sorted(
            reads, key=lambda pair: self.graph.nodes[ports[pair[0]]]["rank"]
        ):
            name = wrap(
                str(self.graph.nodes[source]["name"]), size=self.style.small, width=most, lines=1
            )[0]
            column.port(ports[source], name, weight, largest, self.graph.nodes[node].get("index"))

    def _port_of(self, source: str, node: str) -> str:
        """The end of the wire from a source: the source itself, the last node it goes by, or a
        hub's.
        """
        for before in self.graph.predecessors(node):
            if before == source or before.startswith(f"pass.{source}."):
                return str(before)
        return source


@dataclass(frozen=True)
class _Line:
    text: str
    bold: bool = False
    soft: bool = False


class _Column:
    """Things under each other, growing downwards; as wide as the widest."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.y, self.width = _PAD * 0.75, 0.0
        self.rects: list[Rect] = []
        self.labels: list[Label] = []
        self.bars: list[tuple[float, float, int | None]] = []
        self.inlets: dict[str, float] = {}

    def text(self, line: _Line) -> None:
        size = self.style.small if line.soft else self.style.size
        height = size * LINE
        self.labels.append(
            Label(
                line.text,
                _PAD,
                self.y + height / 2,
                size,
                line.bold,
                "soft" if line.soft else "ink",
            )
        )
        self.width = max(self.width, text_width(line.text, size, line.bold))
        self.y += height

    def chips(self, blocks: Sequence[str], shades: Sequence[float], ties: Sequence[bool]) -> None:
        """Operations in a row, in several rows where there are many; ties are hatched."""
        size, height = self.style.small * 1.05, self.style.small * 2.0
        self.y += 2.0 if self.labels else 0.0
        x, widths = 0.0, [text_width(block, size) + 12.0 for block in blocks]
        if self.style.chips == 1:
            widths = [max(widths)] * len(widths)
        for i, (block, shade) in enumerate(zip(blocks, shades, strict=True)):
            if i and i % self.style.chips == 0:
                x, self.y = 0.0, self.y + height + 4.0
            width = widths[i]
            look = "skip" if block == "skip" else "chip"
            place = (_PAD + x, self.y, width, height)
            rect = Rect(*place, look, shade, block=i, hatched=ties[i])  # type: ignore[arg-type]
            self.rects.append(rect)
            self.labels.append(
                Label(
                    block,
                    _PAD + x + width / 2,
                    self.y + height / 2,
                    size,
                    False,
                    "on_chip",
                    "middle",
                    shade,
                )
            )
            x += width + 6.0
            self.width = max(self.width, x - 6.0)
        self.y += height + 3.0

    def port(
        self, source: str, name: str, weight: float | None, largest: float, task: int | None
    ) -> None:
        """A source's name and weight over a bar of the weight."""
        size = self.style.small
        middle = self.y + _PORT / 2
        self.inlets[source] = middle
        self.labels.append(Label(name, _PAD, middle, size))
        need = text_width(name, size)
        if weight is not None:
            figure = f"{weight:.2f}"
            need += 14.0 + text_width(figure, size)
            # -1: the right edge, known at the end
            self.labels.append(Label(figure, -1.0, middle, size, anchor="end"))
            self.bars.append((self.y, weight / largest if largest else 0.0, task))
        self.width = max(self.width, need)
        self.y += _PORT

    def card(self, node: str, kind: str) -> Card:
        width, height = self.width + 2 * _PAD, self.y + _PAD * 0.75
        bars = [
            Rect(1.5, y + 1.0, max((width - 3.0) * share, 1.0), _PORT - 2.0, "bar", task=task)
            for y, share, task in self.bars
        ]
        labels = tuple(
            replace(label, x=width - _PAD) if label.x < 0 else label for label in self.labels
        )
        return Card(
            node,
            kind,
            0,
            0,
            width,
            height,
            (Rect(0, 0, width, height), *bars, *self.rects),
            labels,
            dict(self.inlets),
        )
