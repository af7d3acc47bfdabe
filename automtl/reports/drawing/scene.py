"""A drawing as plain data, before it becomes a picture (matplotlib) or part of a page (inline SVG).

Lengths are CSS pixels, x to the right and y down. Tones and looks are names; each renderer has its
own colours for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

MAX_WIDTH = 1200.0  # of a drawing, where it can be held
MARGIN = 16.0
Point = tuple[float, float]
Tone = Literal["ink", "soft", "on_chip"]


@dataclass(frozen=True)
class Label:
    """One line of text, vertically centred at y.

    Args:
        anchor: which end of the text stands at x.
        shade: of the chip it stands on, from 0 (paper) to 1 (darkest), for text that must stay
            readable.
    """

    text: str
    x: float
    y: float
    size: float
    bold: bool = False
    tone: Tone = "ink"
    anchor: Literal["start", "middle", "end"] = "start"
    shade: float = 0.0

    def moved(self, x: float, y: float) -> "Label":
        """The same, further right and down."""
        return replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True)
class Rect:
    """One rectangle.

    Args:
        look: "card" (a node), "chip" (an operation), "skip" (an operation that does nothing), "bar"
            (a weight), "hub".
        shade: from 0 (paper) to 1 (darkest); read for chips.
        task: whose colour it has; None for none.
        block: index of the block it shows, in its node; None where it shows none.
        hatched: whether it is hatched: a tie.
    """

    x: float
    y: float
    width: float
    height: float
    look: Literal["card", "chip", "skip", "bar", "hub"] = "card"
    shade: float = 0.0
    task: int | None = None
    block: int | None = None
    hatched: bool = False

    def moved(self, x: float, y: float) -> "Rect":
        """The same, further right and down."""
        return replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True)
class Card:
    """A node's drawing.

    Args:
        node: its name in the graph.
        kind: fields, interaction, projection, expert, gate, tower, hub, pass (a wire going by), or
            any other.
        rects, labels: what it is made of; the first rectangle, if any, is its outline.
        inlets: the y of each source's port; sources not named enter at the middle.
    """

    node: str
    kind: str
    x: float
    y: float
    width: float
    height: float
    rects: tuple[Rect, ...] = ()
    labels: tuple[Label, ...] = ()
    inlets: Mapping[str, float] = field(default_factory=dict)

    def moved(self, x: float, y: float) -> "Card":
        """The same, further right and down."""
        return replace(
            self,
            x=self.x + x,
            y=self.y + y,
            rects=tuple(r.moved(x, y) for r in self.rects),
            labels=tuple(label.moved(x, y) for label in self.labels),
            inlets={source: port + y for source, port in self.inlets.items()},
        )

    @property
    def middle(self) -> float:
        """The y of its middle."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Wire:
    """A connection, as cubic Bezier pieces: a start, then three points a piece.

    Args:
        width: in pixels.
        task: whose colour it has; None for wires that serve several.
    """

    source: str
    target: str
    points: tuple[Point, ...]
    width: float = 1.2
    task: int | None = None


@dataclass(frozen=True)
class Scene:
    """A whole drawing.

    Args:
        tasks: per node, the tasks whose path it lies on.
    """

    width: float
    height: float
    cards: tuple[Card, ...]
    wires: tuple[Wire, ...]
    labels: tuple[Label, ...] = ()
    rects: tuple[Rect, ...] = ()
    tasks: Mapping[str, frozenset[int]] = field(default_factory=dict)
