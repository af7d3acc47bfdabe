"""The margins of a drawing: title, captions of the columns, legend, remarks."""

from collections import Counter
from collections.abc import Mapping

import networkx as nx

from automtl.reports.drawing.cards import SHADES, UNDECIDED_SHADE, CardMaker, Style
from automtl.reports.drawing.facts import Part, notes, subtitle
from automtl.reports.drawing.scene import MARGIN, MAX_WIDTH, Card, Label, Rect
from automtl.reports.drawing.text import LINE, clean, text_width, wrap
from automtl.spaces.architecture import Architecture

_SMALL = 10.0
_CAPTIONS = {"expert": "experts", "gate": "gates", "tower": "towers"}
_MARGINS = (
    "colour of an operation: its lead over the best other in softmax(alpha), from 0 to 1; what is "
    "decided is not known"
)
_VERDICTS = "an operation: decided, tied with its runner-up, not decided"
_DARKER = " (darker with its alpha margin)"  # where alphas were learned
_BETAS = (
    "figures at a tower, width of its wires: the weight of an expert for that task in the "
    "search (softmax of beta, or mean gate)"
)


def header(
    architecture: Architecture, parts: Mapping[str, Part], title: str | None, width: float
) -> tuple[list[Label], float]:
    """Title and subtitle, and the y at which the drawing may begin."""
    name = clean(title or architecture.name or "architecture", 120)
    rows = [
        (line, 15.0, True)
        for line in wrap(name, size=15.0, width=width, bold=True, lines=2)
        if title is not None
    ]
    rows += [
        (line, _SMALL, False)
        for line in wrap(subtitle(architecture, parts), size=_SMALL, width=width, lines=3)
    ]
    labels, y = [], MARGIN
    for text, size, bold in rows:
        labels.append(
            Label(text, MARGIN, y + size * LINE / 2, size, bold, "ink" if bold else "soft")
        )
        y += size * LINE + 2.0
    return labels, y + 36.0


def captions(graph: nx.DiGraph, cards: Mapping[str, Card], y: float, style: Style) -> list[Label]:
    """The captions above the columns; columns of one kind are numbered, the wires that go by are
    passed over.
    """
    columns: dict[int, list[Card]] = {}
    for node, card in cards.items():
        if card.kind not in ("hub", "pass"):
            columns.setdefault(graph.nodes[node]["layer"], []).append(card)
    words = [_CAPTIONS.get(cards_[0].kind, cards_[0].kind) for _, cards_ in sorted(columns.items())]
    count, seen = Counter(words), Counter[str]()
    labels = []
    for word, (_, column) in zip(words, sorted(columns.items()), strict=True):
        seen[word] += 1
        text = f"{word}, {seen[word]}" if count[word] > 1 else word
        labels.append(Label(text, column[0].x, y, style.small, tone="soft"))
    return labels


def footer(
    architecture: Architecture, maker: CardMaker, y: float
) -> tuple[list[Label], tuple[Rect, ...], float]:
    """Legend and remarks, the legend's swatches, and the y where all ends."""
    labels: list[Label] = []
    swatches: tuple[Rect, ...] = ()
    lines = [clean(remark) for remark in notes(architecture, maker.graph)]
    if any(
        weight is not None
        for _, reads in maker.graph.nodes(data="reads", default=())
        for _, weight in reads
    ):
        lines.insert(0, _BETAS)
    if maker.legend is not None:
        words = _VERDICTS if maker.legend == "verdicts" else _MARGINS
        shades = [SHADES["decided"], SHADES["tied"], 0.0]
        if architecture.learned:
            words += _DARKER if maker.legend == "verdicts" else ""
            shades.append(UNDECIDED_SHADE)
        x = MARGIN + text_width(words, _SMALL) + 12.0
        if maker.legend == "margins":
            shades = [0.0, 0.25, 0.5, 0.75, 1.0]
        swatches = tuple(
            Rect(
                x + 16.0 * i,
                y,
                14.0,
                13.0,
                "chip",
                shade,
                hatched=maker.legend == "verdicts" and i == 1,
            )
            for i, shade in enumerate(shades)
        )
        labels.append(Label(words, MARGIN, y + 6.5, _SMALL, tone="soft"))
        y += 18.0
    for line in [
        piece
        for text in lines
        for piece in wrap(text, size=_SMALL, width=MAX_WIDTH - 2 * MARGIN, lines=4)
    ]:
        labels.append(Label(line, MARGIN, y + 6.5, _SMALL, tone="soft"))
        y += 15.0
    return labels, swatches, y + 8.0
