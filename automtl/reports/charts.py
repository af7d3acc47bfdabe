"""Charts by matplotlib, without a screen: small, so that several stand side by side on a wide page
and one on a telephone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from automtl.reports.drawing.colours import (
    FAINT,
    INK,
    LINE,
    PAPER,
    SOFT,
    TASKS,
    chip_ink,
    chip_paper,
)
from automtl.reports.drawing.text import FONT, clean, text_width
from automtl.runs.decided import block_name

LEARNED = "must be of a search that learned alphas"
_DPI = 96
_SMALL = 7.5  # points, on the page and in the picture alike
_TITLE = _SMALL + 0.5


def chart(width: float, height: float, title: str = "") -> tuple[Figure, Axes]:
    """An empty chart of a size in pixels, in the house style."""
    layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04)
    figure = Figure(
        figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="none", layout=layout
    )
    axes = figure.add_subplot(facecolor="none")
    dress(axes, title)
    return figure, axes


def dress(axes: Axes, title: str = "") -> None:
    """The house style: no frame, faint lines, small letters."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=LINE, linewidth=0.8)
    axes.tick_params(colors=SOFT, labelsize=_SMALL, length=2.5, width=0.6, labelfontfamily=FONT)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    if title:
        axes.set_title(
            clean(title, 60),
            fontsize=_TITLE,
            color=INK,
            loc="left",
            parse_math=False,
            fontfamily=FONT,
        )


def epochs_axis(axes: Axes) -> None:
    """Whole epochs, counted from 1."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", fontsize=_SMALL, color=SOFT, fontfamily=FONT)


def name_at_end(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    """A line's name beside its last point."""
    style: dict[str, Any] = {
        "fontsize": _SMALL,
        "color": colour,
        "va": "center_baseline",
        "fontfamily": FONT,
        "parse_math": False,
    }
    axes.annotate(
        clean(text, 40),
        (x, y),
        xytext=(4, 0),
        textcoords="offset points",
        annotation_clip=False,
        **style,
    )


@dataclass(frozen=True)
class Line:
    """A line over epochs.

    Args:
        name: lines of one name (seeds of one model) have one colour, and the name once.
        points: (epoch from 1, value).
        best: the epoch that was kept, marked with a ring.
    """

    name: str
    points: Sequence[tuple[int, float]]
    best: int | None = None


def curves(
    lines: Sequence[Line],
    *,
    title: str,
    legend: Sequence[str] = (),
    width: float = 340,
    height: float = 200,
) -> Figure:
    """Lines over epochs, each name at its end; the names are moved apart where they would touch.

    Args:
        lines: what is drawn.
        title: over it.
        legend: the names in the order of their colours, where the page has a legend for several
            charts; the ends have no names then.
        width: pixels.
        height: pixels, at least.
    """
    names = list(legend) or list(dict.fromkeys(line.name for line in lines))
    height = height if legend else max(height, 60 + 15.0 * len(names))
    figure, axes = chart(width, height, title)
    for line in lines:
        number = names.index(line.name)
        colour = TASKS[number % len(TASKS)]
        axes.plot(
            [e for e, _ in line.points],
            [v for _, v in line.points],
            color=colour,
            linestyle="solid" if number < len(TASKS) else (0, (3, 1.5)),
            linewidth=1.2,
            marker="o",
            markersize=2.2,
        )
        for epoch, value in line.points:
            if epoch == line.best:
                axes.plot(
                    [epoch],
                    [value],
                    color=colour,
                    marker="o",
                    markersize=6.5,
                    fillstyle="none",
                    markeredgewidth=1.1,
                )
    epochs_axis(axes)
    if not legend:
        _name_ends(axes, lines, names, height)
    return figure


def _name_ends(axes: Axes, lines: Sequence[Line], names: Sequence[str], height: float) -> None:
    """Names at the right, each beside the mean end of its lines, at least a line of text apart."""
    low, high = axes.get_ylim()
    step = (high - low) / (height - 60) * 14
    last = max((epoch for line in lines for epoch, _ in line.points), default=1)
    wishes = sorted(
        (fmean(line.points[-1][1] for line in lines if line.name == name and line.points), name)
        for name in names
    )
    places = _apart([wish for wish, _ in wishes], step, high)
    for y, (_, name) in zip(places, wishes, strict=True):
        name_at_end(axes, last, y, name, TASKS[names.index(name) % len(TASKS)])


def _apart(wishes: Sequence[float], step: float, high: float) -> list[float]:
    """Rising places moved up until they are a step apart, then down from where they pass `high`,
    since the title is above it.
    """
    places: list[float] = []
    for wish in wishes:
        places.append(max(wish, places[-1] + step) if places else wish)
    for number in range(len(places) - 1, -1, -1):
        places[number] = min(places[number], high)
        high = places[number] - step
    return places


def entropy_chart(shares: pd.DataFrame, title: str) -> Figure:
    """Entropy over epochs: every block faint, their mean dark.

    Args:
        shares: rows are epochs (from 0), columns are blocks.
        title: over the chart.
    """
    figure, axes = chart(340, 200, title)
    marker: dict[str, Any] = {"marker": "o", "markersize": 2.2}
    for _, line in shares.items():
        axes.plot(shares.index + 1, line, color=FAINT, linewidth=0.8, **marker)
    axes.plot(shares.index + 1, shares.mean(axis=1), color=INK, linewidth=2.0, **marker)
    epochs_axis(axes)
    axes.set_ylim(0, 1.02)  # of every search alike: a flat line must not look like a fall
    axes.set_ylabel("share of the largest entropy", fontsize=_SMALL, color=SOFT, fontfamily=FONT)
    return figure


def choice_chart(weights: pd.DataFrame) -> Figure:
    """softmax(alpha) of one choice block over epochs: the winner dark, the runner-up middling, the
    rest faint.

    Args:
        weights: columns epoch (from 0), operation, weight.
    """
    figure, axes = chart(164, 118)
    draw_choice(axes, weights)
    return figure


def draw_choice(axes: Axes, weights: pd.DataFrame) -> str:
    """Draw one choice block into axes; the name of its winner."""
    last = weights[weights.epoch == weights.epoch.max()].sort_values("weight", ascending=False)
    order = list(last.operation)
    for rank, operation in reversed(list(enumerate(order))):
        line = weights[weights.operation == operation].sort_values("epoch")
        colour, thick = ((TASKS[0], 1.8), (SOFT, 1.1))[rank] if rank < 2 else (FAINT, 0.8)
        dots: dict[str, Any] = {"marker": "o", "markersize": 2.0} if len(line) == 1 else {}
        axes.plot(line.epoch + 1, line.weight, color=colour, linewidth=thick, **dots)
    axes.axhline(1 / max(len(order), 1), color=SOFT, linewidth=0.6, linestyle=(0, (1, 2)))
    axes.set_ylim(0, 1)  # of every block alike: what leads by .001 must not look like a winner
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
    return str(order[0]) if order else ""


def all_choices(table: pd.DataFrame, title: str) -> Figure:
    """Every choice block of a search in one picture, for a file."""
    blocks = list(dict.fromkeys(table.block))
    columns = min(len(blocks), 4) or 1
    rows = max(-(-len(blocks) // columns), 1)
    figure = Figure(
        figsize=(3.0 * columns, 1.9 * rows + 0.6), dpi=_DPI, facecolor=PAPER, layout="constrained"
    )
    for i, block in enumerate(blocks):
        axes = figure.add_subplot(rows, columns, i + 1, facecolor="none")
        dress(axes)
        winner = draw_choice(axes, table[table.block == block])
        axes.set_title(
            clean(f"{block_name(block)}: {winner}", 60),
            fontsize=8,
            color=INK,
            loc="left",
            parse_math=False,
        )
    figure.suptitle(clean(title), fontsize=11, color=INK, parse_math=False)
    figure.supxlabel("epoch", fontsize=9, color=SOFT)
    figure.supylabel("softmax(alpha); dotted: all alike", fontsize=9, color=SOFT)
    return figure


def heat(
    values: pd.DataFrame,
    *,
    title: str = "",
    marked: Mapping[str, Sequence[Any]] | None = None,
    most: float | None = None,
) -> Figure:
    """A heat map with its figures: rows are experts, columns are tasks (paper Fig. 3, turned so
    that it fits a narrow page).

    Args:
        values: weights; the index and the columns are names.
        title: over it.
        marked: per column, the rows with a frame (the chosen experts).
        most: the weight of the darkest cell; default the largest.
    """
    rows, columns = values.shape
    cell = min(46.0, 280.0 / max(columns, 1))
    names = [clean(str(name), 30) for name in values.columns]
    tilt = max(text_width(name, 10) for name in names) > cell
    head = (max(text_width(name, 10) for name in names) * 0.72 if tilt else 0.0) + 34.0
    side = max(text_width(clean(str(name), 24), 10) for name in values.index) + 26.0
    width = side + cell * columns + (head * 0.6 if tilt else 6.0)
    width = max(width, side + text_width(clean(title, 60), _TITLE * _DPI / 72))
    figure, axes = chart(width, head + 20.0 * rows, title)
    top = most or float(values.to_numpy().max()) or 1.0
    for y, (row, cells) in enumerate(values.iterrows()):
        for x, value in enumerate(cells):
            chosen = row in (marked or {}).get(values.columns[x], ())
            shade = min(float(value) / top, 1.0)
            _cell(axes, x, y, shade, text=f"{value:.2f}" if cell > 24 else "", framed=chosen)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.set_xticks(
        range(columns),
        names,
        rotation=45 if tilt else 0,
        ha="left" if tilt else "center",
        parse_math=False,
    )
    axes.set_yticks(range(rows), [clean(str(name), 24) for name in values.index], parse_math=False)
    axes.tick_params(
        length=0, top=True, labeltop=True, bottom=False, labelbottom=False, labelcolor=INK
    )
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def _cell(axes: Axes, x: int, y: int, shade: float, *, text: str, framed: bool) -> None:
    """A cell of a heat map, with its figure where there is room."""
    frame: dict[str, Any] = {"edgecolor": INK, "linewidth": 1.4, "zorder": 3} if framed else {}
    axes.add_patch(
        Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, facecolor=chip_paper(shade), **frame)
    )
    if text:
        axes.text(
            x,
            y,
            text,
            ha="center",
            va="center_baseline",
            fontsize=_SMALL,
            color=chip_ink(shade),
            zorder=4,
        )


def calibration(tables: Mapping[str, Sequence[Mapping[str, float]]], *, title: str) -> Figure:
    """Mean label against mean prediction per bin of rows; dotted: perfect calibration."""
    figure, axes = chart(300, 260, title)
    points = [
        v
        for table in tables.values()
        for piece in table
        for v in (piece["prediction"], piece["label"])
    ]
    low, high = min(points, default=0.0), max(points, default=1.0)
    axes.plot([low, high], [low, high], color=SOFT, linewidth=0.8, linestyle=(0, (1, 2)))
    for i, (name, table) in enumerate(tables.items()):
        x, y = [piece["prediction"] for piece in table], [piece["label"] for piece in table]
        style: dict[str, Any] = {
            "marker": "os^Dv"[i % 5],
            "markersize": 3.2,
            "linewidth": 1.0,
            "color": TASKS[i % len(TASKS)],
        }
        axes.plot(x, y, label=clean(name, 40), **style)
    axes.set_xlabel("mean prediction", fontsize=_SMALL, color=SOFT, fontfamily=FONT)
    axes.set_ylabel("mean label", fontsize=_SMALL, color=SOFT, fontfamily=FONT)
    if len(tables) > 1:
        legend = axes.legend(fontsize=_SMALL, frameon=False, labelcolor=INK, loc="upper left")
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure
