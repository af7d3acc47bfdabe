"""The verdict on models of the same rows: which is shown to be best, what else differs, and what
would tell more.
"""

import shlex
from collections.abc import Iterator, Sequence
from statistics import stdev

from automtl.errors import counted
from automtl.reports._sentence import Sentence
from automtl.reports.drawing.text import short
from automtl.reports.tables import Model
from automtl.runs.constant import LOSS
from automtl.runs.more_seeds import more_seeds
from automtl.runs.run_dir import PhaseDir
from automtl.statistics import LEVEL, holm, seeds_needed, welch

_SEEDS = 5  # of each, proposed where one seed is all there is
_MOST_SEEDS = 100  # that are worth a proposal
_ALIKE = 1.05  # a smaller factor between two costs is not worth a word


def compared(group: Sequence[Model], rows: str) -> list[Sentence]:
    """The verdict on models of the same rows, best first. No model is called best that is not
    shown to be.

    Args:
        group: the models.
        rows: what the rows are called.
    """
    unjudged = [
        Sentence(f"{model.name} has no MTL-Loss to judge by.", "warning")
        for model in group
        if model.loss is None
    ]
    judged = [model for model in group if model.loss is not None]
    return [*_judged(judged, rows, alone=not unjudged), *unjudged]


def _judged(group: Sequence[Model], rows: str, *, alone: bool) -> list[Sentence]:
    """The same for models that have an MTL-Loss; `alone`: whether there are no others."""
    if len(group) < 2:
        return [s for model in group for s in _alone(model, rows)[: 2 if alone else 1]]
    best, worse = group[0], _shown_worse(group)
    rivals = [model for model in group[1:] if model not in worse]
    place = f"on the {best.split} rows of {rows}"
    if not rivals:
        others = "the other model" if len(group) == 2 else f"the other {len(group) - 1} models"
        first = Sentence(
            f"{best.name} is better than {others} {place}: MTL-Loss {_figure(best)}.", "main"
        )
        return [first, _interval(best, group[1], len(worse)), *_picked(group)]
    names = ", ".join(model.name for model in rivals)
    first = Sentence(f"No difference is shown between {best.name} and {names} {place}.", "main")
    figures = "; ".join(f"{model.name} {_figure(model)}" for model in (best, *rivals))
    return [
        first,
        Sentence(f"MTL-Loss: {figures}."),
        _interval(best, rivals[0], len(group) - 1),
        *_behind(best, worse),
        *_costs((best, *rivals)),
        _next(best, rivals[0]),
    ]


def _figure(model: Model) -> str:
    assert model.loss is not None
    half = "" if model.loss.half is None else f" ± {model.loss.half:.5f}"
    seeds = "one seed" if len(model.phases) == 1 else counted(len(model.phases), "seed")
    return f"{model.loss.mean:.5f}{half} ({seeds})"


def _alone(model: Model, rows: str) -> list[Sentence]:
    source = str(model.phases[0].data.get("source", "DATASET"))
    architecture = model.phases[0].architecture
    same = architecture is not None and architecture.sharing.kind == "shared_bottom"
    words = ["automtl", "retrain", "mmoe" if same else "shared_bottom", "--data", source]
    figure = f"MTL-Loss {_figure(model)}"
    return [
        Sentence(f"{model.name} reaches {figure}, on the {model.split} rows of {rows}.", "main"),
        Sentence("There is no other model to compare it with.", "note", shlex.join(words)),
    ]


def _shown_worse(group: Sequence[Model]) -> list[Model]:
    """The models that are shown to be worse than the first, by Welch's test with Holm's correction
    for as many.
    """
    best = group[0].loss
    assert best is not None
    tested = [(m, welch(m.loss.values, best.values)) for m in group[1:] if m.loss is not None]
    known = [(model, test) for model, test in tested if test is not None]
    corrected = holm([test.p for _, test in known])
    return [m for (m, _), p in zip(known, corrected, strict=True) if p < 1 - LEVEL]


def _interval(best: Model, second: Model, tests: int) -> Sentence:
    """The difference of two models, with its interval; `tests`: how many there are."""
    assert best.loss is not None and second.loss is not None
    gap = second.loss.mean - best.loss.mean
    text = f"{second.name} less {best.name}: {gap:+.5f} ({gap / best.loss.mean:+.2%})"
    test = welch(second.loss.values, best.loss.values)
    if test is None:
        return Sentence(f"{text}. One seed cannot tell such a difference from chance.")
    zero = "contains 0" if test.low <= 0 <= test.high else "does not contain 0"
    corrected = f"; tests are corrected for {tests} comparisons (Holm)" if tests > 1 else ""
    interval = (
        f"its 95% interval over seeds, on these rows, {test.low:+.5f} to {test.high:+.5f}, {zero}"
    )
    return Sentence(f"{text}; {interval}{corrected}.")


def _behind(best: Model, worse: Sequence[Model]) -> list[Sentence]:
    if not worse:
        return []
    names = ", ".join(f"{model.name} {_figure(model)}" for model in worse)
    return [Sentence(f"Shown to be worse than {best.name}: {names}.")]


def _picked(group: Sequence[Model]) -> list[Sentence]:
    if len(group) == 2:
        return []
    text = f"It was picked as the best of {len(group)} by these very rows, which flatters it."
    return [Sentence(text)]


def _costs(models: Sequence[Model]) -> list[Sentence]:
    """What does differ between models that are not told apart: size and operations."""
    sized = [model for model in models if model.megabytes]
    if len(sized) < 2:
        return []
    least = min(sized, key=lambda model: model.megabytes or 0.0)
    other = next(model for model in sized if model is not least)
    words = list(_cheaper(least, other))
    if not words:
        return []
    return [Sentence(f"What does differ: {least.name} is {' and has '.join(words)}.")]


def _cheaper(least: Model, other: Model) -> Iterator[str]:
    size, larger = least.megabytes or 0.0, other.megabytes or 0.0
    if larger > _ALIKE * size:
        factor = f"{larger / size:.1f} times smaller than {other.name}"
        yield f"{factor} ({size:.2g} MB for {larger:.2g} MB)"
        flops, others = least.flops, other.flops
        if flops and others and others > _ALIKE * flops:
            yield f"{others / flops:.1f} times fewer FLOPs per row ({_pair(flops, others)})"
        elif flops and others and flops > _ALIKE * others:
            yield f"{flops / others:.1f} times more FLOPs per row ({_pair(flops, others)})"


def _pair(one: float, other: float) -> str:
    return f"{short(one)} for {short(other)}"


def _next(best: Model, second: Model) -> Sentence:
    """What would tell the two apart, as a command."""
    assert best.loss is not None and second.loss is not None
    pair = (best, second)
    count: int | None = _SEEDS
    if all(len(model.loss.values) > 1 for model in pair if model.loss):
        gap = second.loss.mean - best.loss.mean
        spread = (stdev(best.loss.values), stdev(second.loss.values))
        count = seeds_needed(gap, spread)
    if count is None or count > _MOST_SEEDS:
        return Sentence(f"No {_MOST_SEEDS} seeds would show so small a difference.")
    commands = [
        more_seeds(
            str(model.phases[0].manifest.get("command", "")),
            str(PhaseDir(model.phases[0].folder).run),
            [seed for seed in model.seeds if seed is not None],
            count,
        )
        for model in pair
        if len(model.phases) < count
    ]
    text = f"{counted(count, 'seed')} of each may tell these two apart."
    return Sentence(text, "note", " && ".join(commands) if all(commands) else "")


def epoch_monitors(group: Sequence[Model]) -> Iterator[Sentence]:
    """Models whose epoch another figure than the MTL-Loss picked."""
    for model in group:
        monitor = model.phases[0].results.get("monitor", LOSS)
        if monitor != LOSS:
            yield Sentence(
                f"The epoch of {model.name} was picked by validation {monitor}, not by MTL-Loss."
            )
