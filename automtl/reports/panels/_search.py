"""Panels on the search: alphas, entropy, experts and tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from automtl.reports.charts import Line, choice_chart, curves, entropy_chart, heat
from automtl.reports.drawing.embed import embed, fill
from automtl.reports.load import PhaseView, RunView
from automtl.runs.decided import block_name

_MOST_BLOCKS, _MOST_CHARTS = 72, 240


def _searches(runs: Sequence[RunView]) -> list[PhaseView]:
    """The searches that learned weights, or have none yet: what others drew would look believed."""
    found = [run.search for run in runs if run.search is not None]
    return [phase for phase in found if phase.learned]


def alphas_panel(runs: Sequence[RunView]) -> Markup | None:
    """softmax(alpha) of each choice block over epochs, in small."""
    groups, searches = [], _searches(runs)
    most = max(min(_MOST_BLOCKS, _MOST_CHARTS // max(len(searches), 1)), 1)
    for number, phase in enumerate(searches):
        if phase.alphas.empty:
            continue
        blocks = list(dict.fromkeys(phase.alphas.block))
        charts = [
            _choice(phase.alphas[phase.alphas.block == b], b, f"alphas-{number}-{i}")
            for i, b in enumerate(blocks[:most])
        ]
        groups.append(
            {
                "title": phase.run if len(runs) > 1 else "",
                "charts": charts,
                "left_out": len(blocks) - len(charts),
            }
        )
    return fill("alphas.html", groups=groups) if groups else None


def _choice(weights: pd.DataFrame, block: str, ident: str) -> dict[str, Any]:
    last = weights[weights.epoch == weights.epoch.max()].sort_values("weight", ascending=False)
    figures = [*last.weight, 0.0, 0.0]
    label = f"softmax(alpha) of {block_name(block)} over epochs"
    return {
        "name": block_name(block),
        "winner": str(last.operation.iloc[0]),
        "weight": figures[0],
        "rival": str(last.operation.iloc[1]) if len(last) > 1 else "",
        "margin": figures[0] - figures[1],
        "chart": embed(choice_chart(weights), ident, label),
    }


def entropy_panel(runs: Sequence[RunView]) -> Markup | None:
    """Entropy of every block over epochs, as a share of the largest possible."""
    charts, words = [], []
    for number, phase in enumerate(_searches(runs)):
        if phase.alphas.empty:
            continue
        shares = _entropies(phase.alphas)
        if not shares.to_numpy().any():
            continue  # nothing to choose from
        title = phase.run if len(runs) > 1 else "entropy / ln(candidates)"
        charts.append(
            embed(
                entropy_chart(shares, title),
                f"entropy-{number}",
                f"entropy of alphas over epochs, {phase.run}",
            )
        )
        words.append(_closest(phase.alphas))
    note = (
        "Entropy of the choice: 1 is uniform, 0 a single operation. Bold: mean; thin: each block. "
        + " ".join(words)
    )
    return (
        fill("charts.html", groups=[{"title": "", "charts": charts, "left_out": 0}], note=note)
        if charts
        else None
    )


def _entropies(alphas: pd.DataFrame) -> pd.DataFrame:
    """Rows epochs, columns blocks: entropy over ln(number of candidates); one candidate counts as
    decided.
    """
    terms = alphas.assign(term=-alphas.weight * np.log(alphas.weight.clip(lower=1e-300)))
    grouped = terms.groupby(["epoch", "block"], sort=False).agg(
        entropy=("term", "sum"), candidates=("term", "size")
    )
    shares = grouped.entropy / np.log(grouped.candidates.clip(lower=2))
    wide: pd.DataFrame = shares.unstack("block")
    return wide


def _closest(alphas: pd.DataFrame) -> str:
    """The number of choices that are close to a toss, and the closest."""
    last = alphas[alphas.epoch == alphas.epoch.max()]
    margins = {}
    for block, weights in last.groupby("block", sort=False):
        top = weights.nlargest(2, "weight")
        if len(top) == 2:
            margins[str(block)] = (
                float(top.weight.iloc[0] - top.weight.iloc[1]),
                list(top.operation),
                1 / len(weights),
            )
    if not margins:
        return ""
    close = sum(margin < 0.1 * uniform for margin, _, uniform in margins.values())
    block, (margin, (winner, rival), _) = min(margins.items(), key=lambda item: item[1][0])
    closest = f"the closest is {block_name(block)}: {winner} over {rival} by {margin:.4f}"
    return (
        f"{close} of {len(margins)} choices {'is a near tie' if close == 1 else 'are near ties'} "
        f"(lead < 10% of uniform); {closest}."
    )


def experts_panel(runs: Sequence[RunView]) -> Markup | None:
    """softmax(beta): the heat map of the last epoch, and each task's weights over epochs."""
    groups = []
    for number, phase in enumerate(_searches(runs)):
        if phase.betas.empty:
            continue
        ident, chosen = f"experts-{number}", _chosen(phase)
        last = phase.betas[phase.betas.epoch == phase.betas.epoch.max()]
        values = last.pivot_table(index="expert", columns="task", values="weight", sort=False)
        values = values[list(dict.fromkeys(last.task))].rename(index=lambda e: f"expert {e}")
        marked = {task: [f"expert {e}" for e in experts] for task, experts in chosen.items()}
        picture = heat(
            values, title="softmax(beta), last epoch; framed: chosen", marked=marked, most=1.0
        )
        charts = [embed(picture, ident, "weights of experts for tasks")]
        charts += [
            _usage(phase.betas[phase.betas.task == task], str(task), f"{ident}-{i}")
            for i, task in enumerate(values.columns)
        ]
        title = phase.run if len(runs) > 1 else ""
        groups.append(
            {
                "title": title,
                "charts": charts,
                "left_out": 0,
                "words": _usage_words(chosen, len(values)),
            }
        )
    return fill("charts.html", groups=groups, note="") if groups else None


def _chosen(phase: PhaseView) -> dict[str, tuple[int, ...]]:
    architecture = phase.architecture
    if architecture is None or architecture.tasks is None or architecture.chosen is None:
        return {}
    return {
        task.name: experts
        for task, experts in zip(architecture.tasks, architecture.chosen, strict=True)
    }


def _usage(weights: pd.DataFrame, task: str, ident: str) -> Markup:
    lines = []
    for expert, rows in weights.groupby("expert"):
        lines.append(
            Line(
                f"expert {expert}",
                [(int(e) + 1, float(w)) for e, w in zip(rows.epoch, rows.weight, strict=True)],
            )
        )
    return embed(
        curves(lines, title=f"{task}: softmax(beta) over epochs"),
        ident,
        f"expert weights of task {task} over epochs",
    )


def _usage_words(chosen: Mapping[str, Sequence[int]], experts: int) -> str:
    """Which experts all tasks share, and which none takes."""
    if not chosen:
        return ""
    users = {e: [task for task, picks in chosen.items() if e in picks] for e in range(experts)}
    shared = [str(e) for e, tasks in users.items() if len(tasks) == len(chosen)]
    idle = [str(e) for e, tasks in users.items() if not tasks]
    words = [f"Chosen by every task: {', '.join(shared)}."] if shared and len(chosen) > 1 else []
    words += [f"Chosen by no task: {', '.join(idle)}."] if idle else []
    return " ".join(words)
