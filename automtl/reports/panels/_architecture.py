"""The architecture in the page: hover or focus an operation for its candidates, click a task for
its path.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from automtl.reports.drawing.cards import CardMaker
from automtl.reports.drawing.embed import fill
from automtl.reports.drawing.facts import (
    FIELDS,
    Choice,
    fields_lines,
    flat_width,
    tower_line,
)
from automtl.reports.drawing.layout import Drawing, lay_out
from automtl.reports.drawing.scene import Card, Label, Rect, Wire
from automtl.reports.drawing.text import clean
from automtl.reports.load import PhaseView, RunView
from automtl.runs import decided
from automtl.runs.decided import block_name
from automtl.spaces.architecture import Architecture

_MOST = 12


def architecture_panel(runs: Sequence[RunView]) -> Markup | None:
    """Every architecture of the runs once: searched ones, and those trained with another sharing
    module or made by hand.
    """
    pairs = list(_architectures(runs))
    if not pairs:
        return None
    several = len(runs) > 1
    figures = [
        _figure(i, phase, architecture, several)
        for i, (phase, architecture) in enumerate(pairs[:_MOST])
    ]
    weighed = " and their weights" if any(figure["learned"] for figure in figures) else ""
    left_out = len(pairs) - len(figures)
    return fill("architecture.html", figures=figures, left_out=left_out, weighed=weighed)


def _architectures(runs: Sequence[RunView]) -> Iterator[tuple[PhaseView, Architecture]]:
    seen = set()
    for run in runs:
        for phase in run.phases:
            if phase.architecture is not None and phase.architecture.identity() not in seen:
                seen.add(phase.architecture.identity())
                yield phase, phase.architecture


def _figure(
    number: int, phase: PhaseView, architecture: Architecture, several: bool
) -> dict[str, Any]:
    word = decided.title(decided.decisions_of(architecture.provenance))
    by = "hand-made, winner of the race" if word == "hand-made" else f"{word} by the search"
    where = by if phase.is_search else f"trained as {phase.label}"
    title = f"{phase.run}: {where}" if several else where
    drawing = lay_out(architecture, phase.parts, title=None)
    ident = f"arch{number}"
    tasks = [task.name for task in architecture.tasks] if architecture.tasks else ["every task"]
    return {
        "ident": ident,
        "learned": architecture.learned,  # what was drawn has weights of 0 and 1, which say nothing
        "title": clean(title),
        "scene": drawing.scene,
        "wires": [
            (wire, _path(wire), _words(_tasks_of(drawing, wire.target)))
            for wire in drawing.scene.wires
        ],
        "nodes": [
            _node(drawing, card) for card in drawing.scene.cards if card.kind not in ("pass", "hub")
        ],
        "hubs": [
            (card, _words(_tasks_of(drawing, card.node)))
            for card in drawing.scene.cards
            if card.kind == "hub"
        ],
        "tasks": [(t, clean(name)) for t, name in enumerate(tasks)],
        "infos": [_info(f"{ident}-{key}", choice) for key, choice in _keys(drawing.maker).items()],
        "alone": number == 0,
    }


def _tasks_of(drawing: Drawing, node: str) -> frozenset[int]:
    return drawing.scene.tasks.get(node, frozenset())


def _words(tasks: frozenset[int]) -> str:
    """Task numbers as a list of words, which a style sheet and a script can match."""
    return " ".join(map(str, sorted(tasks)))


def _path(wire: Wire) -> str:
    (x, y), *rest = wire.points
    pieces = [rest[i : i + 3] for i in range(0, len(rest), 3)]
    return f"M{x:.1f} {y:.1f}" + "".join(
        "C" + " ".join(f"{a:.1f} {b:.1f}" for a, b in piece) for piece in pieces
    )


def _keys(maker: CardMaker) -> dict[str, Choice]:
    """Choices by the ends of their names in the page."""
    return {f"{number}": choice for number, choice in enumerate(maker.choices.values())}


@dataclass(frozen=True)
class Node:
    """A card with what a page adds to it."""

    card: Card
    tasks: str
    title: str
    lines: Sequence[str]
    tower: int | None
    # rectangle, operation, name of its info, words for it
    chips: Sequence[tuple[Rect, Label, str | None, str]] = ()
    reads: Sequence[tuple[str, str]] = field(default_factory=tuple)
    cost: str = ""


def _node(drawing: Drawing, card: Card) -> Node:
    data, maker = drawing.maker.graph.nodes[card.node], drawing.maker
    learned = maker.architecture.learned
    numbers = {place: str(number) for number, place in enumerate(maker.choices)}
    blocks = [
        str(b)
        for b in data.get("blocks") or ([data["label"]] if card.kind == "interaction" else [])
    ]
    rects = [rect for rect in card.rects if rect.block is not None]
    chips = []
    inks = [label for label in card.labels if label.tone == "on_chip"]
    for i, (rect, ink, block) in enumerate(zip(rects, inks, blocks, strict=True)):
        choice = maker.choice(card.node, i)
        words = (
            f"{data['name']}, block {i + 1}: {block}"
            if card.kind == "expert"
            else f"{card.kind}: {block}"
        )
        chips.append(
            (
                rect,
                ink,
                numbers.get((card.node, i)),
                words + (f", {_choice_text(choice)}" if choice and learned else ""),
            )
        )
    reads = [
        (str(maker.graph.nodes[s]["name"]), "" if w is None else f"{w:.2f}")
        for s, w in data.get("reads", ())
    ]
    lines = _lines(maker.architecture, card)
    title = str(data["name"]) if card.kind != "tower" else clean(data["task"])
    cost = str(maker.parts.get(card.node, ""))
    return Node(
        card,
        _words(_tasks_of(drawing, card.node)),
        title,
        lines,
        data.get("index"),
        chips,
        reads if len(reads) > 1 else (),
        cost,
    )


def _lines(architecture: Architecture, card: Card) -> list[str]:
    if card.node == FIELDS:
        return [flat_width(architecture), ", ".join(fields_lines(architecture, 40))]
    return (
        [tower_line(architecture, int(card.node.rpartition(".")[2]))]
        if card.kind == "tower"
        else []
    )


def _choice_text(choice: Choice) -> str:
    best = list(choice.weights.items())[:3]
    return "weights " + ", ".join(f"{name} {weight:.3f}" for name, weight in best)


def _info(ident: str, choice: Choice) -> dict[str, Any]:
    most = max(choice.weights.values(), default=1.0) or 1.0
    rows = [
        (name, weight, 100 * weight / most, name == choice.taken)
        for name, weight in choice.weights.items()
    ]
    return {
        "ident": ident,
        "name": block_name(choice.name),
        "taken": choice.taken,
        "margin": choice.margin,
        "rows": rows,
    }
