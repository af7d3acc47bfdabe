"""Pictures by matplotlib, without a screen: an architecture, and how alphas went over epochs.

Each function returns a Figure; ``render`` makes its bytes, which ``automtl.files`` writes.
"""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow as pa
from matplotlib.figure import Figure

from automtl.errors import ConfigError
from automtl.spaces.architecture import Architecture
from automtl.spaces.graph import to_graph

_LEVELS = ("field", "interaction", "projection", "expert", "tower")
_COLOURS = {"field": "#e8eef7", "interaction": "#cfe3d4", "projection": "#e9e3f2", "expert": "#fbe3c0", "tower": "#f6d0d0"}
FORMATS = ("png", "svg", "pdf")


def render(figure: Figure, path: Path) -> bytes:
    """A figure as the bytes of a file with the path's ending.

    Raises:
        ConfigError: an ending other than png, svg, pdf.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise ConfigError(path, f"must end in one of .{', .'.join(FORMATS)}", repr(path.suffix))
    sink = io.BytesIO()
    figure.savefig(sink, format=kind, dpi=150, bbox_inches="tight")
    return sink.getvalue()


def draw_alphas(table: pa.Table, title: str) -> Figure:
    """softmax(alpha) over epochs: one small panel per choice block, one line per candidate.

    Args:
        table: columns epoch, block, operation, weight.
        title: over the whole picture.
    """
    lines: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in table.to_pylist():
        lines[row["block"]][row["operation"]].append((row["epoch"] + 1, row["weight"]))
    columns = min(len(lines), 4)
    rows = -(-len(lines) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows), layout="constrained")
    figure.suptitle(title)
    for i, (block, candidates) in enumerate(lines.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        best = max(candidates, key=lambda name: candidates[name][-1][1])
        for name, points in candidates.items():
            style = {"linewidth": 2.4, "color": "#b3261e"} if name == best else {"linewidth": 1.0, "color": "#9aa5b1"}
            axes.plot([e for e, _ in points], [w for _, w in points], marker="o", markersize=2.5, **style)  # type: ignore[arg-type]
        axes.axhline(1 / len(candidates), color="#444444", linewidth=0.7, linestyle=":")
        axes.set_title(f"{block}: {best}", fontsize=9)
        axes.tick_params(labelsize=8)
    figure.supxlabel("epoch")
    figure.supylabel("softmax(alpha); dotted: all alike")
    return figure


def draw_architecture(architecture: Architecture) -> Figure:
    """The dataflow from fields (below) to tasks (above)."""
    graph = to_graph(architecture)
    layers = [[n for n, kind in graph.nodes(data="kind") if kind == level] for level in _LEVELS]
    layers = [layer for layer in layers if layer]
    fields, layers = layers[0], layers[1:]
    width = max(4.0, max(len(layer) for layer in layers) * 2.1)
    figure = Figure(figsize=(width, 1.5 * len(layers) + 2.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    places: dict[str, tuple[float, float]] = {}
    for y, layer in enumerate(layers, 1):
        for x, node in enumerate(layer):
            places[node] = ((x + 0.5) * width / len(layer), y * 1.5)
    _draw_fields(axes, graph, fields, width)
    places.update(dict.fromkeys(fields, (width / 2, 0.2)))
    _draw_edges(axes, graph, places)
    for node in (n for layer in layers for n in layer):
        _draw_box(axes, places[node], graph.nodes[node])
    axes.set_xlim(0, width)
    axes.set_ylim(-0.5, 1.5 * len(layers) + 0.9)
    figure.suptitle(f"{architecture.name or 'architecture'}: {architecture.sharing.kind}")
    return figure


def _draw_fields(axes: Any, graph: nx.DiGraph, fields: Sequence[str], width: float) -> None:
    names = [graph.nodes[n]["label"] for n in fields]
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    _draw_box(axes, (width / 2, 0.2), {"kind": "field", "label": f"{len(names)} fields: {shown}"})


def _draw_edges(axes: Any, graph: nx.DiGraph, places: Mapping[str, tuple[float, float]]) -> None:
    drawn = set()
    for start, end, weight in graph.edges(data="weight"):
        line = (places[start], places[end])
        if line in drawn:
            continue
        drawn.add(line)
        (x0, y0), (x1, y1) = line
        axes.plot([x0, x1], [y0, y1], color="#667788", linewidth=1.0 + 3.0 * (weight or 0.0), alpha=0.7, zorder=1)


def _draw_box(axes: Any, place: tuple[float, float], node: Mapping[str, Any]) -> None:
    text = "\n".join([node["label"], *node.get("blocks", ())])
    label = axes.text(*place, text, ha="center", va="center", fontsize=8, zorder=3)
    label.set_bbox({"boxstyle": "round,pad=0.5", "facecolor": _COLOURS[node["kind"]], "edgecolor": "#445566"})
