"""What a comparison reads of each trained model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from automtl import files
from automtl.bounds import fitting
from automtl.config import RetrainSection
from automtl.data.store.encoding import checksum
from automtl.reports.tables import HEADLINES
from automtl.runs.constant import LOSS, flagged, known, loss_of, metrics_of, remarks
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, RunDir
from automtl.runs.stored import stored_megabytes
from automtl.spaces.architecture import Architecture
from automtl.spaces.templates import OF_ANY
from automtl.strict import build, load_yaml

_OF_RUNTIME = ("precision", "fast_dev_run")  # what decides a training, too
_SHAPE = "architecture."
_ABSENT, _OTHERWISE = "-", " | "
SEEDS, SEARCHES = "retrain seeds", "searches"
COMPUTED = ("flops_spent", "reference_seconds")  # what a cost.json may tell beside rows and seconds


@dataclass(frozen=True)
class Entry:
    """One model of the comparison: retrains that differ in their seed only.

    Args:
        name: the run and the label.
        label: the retrain folders' name without the seed.
        hand_made: it was written, not searched.
        method: strategy and space of the search; empty for hand-made models.
        figures: per split and metric, by unit.
        cost: "search", "tune" and "retrain", each with samples and seconds, and
            where all of it is known `flops_spent` and `reference_seconds`.
        marks: what a reader must know, such as "best of 3 searches".
        search_seeds: of the searches behind it.
        derived: what they derived.
        remarks: per split, what must be said of it beside the constant.
        constant: per split and metric, the constant's figure on the same rows.
        trained_by: each setting of the training in words; of seeds that were trained otherwise, all
            of them.
        advised: what of the template's own shape, which is in `trained_by` too, somebody
            recommended: no name tells that.
        unit: what the figures are independent over: retrain seeds of one architecture, or searches.
        home: the run's folder; empty for means of searches.
        command: the command line that trained it.
        megabytes: of the stored model, mean over seeds; None for those trained before sizes were
            kept.
        flagged: per split, in what it is not better than the constant (see `runs/constant.py`).
    """

    name: str
    label: str
    hand_made: bool
    method: str
    figures: dict[str, dict[str, dict[int, float]]]
    cost: dict[str, dict[str, float]]
    marks: tuple[str, ...] = ()
    search_seeds: tuple[int, ...] = ()
    derived: tuple[Architecture, ...] = field(default=(), repr=False)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    constant: dict[str, dict[str, float]] = field(default_factory=dict)
    trained_by: dict[str, str] = field(default_factory=dict)
    advised: tuple[str, ...] = ()
    unit: str = SEEDS
    home: str = ""
    command: str = ""
    megabytes: float | None = None
    flagged: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def mean(self, split: str, metric: str) -> float | None:
        """Mean over units."""
        values = self.figures.get(split, {}).get(metric, {})
        return fmean(values.values()) if values else None

    def seeds(self, split: str) -> list[int]:
        """The seeds that have figures: of retrains, or of searches."""
        return sorted({seed for values in self.figures[split].values() for seed in values})

    def sd(self, split: str, metric: str) -> float | None:
        """Standard deviation over units; None for one."""
        values = self.figures.get(split, {}).get(metric, {})
        return stdev(values.values()) if len(values) > 1 else None


def is_complete(entry: Entry) -> bool:
    """Whether every seed has its test figures."""
    return entry.seeds("test") == entry.seeds("validation")


def read_entry(run: Path, label: str, folders: Sequence[PhaseDir], called: str) -> Entry:
    """Read one model from a run's files.

    Raises:
        ArtifactError: a file has not the form in which it was written.
    """
    with fitting(run):
        return _entry(run, label, folders, called)


def _entry(run: Path, label: str, folders: Sequence[PhaseDir], called: str) -> Entry:
    figures: dict[str, dict[str, dict[int, float]]] = {"validation": {}, "test": {}}
    all_results = [files.read_json(folder.results) for folder in folders]
    parts = {
        split: [results[split] for results in all_results if isinstance(results.get(split), dict)]
        for split in figures
    }
    for folder, results in zip(folders, all_results, strict=True):
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
        derived=(Architecture.load(search.architecture),)
        if searched and search.architecture.exists()
        else (),
        remarks={split: remarks(some) for split, some in parts.items()},
        constant={
            split: _constant(some[0]) for split, some in parts.items() if some and known(some)
        },
        trained_by=_trained_by(folders),
        advised=_advised(folders),
        home=str(run),
        command=str(Manifest.read(folders[0].manifest).values.get("command", "")),
        megabytes=_megabytes(folders),
        flagged={split: flagged(some) for split, some in parts.items()},
    )


def _megabytes(folders: Sequence[PhaseDir]) -> float | None:
    costs = [files.read_json(folder.cost) for folder in folders if folder.cost.exists()]
    sizes = [size for cost in costs if (size := stored_megabytes(cost)) is not None]
    return fmean(sizes) if sizes else None


def _trained_by(folders: Sequence[PhaseDir]) -> dict[str, str]:
    """Each setting of some trainings in words, what an older version did not know at its
    default.
    """
    by_setting: dict[str, dict[str, None]] = {}
    for folder in folders if all(folder.config.exists() for folder in folders) else ():
        config = load_yaml(folder.config)
        section = build(RetrainSection, config.get("retrain", {}), folder.config)
        settings = {f"retrain.{name}": value for name, value in section.acting().items()}
        settings |= {f"runtime.{name}": config.get("runtime", {}).get(name) for name in _OF_RUNTIME}
        if folder.architecture.exists():
            architecture = Architecture.load(folder.architecture)
            settings |= {f"{_SHAPE}{name}": getattr(architecture, name) for name in OF_ANY}
        for name, value in settings.items():
            by_setting.setdefault(name, {})[_word(value)] = None
    return {name: _OTHERWISE.join(values) for name, values in by_setting.items()}


def _advised(folders: Sequence[PhaseDir]) -> tuple[str, ...]:
    """The recommended shapes of some trained models."""
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
    figures = {
        f"{task} {name}": value
        for task, metrics in metrics_of(part).items()
        for name, value in metrics.items()
        if name in HEADLINES
    }
    return figures if (loss := loss_of(part)) is None else {LOSS: loss, **figures}


def _figures(split: Any) -> dict[str, float]:
    """MTL-Loss and each task's headline metric, where defined."""
    if not isinstance(split, dict):
        return {}
    figures = {} if split["loss"] is None else {LOSS: split["loss"]}
    for task, metrics in split["tasks"].items():
        name = next((n for n in HEADLINES if n in metrics), None)
        if name is not None and metrics[name] is not None:
            figures[f"{task} {name}"] = metrics[name]
    return figures


def _method(search: PhaseDir, label: str) -> str:
    config = load_yaml(search.config)
    own = {
        **config.get("search", {}),
        "sharing_settings": config.get("sharing", {}),
        "space": config.get("space", {}),
    }
    return (
        f"{own.get('strategy', 'darts')} in {own['space'].get('name', '?')}, {label}, "
        f"{checksum(own)[:8]}"
    )


def _spent(paths: Sequence[Path]) -> dict[str, float]:
    costs = [files.read_json(path) for path in paths if path.exists()]
    spent = {what: sum(float(h.get(what) or 0) for h in costs) for what in ("samples", "seconds")}
    computed = {
        what: sum(float(h[what]) for h in costs)
        for what in COMPUTED
        if costs and all(h.get(what) is not None for h in costs)
    }
    return spent | computed
