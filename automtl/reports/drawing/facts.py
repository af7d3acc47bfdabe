"""Facts about an architecture that its picture shows beside the wiring: alpha margins, widths,
costs of parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from automtl.reports.drawing.text import clean, short
from automtl.runs import decided
from automtl.spaces.architecture import Architecture
from automtl.spaces.catalogue import SHARING

FIELDS = "fields"  # the one node that stands for all fields in a drawing


@dataclass(frozen=True)
class Part:
    """The cost of one part of a network.

    Args:
        parameters: trainable entries; None where they hang on data that is not known.
        flops: floating-point operations per row; None likewise.
    """

    parameters: int | None
    flops: int | None

    def __str__(self) -> str:
        words = [] if self.parameters is None else [f"{short(self.parameters)} par."]
        return " · ".join([*words, *([] if not self.flops else [f"{short(self.flops)} FLOP"])])


@dataclass(frozen=True)
class Choice:
    """One choice block: what was taken, and softmax(alpha) of every candidate.

    Args:
        name: as the search calls it.
        taken: the operation in the architecture.
        weights: by candidate, largest first.
    """

    name: str
    taken: str
    weights: Mapping[str, float]

    @property
    def rival(self) -> str | None:
        """The best candidate that was not taken."""
        return next((name for name in self.weights if name != self.taken), None)

    @property
    def margin(self) -> float:
        """The lead of the taken candidate's weight over the best other one's; 0 without one."""
        rest = 0.0 if self.rival is None else self.weights[self.rival]
        return max(self.weights.get(self.taken, 0.0) - rest, 0.0)


def choices_of(architecture: Architecture, graph: nx.DiGraph) -> dict[tuple[str, int], Choice]:
    """The choice block behind each drawn block, by (node, index in the node); empty where nothing
    was searched.
    """
    choices = {}
    prefixes = list(
        dict.fromkeys(
            name.rpartition(".block.")[0] for name in architecture.choices if ".block." in name
        )
    )
    for node, data in graph.nodes(data=True):
        if data["kind"] == "interaction":
            names, blocks = [node], [data["label"]]
        elif "expert" in data and data["expert"] < len(prefixes):
            blocks = list(data["blocks"])
            names = [f"{prefixes[data['expert']]}.block.{i}" for i in range(len(blocks))]
        else:
            continue
        for i, (name, taken) in enumerate(zip(names, blocks, strict=True)):
            if name in architecture.choices:
                weights = sorted(architecture.choices[name].items(), key=lambda item: -item[1])
                choices[node, i] = Choice(name, taken, dict(weights))
    return choices


def fields_lines(architecture: Architecture, most: int) -> list[str]:
    """The names of the fields, at most `most` lines of them."""
    if architecture.fields is None:
        return ["whatever the data has"]
    names = [clean(f.name, 60) for f in architecture.fields]
    return (
        names if len(names) <= most else [*names[: most - 1], f"and {len(names) - most + 1} more"]
    )


def flat_width(architecture: Architecture) -> str:
    """F vectors times their width d, and how wide they are together; numbers taken jointly are one
    vector.
    """
    if architecture.fields is None:
        return f"vectors of {architecture.embedding_dim}"
    numbers = sum(field.kind == "numeric" for field in architecture.fields)
    count = len(architecture.fields) - (
        max(numbers - 1, 0) if architecture.numeric == "joint" else 0
    )
    return f"{count} × {architecture.embedding_dim} = {count * architecture.embedding_dim}"


def tower_line(architecture: Architecture, task: int) -> str:
    """The widths of a task's tower and what comes out of it."""
    if architecture.tasks is None:
        return " → ".join([*map(str, architecture.towers), "out"])
    signature = architecture.tasks[task]
    outputs = signature.classes if signature.kind == "multiclass" else 1
    return " → ".join(map(str, [*architecture.towers, outputs])) + f" {signature.kind}"


def idle_experts(architecture: Architecture, graph: nx.DiGraph) -> list[int]:
    """Experts of the architecture that stand nowhere in its graph."""
    used = {expert for _, expert in graph.nodes(data="expert") if expert is not None}
    return [i for i in range(len(architecture.experts)) if i not in used]


def subtitle(architecture: Architecture, parts: Mapping[str, Part]) -> str:
    """One line under the title: where it was found, sharing, widths, totals."""
    dataset = architecture.provenance.get("dataset")
    word = decided.title(decided.decisions_of(architecture.provenance))
    words = [f"{word} on {dataset}"] if isinstance(dataset, str) else []
    words.append(f"sharing: {architecture.sharing.kind}")
    words += [f"{key} {value}" for key, value in architecture.sharing.settings.items()]
    words.append(f"embedding width {architecture.embedding_dim}")
    if parts:
        known = [p.parameters for p in parts.values()]
        words += (
            [] if None in known else [f"{short(sum(k for k in known if k is not None))} parameters"]
        )
        flops = [p.flops for p in parts.values()]
        words += (
            []
            if None in flops
            else [f"{short(sum(f for f in flops if f is not None))} FLOP per row"]
        )
    return clean(" · ".join(words))


def notes(architecture: Architecture, graph: nx.DiGraph) -> list[str]:
    """Notes on what the drawing cannot show."""
    lines = []
    idle = idle_experts(architecture, graph)
    if idle:
        lines.append(f"not part of this model: expert {', '.join(map(str, idle))}")
    if SHARING[architecture.sharing.kind].slots == "base":
        lines.append(
            "masks stand over one network's weights, a bit per entry once trained; costs are "
            "before dead neurons are removed"
        )
    if architecture.sharing.kind == "single_task":
        lines.append(
            "each task has a whole model of its own: what stands left of the experts exists "
            "once per task"
        )
    return lines
