"""Renders a scene as a matplotlib figure, and figures as the bytes of a file."""

import io
import warnings
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Outline

from automtl.errors import ConfigError
from automtl.reports.drawing.colours import INK, PAPER, SOFT, TASKS, chip_ink, chip_paper
from automtl.reports.drawing.scene import Label, Rect, Scene, Wire
from automtl.reports.drawing.text import FONT

FORMATS = ("png", "svg", "pdf")
_DPI = 96  # a pixel of the scene is a pixel of the figure
_TRUE_TEXT: dict[Any, Any] = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "automtl"}


def render(figure: Figure, path: Path) -> bytes:
    """A figure as the bytes of a file with the path's ending; the text in an SVG stays text.

    Raises:
        ConfigError: an ending other than png, svg, pdf.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise ConfigError(path, f"must end in one of .{', .'.join(FORMATS)}", repr(path.suffix))
    sink = io.BytesIO()
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with rc_context(_TRUE_TEXT), warnings.catch_warnings():
        # a name in another script still has its text in SVG
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(sink, format=kind, dpi=2 * _DPI, metadata=undated)
    return sink.getvalue()


def paint(scene: Scene) -> Figure:
    """A scene as a figure of its size; on 1,200 pixels no text is smaller than 7 points."""
    figure = Figure(figsize=(scene.width / _DPI, scene.height / _DPI), dpi=_DPI, facecolor=PAPER)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.set_axis_off()
    for wire in scene.wires:
        axes.add_patch(_wire(wire))
    for rect in (*scene.rects, *(r for card in scene.cards for r in card.rects)):
        axes.add_patch(_rect(rect))
    for label in (*scene.labels, *(la for card in scene.cards for la in card.labels)):
        _write(axes, label)
    return figure


def _wire(wire: Wire) -> PathPatch:
    codes = [Outline.MOVETO, *[Outline.CURVE4] * (len(wire.points) - 1)]
    colour = SOFT if wire.task is None else TASKS[wire.task % len(TASKS)]
    style = "solid" if wire.task is None or wire.task < len(TASKS) else (0, (4, 2))
    path = Outline(wire.points, codes)
    return PathPatch(
        path,
        facecolor="none",
        edgecolor=colour,
        linewidth=wire.width * 0.75,
        linestyle=style,
        capstyle="round",
        zorder=1,
    )


def _rect(rect: Rect) -> FancyBboxPatch:
    looks: dict[str, dict[str, Any]] = {
        "card": {"facecolor": PAPER, "edgecolor": SOFT, "linewidth": 0.75, "zorder": 2},
        "chip": {
            "facecolor": chip_paper(rect.shade),
            "edgecolor": SOFT,
            "linewidth": 0.6,
            "zorder": 4,
        },
        "skip": {
            "facecolor": chip_paper(rect.shade),
            "edgecolor": SOFT,
            "linewidth": 0.8,
            "linestyle": (0, (3, 2)),
            "zorder": 4,
        },
        "bar": {
            "facecolor": (TASKS[(rect.task or 0) % len(TASKS)], 0.2),
            "edgecolor": "none",
            "linewidth": 0.0,
            "zorder": 3,
        },
        "hub": {"facecolor": SOFT, "edgecolor": "none", "linewidth": 0.0, "zorder": 2},
    }
    radius = {"card": 6.0, "chip": 4.0, "skip": 4.0, "hub": 2.0, "bar": 0.0}[rect.look]
    style = (
        f"round,pad=0,rounding_size={min(radius, rect.height / 2, rect.width / 2)}"
        if radius
        else "square,pad=0"
    )
    return FancyBboxPatch(
        (rect.x, rect.y),
        rect.width,
        rect.height,
        boxstyle=style,
        mutation_aspect=1.0,
        **looks[rect.look],
        hatch="////" if rect.hatched else None,
    )


def _write(axes: Any, label: Label) -> None:
    colour = {"ink": INK, "soft": SOFT, "on_chip": chip_ink(label.shade)}[label.tone]
    axes.text(
        label.x,
        label.y,
        label.text,
        color=colour,
        fontsize=label.size * 0.75,
        fontweight="bold" if label.bold else "normal",
        fontfamily=FONT,
        ha={"start": "left", "middle": "center", "end": "right"}[label.anchor],
        va="center_baseline",
        parse_math=False,
        zorder=5,
    )
