"""The plan of a retrain: architecture, settings and folder, settled before any data is read."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automtl.config import RunConfig, resolve
from automtl.config_layers import Recommendation, of_architecture, of_dataset, parted
from automtl.data.spec.dataset import DatasetConfig, load_dataset
from automtl.data.store.snapshot import Snapshot
from automtl.errors import ConfigError, counted
from automtl.phases.retrain._checks import check_retrain
from automtl.phases.run.run_data import same_source, snapshot_of
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, RunDir, one_phase
from automtl.spaces.architecture import Architecture
from automtl.spaces.placement import plugged
from automtl.spaces.templates import changed
from automtl.strict import build, load_yaml


@dataclass(frozen=True)
class RetrainPlan:
    """A retrain, settled.

    Args:
        architecture: with its sharing module plugged in.
        config: resolved settings.
        run: where it goes.
        label: the name of its folders inside the run, without the seed.
        own: the data set as a searched run, or one to go on with, keeps it, where no other is
            named.
    """

    architecture: Architecture
    config: RunConfig
    run: RunDir
    label: str
    own: Snapshot | None = None

    def seeded(self, seeds: Iterable[int]) -> list[RunConfig]:
        """The settings with each of some seeds.

        Raises:
            ConfigError: one is no seed, or comes twice.
        """
        seeds = list(seeds)
        if again := [seed for seed, count in Counter(seeds).items() if count > 1]:
            raise ConfigError("seeds", "must differ", f"{again[0]} twice")
        return [build(RunConfig, {**dict(self.config), "seed": seed}, "seeds") for seed in seeds]


def plan_retrain(
    source: str | Architecture,
    *,
    data: str | None,
    sharing: str | None,
    config_file: Path | None,
    sets: Iterable[str],
    flags: Mapping[str, Any],
    out: Path | None,
    resume: bool = False,
) -> RetrainPlan:
    """Settle a retrain.

    Args:
        source: a searched run's folder, an architecture file, a shipped architecture's name, or an
            architecture.
        data: the data set; a searched run knows its own.
        sharing: another sharing kind to plug in.
        config_file: YAML file of settings.
        sets: ``section.key=value`` items.
        flags: nested values of the command line's own options.
        out: the run's folder for a hand-made model.
        resume: go on with the run at `out`; a searched run is its own.

    Raises:
        ConfigError, ArtifactError: something of it cannot be meant, or is absent.
    """
    searched, architecture, source = _opened(source)
    base, advice = settings_of(searched) if searched else ({}, [])
    dataset = _named(data or base.get("data", {}).get("source"))
    snapshot = None
    if searched and data is None:
        snapshot = snapshot_of(searched)
    elif resume and not searched:
        snapshot = _resumed(out, dataset)
    described = snapshot.config if snapshot else load_dataset(dataset)
    if not searched:
        advice = _advice(architecture, source, described, dataset, plugged_in=sharing)
    config = resolve(
        source=dataset,
        space=False,
        config_file=config_file,
        sets=sets,
        flags=flags,
        base=base,
        recommended=advice,
    )
    ready = _shaped(architecture, config, sharing)
    check_retrain(ready, config, described)
    label = _label(ready.sharing.kind if searched or sharing else Path(source).stem, config)
    if searched and out is None:
        return RetrainPlan(ready, config, RunDir(searched.path.parent), label, snapshot)
    if resume:
        return RetrainPlan(ready, config, RunDir.begun(out), label, snapshot)
    return RetrainPlan(ready, config, RunDir.new(out, f"{described.name}-{label}"), label, snapshot)


def _shaped(architecture: Architecture, config: RunConfig, sharing: str | None) -> Architecture:
    """The architecture with the settings' changes, and a sharing kind plugged in where one is
    named.
    """
    own = sharing in (None, architecture.sharing.kind)
    architecture = changed(
        architecture, config.architecture, sharing=config.sharing if own else None
    )
    return plug(
        architecture,
        kind=sharing,
        settings=config.sharing,
        chosen_experts=config.retrain.chosen_experts,
    )


def _opened(source: str | Architecture) -> tuple[PhaseDir | None, Architecture, str]:
    """The search that a source names, if it names one; its architecture; what to call it."""
    if isinstance(source, Architecture):
        return None, source, source.name
    searched = one_phase(Path(source), "search") if Path(source).is_dir() else None
    file = searched.derived() if searched else source
    return searched, Architecture.load(file), source


def _named(data: str | None) -> str:
    """The data set's name, or the whole path of its YAML."""
    if data is None:
        raise ConfigError(
            "--data", "must name the data set to train on", fix="for example --data census_income"
        )
    return str(Path(data).resolve()) if Path(data).exists() else data


def _label(name: str, config: RunConfig) -> str:
    """The name of a retrain's folders: the model's, and the settings that make it another model."""
    own_shape = {
        key: value
        for key, value in config.architecture.items()
        if f"architecture.{key}" not in config.origins
    }
    words = [
        f"{_safe(key)}_{_safe(str(value))}" for key, value in (config.sharing | own_shape).items()
    ]
    return "-".join(
        [
            _safe(name),
            *words,
            *([] if config.retrain.balancing.plain else [config.retrain.balancing.method]),
        ]
    )


def _advice(
    architecture: Architecture,
    source: str,
    dataset: DatasetConfig,
    where: str,
    *,
    plugged_in: str | None,
) -> list[Recommendation]:
    """The recommendations of the data set, and above them those of the architecture's file unless
    another sharing kind is plugged in.

    The shape of an architecture that is bound to its data is made, so that only its training
    follows.
    """
    own = plugged_in in (None, architecture.sharing.kind)
    advice = [of_dataset(dataset, where), *([of_architecture(architecture, source)] if own else [])]
    return advice if architecture.is_template else [one.without_shape() for one in advice]


def _resumed(out: Path | None, dataset: str) -> Snapshot | None:
    """The data set as the run to go on with keeps it, where a retrain of it was begun."""
    for phase in RunDir.begun(out).retrains():
        if same_source(str(Manifest.read(phase.manifest).values["data"].get("source")), dataset):
            return snapshot_of(phase)
    return None


def settings_of(searched: PhaseDir) -> tuple[dict[str, Any], list[Recommendation]]:
    """The sections of a search's own config that its retrains go on with, and what of them was
    recommended as it began.

    Nobody is asked again; but what was recommended stays below what the user says now, and is told.
    """
    config = load_yaml(searched.config)
    sections = {section: config[section] for section in ("data", "retrain") if section in config}
    origins = {
        path: who for path, who in config.get("origins", {}).items() if path.startswith("retrain.")
    }

    def by(who: str) -> Recommendation:  # with the optimiser in force, which its rates are for
        advised = parted(
            sections, lambda path: path == "retrain.optimizer" or origins.get(path) == who
        )
        return Recommendation(who, str(searched.config), advised)

    advice = [by(who) for who in dict.fromkeys(origins.values())]
    return parted(sections, lambda path: path not in origins), advice


def _safe(text: str) -> str:
    """A word fit for a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", text)[:60].strip(".") or "model"


def plug(
    architecture: Architecture,
    *,
    kind: str | None,
    settings: Mapping[str, Any],
    chosen_experts: int | None,
) -> Architecture:
    """The architecture with another sharing module plugged in, or with another number of chosen
    experts.

    Args:
        architecture: as searched or written.
        kind: a sharing kind; None keeps its own.
        settings: of the sharing kind, over those the architecture has.
        chosen_experts: c; needs an architecture that carries a ranking.

    Raises:
        ConfigError: an unknown kind or setting, one that does not fit, c above N, no ranking to
            choose by, or widths that differ.
    """
    kind = kind or architecture.sharing.kind
    own = dict(architecture.sharing.settings) if kind == architecture.sharing.kind else {}
    if chosen_experts is not None:
        architecture = architecture.evolve(chosen=_choose(architecture, chosen_experts))
    return plugged(architecture, kind, {**own, **settings})


def _choose(architecture: Architecture, count: int) -> tuple[tuple[int, ...], ...]:
    if architecture.ranking is None:
        raise ConfigError(
            "retrain.chosen_experts",
            "needs an architecture whose experts a search ranked",
            architecture.name,
        )
    if count > len(architecture.experts):
        raise ConfigError(
            "retrain.chosen_experts",
            f"must be at most the architecture's {counted(len(architecture.experts), 'expert')}",
            count,
        )
    if count > (most := min(len(task) for task in architecture.ranking)):
        raise ConfigError(
            "retrain.chosen_experts",
            f"must be at most {most}, as many experts as its ranking names for each task",
            count,
        )
    return tuple(
        tuple(sorted(entry.expert for entry in task[:count])) for task in architecture.ranking
    )
