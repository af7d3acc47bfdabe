"""Remarks on models that are no better than the best constant: the base rates of the training rows,
for regression their mean.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from automtl.runs.epoch_line import judged

LOSS = "MTL-Loss"
_WORDS = {
    "worse": "worse than the constant",
    "not shown": "not shown to be better than the constant",
}
_MEANS = "predicting the training rows' base rates"


def remarks(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Remarks on a model beside the constant; none where it is shown to be better in everything, or
    where nothing is known.

    Args:
        seeds: per seed its figures on one split, as `results.json` holds them; what is no such
            figure is passed over.
    """
    by_name = _by_name(seeds)
    return [
        f"{_WORDS[verdict]} ({_MEANS}): " + ", ".join(_item(key[1], by_name[key]) for key in keys)
        for verdict, keys in _flagged(by_name).items()
    ]


def flagged(seeds: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """By words such as "worse than the constant" the names of what a model is worse in, "MTL-Loss"
    or tasks; arguments as of `remarks`.
    """
    return {
        _WORDS[verdict]: [name for _, name in keys]
        for verdict, keys in _flagged(_by_name(seeds)).items()
    }


def _by_name(seeds: Sequence[Mapping[str, Any]]) -> dict[tuple[bool, str], list[dict[str, Any]]]:
    all_gaps = [_gaps(figures) for figures in seeds]
    return {
        name: [gaps[name] for gaps in all_gaps if name in gaps]
        for name in dict.fromkeys(n for gaps in all_gaps for n in gaps)
    }


def _flagged(
    by_name: Mapping[tuple[bool, str], Sequence[Mapping[str, Any]]],
) -> dict[str, list[tuple[bool, str]]]:
    by_verdict = {
        verdict: [key for key, gaps in by_name.items() if _verdict(gaps) == verdict]
        for verdict in _WORDS
    }
    return {verdict: keys for verdict, keys in by_verdict.items() if keys}


def known(seeds: Sequence[Mapping[str, Any]]) -> bool:
    """Whether figures tell of the constant; those of older versions do not."""
    return all(map(_gaps, seeds))


def loss_of(figures: Mapping[str, Any]) -> float | None:
    """The constant's MTL-Loss on the rows of some figures."""
    gap = _gaps(figures).get((True, LOSS))
    return None if gap is None else gap["loss"]


def lift(figures: Mapping[str, Any], task: str | None = None) -> float | None:
    """By which share of the constant's loss a model's lies below it: of a task, or the MTL-Loss.

    >>> gap = {"loss": 0.5, "difference": -0.1}
    >>> lift({"constant": {"total": gap, "tasks": {}}})
    0.2
    """
    gap = _gaps(figures).get((True, LOSS) if task is None else (False, task))
    return None if gap is None or not gap["loss"] else -gap["difference"] / gap["loss"]


def metrics_of(figures: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The constant's metrics per task on the rows of some figures, where defined."""
    constant = figures.get("constant")
    metrics = constant.get("metrics") if isinstance(constant, dict) else None
    return metrics if isinstance(metrics, dict) else {}


def above(line: Mapping[str, Any]) -> str | None:
    """The remark on an epoch's line in `metrics.jsonl` beside the constant; a search's tells the
    interval over rows too.
    """
    rows, figures = judged(line)
    loss, constant = figures.get("loss"), figures.get("constant")
    if (
        not isinstance(loss, int | float)
        or not isinstance(constant, int | float)
        or loss < constant
    ):
        return None
    gap = figures.get("beside_constant")
    worse = isinstance(gap, dict) and gap.get("verdict") == "worse"
    words = _WORDS["worse"] if worse else "not better than the constant"
    return f"{words} ({_MEANS}): {rows} {LOSS} {loss:.5f} for {constant:.5f}"


def _gaps(figures: Mapping[str, Any]) -> dict[tuple[bool, str], dict[str, Any]]:
    """By name the differences from the constant, the MTL-Loss first; a task of that name is
    another.
    """
    constant = figures.get("constant")
    if not isinstance(constant, dict):
        return {}
    tasks = constant.get("tasks")
    named = {(True, LOSS): constant.get("total")} | {
        (False, name): gap for name, gap in (tasks.items() if isinstance(tasks, dict) else ())
    }
    numbers = ("loss", "difference")
    return {
        name: g
        for name, g in named.items()
        if isinstance(g, dict) and all(isinstance(g.get(n), int | float) for n in numbers)
    }


def _verdict(gaps: Sequence[Mapping[str, Any]]) -> str:
    """The verdict on the mean over seeds: where they do not agree, by the mean of their limits,
    which is an interval over the rows that all are judged on, at least as wide as the mean's own.
    """
    verdicts = [gap.get("verdict") for gap in gaps]
    if all(verdict == verdicts[0] for verdict in verdicts):
        return next((verdict for verdict in _WORDS if verdict == verdicts[0]), "better")
    limits = [(gap.get("low"), gap.get("high")) for gap in gaps]
    if not all(isinstance(limit, int | float) for ends in limits for limit in ends):
        return "not shown"
    low, high = map(fmean, zip(*limits, strict=True))
    return "worse" if low > 0 else "better" if high < 0 else "not shown"


def _item(name: str, gaps: Sequence[Mapping[str, Any]]) -> str:
    constant = fmean(gap["loss"] for gap in gaps)
    figures = f"{name} {constant + fmean(gap['difference'] for gap in gaps):.5f} for {constant:.5f}"
    return figures if len(gaps) == 1 else f"{figures} (mean of {len(gaps)} seeds)"
