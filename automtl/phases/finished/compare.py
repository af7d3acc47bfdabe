"""The compare phase: trained models side by side, tested against the best hand-made one and against
single-task models.

It reads what runs hold and nothing else: test figures where every model has been evaluated, else
validation figures, which chose the epoch. The best hand-made model, and of several single-task
models the reference, is chosen by validation loss.
The primary test of a model is that of its MTL-Loss; tests of tasks' metrics are secondary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from automtl.bounds import fitting
from automtl.errors import ArtifactError, ConfigError
from automtl.phases.finished._searches import with_averages
from automtl.phases.finished.contrasts import LEAST_RANKED, Contrast, contrast, corrected
from automtl.phases.finished.entries import (
    _ABSENT,
    _OTHERWISE,
    _SHAPE,
    SEEDS,
    Entry,
    is_complete,
    read_entry,
)
from automtl.reports.agreement import Place, agreement
from automtl.reports.tables import HEADLINES
from automtl.runs.constant import LOSS
from automtl.runs.manifest import Manifest
from automtl.runs.rows import rows_of
from automtl.runs.run_dir import PhaseDir, find_phase, run_names
from automtl.statistics import MARGIN, pooled_deviation


@dataclass(frozen=True)
class Comparison:
    """The whole comparison.

    Args:
        split: whose figures these are.
        metrics: MTL-Loss, then one per task.
        entries: best mean MTL-Loss first.
        best_hand_made, single_task: names of the references; None where there is none.
        tests: per entry its contrasts with the references.
        negative_transfer: per entry and task "shown", "possible" (worse in the mean, not shown) or
            "no"; empty without single_task.
        notes: what a reader must know.
        constant: per metric, the figure of the best constant: the base rates of the training rows,
            for regression their mean.
        margin: by how much more MTL-Loss a model counts as worse; None where none was given and no
            model has two seeds.
        margin_from: where the margin comes from.
    """

    split: str
    metrics: tuple[str, ...]
    entries: tuple[Entry, ...]
    best_hand_made: str | None
    single_task: str | None
    tests: dict[str, list[Contrast]]
    negative_transfer: dict[str, dict[str, str]]
    notes: tuple[str, ...] = field(default_factory=tuple)
    constant: dict[str, float] = field(default_factory=dict)
    margin: float | None = None
    margin_from: str = ""

    @property
    def trainings(self) -> dict[str, dict[str, str]]:
        """Settings that not all models were trained by, with each entry's value, and shapes that
        were recommended; no means of searches.
        """
        by_entry = {entry.name: entry.trained_by for entry in self.entries if entry.trained_by}
        advised = {name for entry in self.entries for name in entry.advised}
        names = dict.fromkeys(
            n for own in by_entry.values() for n in own if not n.startswith(_SHAPE) or n in advised
        )
        values = {
            name: {entry: settings.get(name, _ABSENT) for entry, settings in by_entry.items()}
            for name in names
        }
        apart = {
            name
            for name, own in values.items()
            if len(set(own.values())) > 1 or any(_OTHERWISE in word for word in own.values())
        }
        return {name: own for name, own in values.items() if name in apart}

    @property
    def agreement(self) -> dict[str, list[Place]]:
        """Per method with several searches, which operation each place chose and how often."""
        return {
            entry.name: places for entry in self.entries if (places := agreement(entry.derived))
        }

    def verdict(self, entry: Entry) -> str:
        """The verdict in words: remarks beside the constant, then the MTL-Loss against both
        references.
        """
        return "; ".join([*entry.remarks.get(self.split, []), self.against(entry)])

    def against(self, entry: Entry) -> str:
        """The MTL-Loss in words, against both references."""
        tests = [test for test in self.tests[entry.name] if test.primary]
        said = [test.words(entry.unit, self.margin) for test in tests]
        return "; ".join(said) or "nothing to compare with"


def compare(paths: Sequence[Path], *, margin: float | None = None) -> Comparison:
    """Compare the finished retrains of runs.

    Args:
        paths: run folders, or retrain folders inside them.
        margin: by how much more MTL-Loss a model counts as worse; default 1.5 pooled standard
            deviations between the compared models' retrain seeds.

    Raises:
        ArtifactError: a path holds no finished retrain, or runs are of different data or splits.
        ConfigError: the margin is none.
    """
    if margin is not None and not 0 < margin < math.inf:
        raise ConfigError("--margin", "must be finite and above 0", margin)
    folders = list(
        dict.fromkeys(
            f for path in paths for f in find_phase(path, "retrain") if f.state() == "done"
        )
    )
    if not folders:
        raise ArtifactError(
            ", ".join(map(str, paths)),
            "must hold a finished retrain",
            "none",
            "run `automtl retrain` first",
        )
    _same_data(folders)
    groups: dict[tuple[Path, str], list[PhaseDir]] = {}
    for folder in folders:
        groups.setdefault((folder.run, folder.path.name.rpartition("-s")[0]), []).append(folder)
    called = run_names(run for run, _ in groups)
    entries = with_averages(
        [read_entry(run, label, group, called[run]) for (run, label), group in groups.items()]
    )
    split = "test" if all(is_complete(e) for e in entries) else "validation"
    metrics = tuple(dict.fromkeys(m for e in entries for m in e.figures[split]))
    entries.sort(key=lambda e: (e.mean(split, LOSS) is None, e.mean(split, LOSS)))
    return _tested(split, metrics, entries, margin)


def _same_data(folders: Sequence[PhaseDir]) -> None:
    first: dict[str, Any] = {}
    for folder in folders:
        with fitting(folder.manifest):
            data = Manifest.read(folder.manifest).values["data"]
            first = first or data
            same = rows_of(data) == rows_of(first)
        if not same:
            rule = "must be of the data and split of the others"
            raise ArtifactError(
                folder.manifest,
                rule,
                f"{data['name']} beside {first['name']}",
                "compare runs of one prepared data set",
            )


def _tested(
    split: str, metrics: tuple[str, ...], entries: Sequence[Entry], margin: float | None
) -> Comparison:
    known = [e for e in entries if e.hand_made and e.mean("validation", LOSS) is not None]
    hand_made = [e for e in known if e.label != "single_task"]
    best, alone = (
        min(some, key=lambda e: e.mean("validation", LOSS) or 0.0, default=None)
        for some in (hand_made, [e for e in known if e.label == "single_task"])
    )
    margin, source = (margin, "as given") if margin is not None else _margin(split, entries)
    tests = _contrasts(split, metrics, entries, [e for e in (best, alone) if e], margin)
    against = {
        e.name: [t for t in tests[e.name] if alone and t.reference == alone.name]
        for e in entries
        if e is not alone
    }
    transfer = {name: _transfer(some) for name, some in against.items()} if alone else {}
    names = [None if e is None else e.name for e in (best, alone)]
    constant: dict[str, float] = next(
        (figures for e in entries if (figures := e.constant.get(split))), {}
    )
    comparison = Comparison(
        split,
        metrics,
        tuple(entries),
        names[0],
        names[1],
        tests,
        transfer,
        _notes(split, entries, hand_made),
        constant,
        margin,
        source,
    )
    notes = [*comparison.notes, *_notes_of_tests(comparison)]
    if comparison.trainings:
        notes.append(
            "not all models were trained alike, and what differs may come of that: "
            f"{', '.join(comparison.trainings)}"
        )
    return replace(comparison, notes=tuple(notes))


def _margin(split: str, entries: Sequence[Entry]) -> tuple[float | None, str]:
    """The default margin and where it comes from."""
    groups = [list(e.figures[split].get(LOSS, {}).values()) for e in entries if e.unit == SEEDS]
    pooled = pooled_deviation(groups)
    if pooled is None:
        return None, ""
    source = (
        f"{MARGIN} x {pooled[0]:.5f}, the standard deviation between retrain seeds pooled over "
        f"the models compared ({pooled[1]:.0f} degrees of freedom)"
    )
    return MARGIN * pooled[0], source


def _contrasts(
    split: str,
    metrics: Sequence[str],
    entries: Sequence[Entry],
    references: Sequence[Entry],
    margin: float | None,
) -> dict[str, list[Contrast]]:
    """Every entry against every reference in every metric."""
    names = []
    contrasts, figures = [], []
    for entry in entries:
        for reference in references:
            if reference.name == entry.name:
                continue
            for metric in metrics:
                more = metric != LOSS and HEADLINES[metric.rpartition(" ")[2]]
                pair = tuple(e.figures[split].get(metric, {}) for e in (entry, reference))
                names.append(entry.name)
                figures.append(pair)
                contrasts.append(
                    contrast(metric, reference.name, *pair, better=more, margin=margin)
                )
    tests: dict[str, list[Contrast]] = {entry.name: [] for entry in entries}
    for name, test in zip(names, corrected(contrasts, figures), strict=True):
        tests[name].append(test)
    return tests


def _transfer(tests: Sequence[Contrast]) -> dict[str, str]:
    """Per task, whether sharing hurts it."""
    flags = {}
    for test in tests:
        if test.metric != LOSS and test.difference is not None:
            worse = test.difference != 0 and (test.difference > 0) != test.better
            flags[test.metric.rpartition(" ")[0]] = (
                "shown" if test.shown == "worse" else "possible" if worse else "no"
            )
    return flags


def _notes(split: str, entries: Sequence[Entry], hand_made: Sequence[Entry]) -> tuple[str, ...]:
    notes = []
    if split == "validation":
        waiting = [e.name for e in entries if not is_complete(e)]
        notes.append(
            "validation figures, which chose the epoch: not evaluated on test rows yet: "
            f"{', '.join(waiting)}"
        )
    if undefined := [e.name for e in entries if e.mean(split, LOSS) is None]:
        notes.append(
            f"without a label of every task there is no MTL-Loss to rank by on these {split} "
            f"rows: {', '.join(undefined)}"
        )
    if untold := [e.name for e in entries if not e.trained_by and not e.marks and len(entries) > 1]:
        notes.append(
            f"without a config.yaml it is not known how they were trained: {', '.join(untold)}"
        )
    if unknown := [e.name for e in entries if e.remarks and split not in e.constant]:
        notes.append(
            "not compared with the constant, their figures being of an older version: "
            f"{', '.join(unknown)}"
        )
    if len(hand_made) > 1:
        notes.append(f"the best hand-made model is the best of {len(hand_made)} by validation loss")
    return tuple(notes)


def _notes_of_tests(comparison: Comparison) -> list[str]:
    """Notes on how to read the tests."""
    tests = [test for own in comparison.tests.values() for test in own]
    if not tests:
        return []
    notes = []
    averages = [e.name for e in comparison.entries if e.unit != SEEDS]
    if averages:
        notes.append(
            "of several searches the unit is the search, its figure the mean over its retrain "
            f"seeds: {', '.join(averages)}; all others are one architecture each, over retrain "
            "seeds"
        )
    if comparison.margin is not None:
        said = f"the margin is {comparison.margin:.5f} of MTL-Loss, {comparison.margin_from}"
        if comparison.margin_from != "as given":
            said += "; for a claim give it beforehand by --margin"
        notes.append(said)
    few = [e.name for e in comparison.entries if len(e.seeds(comparison.split)) < 2]
    if few:
        notes.append(f"one seed, with which nothing can be tested: {', '.join(few)}")
    if any(test.p is not None and test.rank_sum is None for test in tests):
        notes.append(
            f"Wilcoxon's rank-sum test is left out where a side has fewer than {LEAST_RANKED} "
            "figures"
        )
    return notes
