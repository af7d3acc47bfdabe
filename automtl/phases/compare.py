"""The compare phase: trained models side by side, tested against the best hand-made one and against
single-task models.

It reads what runs hold and nothing else: test figures where every model has been evaluated, else
validation figures, which chose the epoch. The best hand-made model is chosen by validation loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from automtl import files
from automtl.bounds import fitting
from automtl.config import RetrainSection
from automtl.data.encoding import checksum
from automtl.errors import ArtifactError
from automtl.phases.paired import LEAST_SEEDS, Paired, compare_paired, corrected, least_p
from automtl.report.agreement import Place, agreement
from automtl.report.tables import HEADLINES
from automtl.runs.constant import LOSS, known, loss_of, metrics_of, remarks
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, RunDir, find_phase
from automtl.spaces.architecture import Architecture
from automtl.spaces.templates import OF_ANY
from automtl.strict import build, load_yaml

_OF_RUNTIME = ("precision", "fast_dev_run")  # what decides a training, too
_SHAPE = "architecture."
_ABSENT, _OTHERWISE = "-", " | "


@dataclass(frozen=True)
class Entry:
    """One model of the comparison: retrains that differ in their seed only.

    Args:
        name: the run and the label.
        label: the retrain folders' name without the seed.
        hand_made: it was written, not searched.
        method: strategy and space of the search; empty for hand-made models.
        figures: per split and metric, by seed.
        cost: "search", "tune" and "retrain", each with samples and seconds.
        marks: what a reader must know, such as "best of 3 searches".
        search_seeds: of the searches behind it.
        found: what they derived.
        remarks: per split, what must be said of it beside the constant.
        constant: per split and metric, the constant's figure on the same rows.
        trained_by: each setting of the training in words; of seeds that were trained otherwise, all
            of them.
        advised: what of the template's own shape, which is in `trained_by` too, somebody
            recommended: no name tells that.
    """

    name: str
    label: str
    hand_made: bool
    method: str
    figures: dict[str, dict[str, dict[int, float]]]
    cost: dict[str, dict[str, float]]
    marks: tuple[str, ...] = ()
    search_seeds: tuple[int, ...] = ()
    found: tuple[Architecture, ...] = field(default=(), repr=False)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    constant: dict[str, dict[str, float]] = field(default_factory=dict)
    trained_by: dict[str, str] = field(default_factory=dict)
    advised: tuple[str, ...] = ()

    def mean(self, split: str, metric: str) -> float | None:
        """Mean over seeds."""
        values = self.figures.get(split, {}).get(metric, {})
        return fmean(values.values()) if values else None

    def seeds(self, split: str) -> list[int]:
        """The seeds that have figures."""
        return sorted({seed for values in self.figures[split].values() for seed in values})

    def sd(self, split: str, metric: str) -> float | None:
        """Standard deviation over seeds; None for one."""
        values = self.figures.get(split, {}).get(metric, {})
        return stdev(values.values()) if len(values) > 1 else None


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
        [_read(run, label, group, called[run]) for (run, label), group in groups.items()]
    )
    split = "test" if all(_complete(e) for e in entries) else "validation"
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


def _complete(entry: Entry) -> bool:
    """Whether every seed has its test figures."""
    return entry.seeds("test") == entry.seeds("validation")


def _read(run: Path, label: str, folders: Sequence[PhaseDir], called: str) -> Entry:
    """What a run's files say of one model.

    Raises:
        ArtifactError: a file has not the form in which it was written.
    """
    with fitting(run):
        return _entry(run, label, folders, called)


def _entry(run: Path, label: str, folders: Sequence[PhaseDir], called: str) -> Entry:
    figures: dict[str, dict[str, dict[int, float]]] = {"validation": {}, "test": {}}
    held = [files.read_json(folder.results) for folder in folders]
    parts = {
        split: [results[split] for results in held if isinstance(results.get(split), dict)]
        for split in figures
    }
    for folder, results in zip(folders, held, strict=True):
        seed = int(Manifest.read(folder.manifest).values["seed"])
        for split, by_metric in figures.items():
            for metric, value in _figures(results.get(split)).items():
                by_metric.setdefault(metric, {})[seed] = value
    search = RunDir(run).search
    searched = search.manifest.exists()
    costs = {
        "search": [search.cost],
        "tune": [run / "tune" / "cost.json"],
        "retrain": [f.cost for f in folders],
    }
    return Entry(
        name=f"{called}: {label}",
        label=label,
        hand_made=not searched,
        method=_method(search, label) if searched else "",
        figures=figures,
        cost={part: _spent(paths) for part, paths in costs.items()},
        search_seeds=(int(Manifest.read(search.manifest).values["seed"]),) if searched else (),
        found=(Architecture.load(search.architecture),)
        if searched and search.architecture.exists()
        else (),
        remarks={split: remarks(some) for split, some in parts.items()},
        constant={
            split: _constant(some[0]) for split, some in parts.items() if some and known(some)
        },
        trained_by=_trained_by(folders),
        advised=_advised(folders),
    )


def _trained_by(folders: Sequence[PhaseDir]) -> dict[str, str]:
    """Each setting of some trainings in words, what an older version did not know at its
    default.
    """
    found: dict[str, dict[str, None]] = {}
    for folder in folders if all(folder.config.exists() for folder in folders) else ():
        held = load_yaml(folder.config)
        section = build(RetrainSection, held.get("retrain", {}), folder.config)
        settings = {f"retrain.{name}": value for name, value in section.acting().items()}
        settings |= {f"runtime.{name}": held.get("runtime", {}).get(name) for name in _OF_RUNTIME}
        if folder.architecture.exists():
            made = Architecture.load(folder.architecture)
            settings |= {f"{_SHAPE}{name}": getattr(made, name) for name in OF_ANY}
        for name, value in settings.items():
            found.setdefault(name, {})[_word(value)] = None
    return {name: _OTHERWISE.join(values) for name, values in found.items()}


def _advised(folders: Sequence[PhaseDir]) -> tuple[str, ...]:
    """What was recommended of some trained models' shapes."""
    origins = [
        load_yaml(folder.config).get("origins", {}) for folder in folders if folder.config.exists()
    ]
    return tuple(dict.fromkeys(name for own in origins for name in own if name.startswith(_SHAPE)))


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return (
            ", ".join(f"{key} {_word(item)}" for key, item in value.items() if item is not None)
            or "none"
        )
    return "none" if value is None else str(value)


def _constant(part: Mapping[str, Any]) -> dict[str, float]:
    """The constant's figures, by the metrics that models are compared in."""
    held = {
        f"{task} {name}": value
        for task, metrics in metrics_of(part).items()
        for name, value in metrics.items()
        if name in HEADLINES
    }
    return held if (loss := loss_of(part)) is None else {LOSS: loss, **held}


def _figures(split: Any) -> dict[str, float]:
    """MTL-Loss and each task's headline metric, where defined."""
    if not isinstance(split, dict):
        return {}
    found = {} if split["loss"] is None else {LOSS: split["loss"]}
    for task, metrics in split["tasks"].items():
        name = next((n for n in HEADLINES if n in metrics), None)
        if name is not None and metrics[name] is not None:
            found[f"{task} {name}"] = metrics[name]
    return found


def _method(search: PhaseDir, label: str) -> str:
    held = load_yaml(search.config)
    own = {
        **held.get("search", {}),
        "sharing_settings": held.get("sharing", {}),
        "space": held.get("space", {}),
    }
    return (
        f"{own.get('strategy', 'darts')} in {own['space'].get('name', '?')}, {label}, "
        f"{checksum(own)[:8]}"
    )


def _spent(paths: Sequence[Path]) -> dict[str, float]:
    held = [files.read_json(path) for path in paths if path.exists()]
    return {what: sum(float(h.get(what) or 0) for h in held) for what in ("samples", "seconds")}


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
        waiting = [e.name for e in entries if not _complete(e)]
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
