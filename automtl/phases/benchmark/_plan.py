"""The plan of a table, written to plan.json before the first training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from automtl import files
from automtl.benchmarks.gate import best_architectures
from automtl.benchmarks.order import LEAST
from automtl.benchmarks.tables import DRAWN
from automtl.errors import ArtifactError, ConfigError
from automtl.phases.benchmark._draw import Entry, draw_entries, hash_of, other_entries
from automtl.phases.benchmark.settings import TableSettings, settings_hash, training_settings
from automtl.phases.run.session import Session
from automtl.runs.manifest import code_version
from automtl.strict import Strict, build

FRESH_SEEDS = (2, 3, 4)
GROUP = 8  # architectures of the best group, and of the random one
Stage = Literal["pilot", "table", "fresh"]


class Under(Strict):
    """What every training of a table has in common; each row carries it."""

    commit: str
    data_hash: str
    split_hash: str
    settings_hash: str


class Plan(Strict):
    """A table's plan.

    Attributes:
        data: the data set's name.
        under: what all trainings have in common.
        training: the settings behind the settings hash.
        settings: of the plan.
        space: the space that was drawn from.
        rows: how many rows have which role.
        entries: the architectures.
    """

    format: Literal["automtl.benchmark"] = "automtl.benchmark"
    version: Literal[1] = 1
    data: str
    under: Under
    training: dict[str, Any]
    settings: TableSettings
    space: dict[str, Any]
    rows: dict[str, int]
    entries: tuple[Entry, ...]

    def about(self, groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """The metadata of the table's file."""
        summary = self.model_dump(
            mode="json", include={"data", "under", "training", "settings", "rows"}
        )
        return {
            **summary,
            "space": self.space.get("name"),
            "groups": {name: list(members) for name, members in groups.items()},
        }


@dataclass(frozen=True)
class Job:
    """One training: an architecture with one seed."""

    entry: Entry
    seed: int
    stage: Stage

    @property
    def key(self) -> str:
        """Its folder's name."""
        return f"{self.entry.id}-s{self.seed}"

    @property
    def tested(self) -> bool:
        """Whether its figures on test rows are due: sealed architectures, and models that are
        judged.
        """
        return self.entry.sealed or self.entry.kind != DRAWN or self.stage == "fresh"


def make_plan(
    session: Session, settings: TableSettings, rows: Mapping[str, int], say: Callable[[str], None]
) -> Plan:
    """Draw the architectures and cut the hand-made models of a table.

    Raises:
        ConfigError: too few architectures were drawn for the gate to judge.
    """
    space = session.config.space
    assert space is not None, "a table has a space"
    entries = draw_entries(space, session.schema, settings, say)
    if settings.sample is None:
        _need_pilot(entries)
        entries += other_entries(
            entries, session.schema, settings.hand_made, session.config.architecture
        )
    return Plan(entries=tuple(entries), **_frame(session, settings, rows))


def _need_pilot(entries: Sequence[Entry]) -> None:
    """Refuse a table whose gate and whose best group would fail after all trainings."""
    twice = sum(bool(entry.pilot) for entry in entries)
    if twice < 2:
        raise ConfigError(
            "benchmark",
            "must draw two architectures or more that are not sealed, for the pilot",
            f"{twice} of {len(entries)}",
            f"raise --architectures (to judge an order, {LEAST} must not be sealed), or take a "
            "larger space",
        )


def _frame(session: Session, settings: TableSettings, rows: Mapping[str, int]) -> dict[str, Any]:
    """All of a plan but its architectures."""
    config, schema = session.config, session.schema
    assert config.space is not None
    hashes = {
        "data_hash": schema.data_hash,
        "split_hash": schema.split_hash,
        "settings_hash": settings_hash(settings, config),
    }
    return {
        "data": schema.name,
        "under": Under(commit=code_version(), **hashes),
        "training": training_settings(settings, config),
        "settings": settings,
        "space": config.space.model_dump(mode="json", exclude={"recommended"}),
        "rows": dict(rows),
    }


def read_plan(path: Path) -> Plan:
    """The plan of a table that was begun.

    Raises:
        ArtifactError: it is absent, or no plan.
    """
    raw = files.read_json(path)
    form = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
    if form != "automtl.benchmark":
        raise ArtifactError(
            path,
            "must be the plan of a table",
            str(form)[:80],
            "name the folder of `automtl benchmark`",
        )
    return build(Plan, raw, path)


def check_same(
    path: Path, begun: Plan, session: Session, settings: TableSettings, rows: Mapping[str, int]
) -> None:
    """Refuse to go on with a table under anything else than it was begun with.

    Raises:
        ArtifactError: code, data, split or settings are others.
    """
    now = Plan(entries=(), **_frame(session, settings, rows)).model_dump(
        mode="json", exclude={"entries"}
    )
    before = begun.model_dump(mode="json", exclude={"entries"})
    for name in before:
        if before[name] != now[name]:
            rule, got = _difference(name, before[name], now[name])
            raise ArtifactError(
                path, rule, got, "go on with the same code, data and settings, or make a new table"
            )


def _difference(name: str, before: Any, now: Any) -> tuple[str, str]:
    if isinstance(before, dict) and isinstance(now, dict):
        key = next(k for k in {**before, **now} if before.get(k) != now.get(k))
        return _difference(key, before.get(key), now.get(key))
    return f"must go on with {name.replace('_', ' ')} {before}"[:300], str(now)[:200]


def pilot_jobs(plan: Plan) -> list[Job]:
    """The trainings that the gate needs."""
    return [Job(entry, seed, "pilot") for entry in plan.entries for seed in entry.pilot]


def table_jobs(plan: Plan) -> list[Job]:
    """The other trainings of the table's first part: first seeds first, evenly over the strata."""
    jobs = [
        Job(entry, seed, "table")
        for entry in plan.entries
        for seed in entry.seeds
        if seed not in entry.pilot
    ]
    return sorted(jobs, key=lambda job: job.seed)


def fresh_groups(plan: Plan, table: pd.DataFrame) -> dict[str, list[str]]:
    """The best group, by least predicted loss on B rows, and the random one, evenly over the strata
    by hash; no sealed one is in either.
    """
    open_ = [entry for entry in plan.entries if entry.kind == DRAWN and not entry.sealed]
    places: dict[str, list[str]] = {}
    for entry in sorted(open_, key=lambda e: hash_of("random group", e.id)):
        places.setdefault(entry.stratum, []).append(entry.id)
    ranked = sorted(
        (place, hash_of("random group", name), name)
        for names in places.values()
        for place, name in enumerate(names)
    )
    return {
        "best": best_architectures(table, GROUP),
        "random": [name for _, _, name in ranked[:GROUP]],
    }


def fresh_jobs(plan: Plan, groups: Mapping[str, Sequence[str]]) -> list[Job]:
    """The groups' trainings with seeds that chose nothing."""
    names = dict.fromkeys(name for members in groups.values() for name in members)
    by_id = {entry.id: entry for entry in plan.entries}
    return [Job(by_id[name], seed, "fresh") for seed in FRESH_SEEDS for name in names]
