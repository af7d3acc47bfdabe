"""The layout of an architecture's drawing: columns from the fields (left) to the tasks (right)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import networkx as nx

from automtl.reports.drawing._layers import drawable
from automtl.reports.drawing._margins import captions, footer, header
from automtl.reports.drawing.cards import CardMaker, Style
from automtl.reports.drawing.facts import Part
from automtl.reports.drawing.scene import MARGIN, MAX_WIDTH, Card, Point, Scene, Wire
from automtl.reports.drawing.text import text_width
from automtl.spaces.architecture import Architecture
from automtl.spaces.graph import to_graph

_ROW_GAP, _COLUMN_GAP = 12.0, 30.0
_FAN_GAP = 60.0
_LEAST_WIDTH = 560.0
_SIZES = ((12.0, 1.0, 190.0), (11.0, 0.75, 150.0), (10.0, 0.6, 100.0), (9.6, 0.4, 70.0))
_STYLES = tuple(
    Style(size=s, small=min(s, 10.0), chips=c, gap=g, name=n)
    for s, g, n in _SIZES
    for c in (4, 2, 1)
)
Columns = Sequence[Sequence[Card]]


@dataclass(frozen=True)
class Drawing:
    """A scene, with the graph and the choices that it was made from."""

    scene: Scene
    maker: CardMaker


def draw(
    architecture: Architecture, parts: Mapping[str, Part] | None = None, title: str | None = ""
) -> Scene:
    """The scene of ``lay_out``."""
    return lay_out(architecture, parts, title).scene


def lay_out(
    architecture: Architecture, parts: Mapping[str, Part] | None = None, title: str | None = ""
) -> Drawing:
    """The drawing of an architecture.

    Args:
        architecture: a template or a bound one.
        parts: what each node of its graph costs, and "fields" for the input layer; may lack any.
        title: over the picture; empty for the architecture's name, None for no title.
    """
    costs = dict(parts or {})
    graph = drawable(to_graph(architecture))
    maker, columns, gaps = _fitted(architecture, graph, costs)
    width = max(_LEAST_WIDTH, _width(columns, gaps))
    head, top = header(architecture, costs, title, width - 2 * MARGIN)
    cards, bottom = _place(graph, columns, gaps, top)
    foot, swatches, height = footer(architecture, maker, bottom + 14.0)
    labels = (*head, *captions(graph, cards, top - 16.0, maker.style), *foot)
    right = max(
        [
            width - MARGIN,
            *(label.x + text_width(label.text, label.size, label.bold) for label in labels),
        ]
    )
    reach = dict(graph.nodes(data="tasks"))
    scene = Scene(
        right + MARGIN,
        height,
        tuple(cards.values()),
        tuple(_wires(graph, cards)),
        labels,
        swatches,
        reach,
    )
    return Drawing(scene, maker)


def _fitted(
    architecture: Architecture, graph: nx.DiGraph, costs: Mapping[str, Part]
) -> tuple[CardMaker, Columns, list[float]]:
    """Cards in the largest style that fits the page; what is left of the width goes to where wires
    crowd.
    """
    for style in _STYLES:
        maker = CardMaker(architecture, graph, costs, style)
        columns = _columns(graph, maker)
        gaps = [_gap(graph, left) * style.gap for left in columns[:-1]]
        spare = MAX_WIDTH - _width(columns, gaps)
        if spare >= 0 or style is _STYLES[-1]:
            return maker, columns, _eased(graph, columns, gaps, spare)
    raise AssertionError("the last style is taken whatever its width")


def _eased(graph: nx.DiGraph, columns: Columns, gaps: Sequence[float], spare: float) -> list[float]:
    """Gaps widened by what is spare."""
    wanted = [
        2.5 * max(graph.out_degree(card.node) for card in left) * len(left) ** 0.5
        for left in columns[:-1]
    ]
    share = min(1.0, max(spare, 0.0) / sum(wanted)) if wanted else 0.0
    return [gap + share * extra for gap, extra in zip(gaps, wanted, strict=True)]


def _columns(graph: nx.DiGraph, maker: CardMaker) -> Columns:
    layers = defaultdict(list)
    for node, layer in graph.nodes(data="layer"):
        layers[layer].append(node)
    ordered = [sorted(layers[i], key=lambda n: graph.nodes[n]["rank"]) for i in range(len(layers))]
    return [[maker.card(node) for node in nodes] for nodes in ordered]


def _gap(graph: nx.DiGraph, left: Sequence[Card]) -> float:
    """Room for wires after a column: more where they fan out."""
    return _COLUMN_GAP if len(left) == 1 and graph.out_degree(left[0].node) == 1 else _FAN_GAP


def _width(columns: Columns, gaps: Sequence[float]) -> float:
    return 2 * MARGIN + sum(gaps) + sum(max(card.width for card in column) for column in columns)


def _place(
    graph: nx.DiGraph, columns: Columns, gaps: Sequence[float], top: float
) -> tuple[dict[str, Card], float]:
    """Cards at their places: columns of one width; hubs as high as what they join."""
    heights = [sum(c.height for c in column) + _ROW_GAP * (len(column) - 1) for column in columns]
    tallest = max(heights)
    placed: dict[str, Card] = {}
    x = MARGIN
    for column, height, gap in zip(columns, heights, [*gaps, 0.0], strict=True):
        width = max(card.width for card in column)
        spread = _ROW_GAP + (
            min((tallest - height) / len(column), 40.0) if len(column) > 1 else 0.0
        )
        y = top + (tallest - height - (spread - _ROW_GAP) * (len(column) - 1)) / 2
        for card in column:
            placed[card.node] = _widened(card, width).moved(x, y)
            y += card.height + spread
        x += width + gap
    for column in reversed(columns):
        if not {card.kind for card in column} & {"expert", "tower"}:
            _align(graph, placed, [card.node for card in column], top, top + tallest)
    for card in [c for c in placed.values() if c.kind == "hub"]:
        placed[card.node] = _stretched(
            card,
            [
                placed[n].middle
                for n in (*graph.predecessors(card.node), *graph.successors(card.node))
            ],
        )
    return placed, top + tallest


def _align(
    graph: nx.DiGraph, placed: dict[str, Card], column: Sequence[str], top: float, bottom: float
) -> None:
    """Move a column's cards as close as can be to what they lead to, in their order and without
    touching.
    """
    wishes, offset = [], 0.0
    for node in column:
        ports = [placed[a].inlets.get(node, placed[a].middle) for a in graph.successors(node)]
        wishes.append(
            sum(ports) / len(ports) - placed[node].height / 2 - offset
            if ports
            else placed[node].y - offset
        )
        offset += placed[node].height + _ROW_GAP
    offset = 0.0
    for node, wish in zip(column, _rising(wishes), strict=True):
        below = sum(placed[n].height + _ROW_GAP for n in column) - offset - _ROW_GAP
        y = min(max(wish + offset, top + offset), bottom - below)
        offset += placed[node].height + _ROW_GAP
        placed[node] = placed[node].moved(0.0, y - placed[node].y)


def _rising(wishes: Sequence[float]) -> list[float]:
    """The nearest values (least squares) that never fall: neighbours that cross are pooled."""
    pools: list[list[float]] = []
    for wish in wishes:
        pools.append([wish])
        while len(pools) > 1 and sum(pools[-2]) / len(pools[-2]) > sum(pools[-1]) / len(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    return [sum(pool) / len(pool) for pool in pools for _ in pool]


def _widened(card: Card, width: float) -> Card:
    """The card as wide as its column, what stood at its right edge moved along; a hub stays in the
    middle.
    """
    more = width - card.width
    if card.kind == "hub":
        return card.moved(more / 2, 0.0)
    stretch = (
        {"card": width / card.width, "bar": (width - 3.0) / (card.width - 3.0)}
        if card.width
        else {}
    )
    rects = tuple(replace(r, width=r.width * stretch.get(r.look, 1.0)) for r in card.rects)
    labels = tuple(
        label.moved(more, 0.0) if label.anchor == "end" else label for label in card.labels
    )
    return replace(card, width=width, rects=rects, labels=labels)


def _stretched(card: Card, joined: Sequence[float]) -> Card:
    """A hub from the highest to the lowest of what it joins."""
    low, high = min(joined) - 4.0, max(joined) + 4.0
    return replace(
        card,
        y=low,
        height=high - low,
        rects=tuple(replace(r, y=low, height=high - low) for r in card.rects),
    )


def _wires(graph: nx.DiGraph, cards: Mapping[str, Card]) -> list[Wire]:
    several = len({t for _, tasks in graph.nodes(data="tasks") for t in tasks}) > 1
    weighted = [w for *_, w in graph.edges(data="weight") if w]
    thickest = 4.0 if len(weighted) < 24 else 2.0
    wires = []
    for source, target, weight in graph.edges(data="weight"):
        reached = graph.nodes[target]["tasks"]
        task = min(reached) if len(reached) == 1 and several else None
        width = 1.3 if weight is None else 0.9 + thickest * weight / max(weighted)
        wires.append(Wire(source, target, _curve(cards[source], cards[target]), width, task))
    return wires


def _curve(source: Card, target: Card) -> tuple[Point, ...]:
    """From the middle of the right edge to the target's port; straight at a hub, and along the
    column that it goes by.
    """
    end = target.middle if target.kind != "hub" else source.middle
    end = target.inlets.get(source.node, end)
    start = source.middle if source.kind != "hub" else end
    x0, x1 = source.x + source.width, target.x
    bend = (x1 - x0) / 2
    curve = ((x0, start), (x0 + bend, start), (x1 - bend, end), (x1, end))
    return (
        curve
        if source.kind != "pass"
        else ((source.x, start), (source.x, start), (x0, start), *curve)
    )
