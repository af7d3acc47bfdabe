"""The compare phase: trained models side by side, tested against the best hand-made one and against
single-task models.

It reads what runs hold and nothing else: test figures where every model has been evaluated, else
validation figures, which chose the epoch. The best hand-made model is chosen by validation loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from automtl.bounds import fitting
from automtl.errors import ArtifactError
from automtl.phases.finished._paired import LEAST_SEEDS, Paired, compare_paired, corrected, least_p
from automtl.phases.finished.entries import (
    _ABSENT,
    _OTHERWISE,
    _SHAPE,
    Entry,
    is_complete,
    read_entry,
)
from automtl.report.agreement import Place, agreement
from automtl.report.tables import HEADLINES
from automtl.runs.constant import LOSS
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, find_phase


@dataclass(frozen=True)
class Comparison:
    """The whole comparison.

    Args:
        split: whose figures these are.
        metrics: MTL-Loss, then one per task.
        entries: best mean MTL-Loss first.
        best_hand_made, single_task: names of the references; None where there is none.
        tests: per entry its comparisons with the references.
        negative_transfer: per entry and task "shown", "possible" (worse in the mean, not shown) or
            "no"; empty without single_task.
        notes: what a reader must know.
        constant: per metric, the figure of the best constant: the base rates of the training rows,
            for regression their mean.
    """

    split: str
    metrics: tuple[str, ...]
    entries: tuple[Entry, ...]
    best_hand_made: str | None
    single_task: str | None
    tests: dict[str, list[Paired]]
    negative_transfer: dict[str, dict[str, str]]
    notes: tuple[str, ...] = field(default_factory=tuple)
    constant: dict[str, float] = field(default_factory=dict)

    @property
    def trainings(self) -> dict[str, dict[str, str]]:
        """Settings that not all models were trained by, with each entry's value, and shapes that
        were recommended; no means of searches.
        """
        held = {entry.name: entry.trained_by for entry in self.entries if entry.trained_by}
        advised = {name for entry in self.entries for name in entry.advised}
        names = dict.fromkeys(
            n for own in held.values() for n in own if not n.startswith(_SHAPE) or n in advised
        )
        values = {
            name: {entry: settings.get(name, _ABSENT) for entry, settings in held.items()}
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
        return {entry.name: places for entry in self.entries if (places := agreement(entry.found))}

    def verdict(self, entry: Entry) -> str:
        """In words: what must be said beside the constant, then the MTL-Loss against both
        references.
        """
        return "; ".join([*entry.remarks.get(self.split, []), self.against(entry)])

    def against(self, entry: Entry) -> str:
        """The MTL-Loss in words, against both references."""
        said = [p.words for p in self.tests[entry.name] if p.metric == LOSS]
        return "; ".join(said) or "nothing to compare with"


def compare(paths: Sequence[Path]) -> Comparison:
    """Compare the finished retrains of runs.

    Raises:
        ArtifactError: a path holds no finished retrain, or runs are of different data or splits.
    """
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
        groups.setdefault(
            (folder.path.parent.parent, folder.path.name.rpartition("-s")[0]), []
        ).append(folder)
    called = {
        run: run.name if len({r for r, _ in groups if r.name == run.name}) == 1 else str(run)
        for run, _ in groups
    }
    entries = _marked(
        [read_entry(run, label, group, called[run]) for (run, label), group in groups.items()]
    )
    split = "test" if all(is_complete(e) for e in entries) else "validation"
    metrics = tuple(dict.fromkeys(m for e in entries for m in e.figures[split]))
    entries.sort(key=lambda e: (e.mean(split, LOSS) is None, e.mean(split, LOSS)))
    return _tested(split, metrics, entries)


def _same_data(folders: Sequence[PhaseDir]) -> None:
    first: dict[str, Any] = {}
    for folder in folders:
        with fitting(folder.manifest):
            held = Manifest.read(folder.manifest).values["data"]
            first = first or held
            same = (held["hash"], held["split_hash"]) == (first["hash"], first["split_hash"])
        if not same:
            rule = "must be of the data and split of the others"
            raise ArtifactError(
                folder.manifest,
                rule,
                f"{held['name']} beside {first['name']}",
                "compare runs of one prepared data set",
            )


def _marked(entries: Sequence[Entry]) -> list[Entry]:
    """Runs of one method with several searches: the best by validation is marked as such, and their
    mean is an entry of its own.
    """
    done = list(entries)
    for method in dict.fromkeys(e.method for e in entries if e.method):
        group = [e for e in entries if e.method == method]
        if len(group) < 2:
            continue
        best = min(
            group, key=lambda e: (e.mean("validation", LOSS) is None, e.mean("validation", LOSS))
        )
        done[done.index(best)] = replace(
            best, marks=(f"best of {len(group)} searches by validation",)
        )
        done.append(_average(method.rpartition(",")[0], group))
    return done


def _average(name: str, group: Sequence[Entry]) -> Entry:
    """The mean over searches, by retrain seed: what one search of this method gives."""
    figures: dict[str, dict[str, dict[int, float]]] = {}
    for split in ("validation", "test"):
        figures[split] = {}
        for metric in dict.fromkeys(m for e in group for m in e.figures[split]):
            held = [e.figures[split].get(metric, {}) for e in group]
            shared = set.intersection(*(set(h) for h in held))
            figures[split][metric] = {seed: fmean(h[seed] for h in held) for seed in sorted(shared)}
    cost = {
        part: {w: sum(e.cost[part][w] for e in group) for w in ("samples", "seconds")}
        for part in group[0].cost
    }
    seeds = tuple(s for e in group for s in e.search_seeds)
    mark = f"mean over {len(group)} searches"
    found = tuple(made for e in group for made in e.found)
    return Entry(
        f"{name} ({mark})", group[0].label, False, "", figures, cost, (mark,), seeds, found
    )


def _tested(split: str, metrics: tuple[str, ...], entries: Sequence[Entry]) -> Comparison:
    hand_made = [
        e
        for e in entries
        if e.hand_made and e.label != "single_task" and e.mean("validation", LOSS) is not None
    ]
    best = min(hand_made, key=lambda e: e.mean("validation", LOSS) or 0.0) if hand_made else None
    alone = next((e for e in entries if e.hand_made and e.label == "single_task"), None)
    flat: list[tuple[str, Paired]] = []
    for entry in entries:
        for reference in (best, alone):
            if reference is None or reference.name == entry.name:
                continue
            for metric in metrics:
                more = metric != LOSS and HEADLINES[metric.rpartition(" ")[2]]
                mine, theirs = (e.figures[split].get(metric, {}) for e in (entry, reference))
                flat.append(
                    (entry.name, compare_paired(metric, reference.name, mine, theirs, better=more))
                )
    tests: dict[str, list[Paired]] = {entry.name: [] for entry in entries}
    for (name, _), test in zip(flat, corrected([p for _, p in flat]), strict=True):
        tests[name].append(test)
    against = {
        e.name: [t for t in tests[e.name] if alone and t.reference == alone.name]
        for e in entries
        if e is not alone
    }
    transfer = {name: _transfer(some) for name, some in against.items()} if alone else {}
    names = [None if e is None else e.name for e in (best, alone)]
    constant: dict[str, float] = next(
        (held for e in entries if (held := e.constant.get(split))), {}
    )
    found = Comparison(
        split,
        metrics,
        tuple(entries),
        names[0],
        names[1],
        tests,
        transfer,
        _notes(split, entries, hand_made),
        constant,
    )
    if not found.trainings:
        return found
    note = (
        "not all models were trained alike, and what differs may come of that: "
        f"{', '.join(found.trainings)}"
    )
    return replace(found, notes=(*found.notes, note))


def _transfer(tests: Sequence[Paired]) -> dict[str, str]:
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
    few = [e.name for e in entries if len(e.seeds(split)) < LEAST_SEEDS]
    if few:
        why = (
            f"with which Wilcoxon's test cannot reach 5% (with {LEAST_SEEDS - 1} its least p is "
            f"{least_p(LEAST_SEEDS - 1):.4f})"
        )
        notes.append(
            f"fewer than {LEAST_SEEDS} seeds, {why}; take --seeds 0..{LEAST_SEEDS - 1}: "
            f"{', '.join(few)}"
        )
    return tuple(notes)
