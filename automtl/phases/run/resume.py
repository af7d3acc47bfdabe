"""Resuming a phase: what must be as it was when the phase began, and what may differ."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from automtl import files, plugins
from automtl.config import RunConfig, RuntimeSection
from automtl.errors import ArtifactError, ConfigError
from automtl.phases.run.run_data import same_source
from automtl.phases.run.session import Session
from automtl.runs import checkpoint, checksums
from automtl.runs.checkpoints import Checkpoints
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from automtl.strict import build, load_yaml

# Runtime settings that change no result, or are for the one process only.
_OF_TODAY = (
    *("device", "threads", "allocator", "loggers", "time_limit_s"),
    *(
        "checkpoint_every_s",
        "checkpoint_every_steps",
        "collective_timeout_s",
        "on_nan",
        "nan_limit",
        "deterministic",
        "max_parameters",
    ),
)
# what a race did where its config.yaml does not say, being written before there was the setting
_UNSAID = {
    "race_halving": True,
    "race_patience": None,
    "race_patterns": 0,
    "scale_rivals": False,
}


def begun_settings(folder: PhaseDir) -> RunConfig:
    """The settings that a phase was begun with.

    Raises:
        ArtifactError: it was begun with a plugin that is not loaded, or that changed since; or a
            file of it is damaged.
    """
    need_plugins(folder)
    if folder.manifest.exists():
        Manifest.read(folder.manifest).verify()
    values, unsaid = load_yaml(folder.config), unsaid_settings(folder)
    if unsaid:
        values = {**values, "search": {**values["search"], **unsaid}}
    return build(RunConfig, values, folder.config)


def unsaid_settings(folder: PhaseDir) -> dict[str, Any]:
    """Settings of the section `search` that a phase went by before they had a name; {} without a
    race, which alone reads them.
    """
    values = load_yaml(folder.config)
    search = values.get("search") if isinstance(values, dict) else None
    if not isinstance(search, dict) or search.get("selection", "race") != "race":
        return {}
    return {name: value for name, value in _UNSAID.items() if name not in search}


def need_plugins(folder: PhaseDir) -> None:
    """Refuse to go on with a phase without the plugins it was begun with; nothing where it has not
    been begun.

    Raises:
        ArtifactError: as above.
    """
    if folder.manifest.exists():
        plugins.require(folder.manifest, Manifest.read(folder.manifest).values.get("plugins"))


def own_settings(folder: PhaseDir, config: RunConfig, *, sections: Sequence[str]) -> RunConfig:
    """The settings that an interrupted phase goes on with: its own, and the machine's of today.

    Args:
        folder: of the phase.
        config: what is asked for now.
        sections: those that must be asked for as they were, beside the data's source; the others
            are not looked at.

    Raises:
        ConfigError: something else is asked for.
    """
    original = begun_settings(folder)
    asked: dict[str, tuple[Any, Any]] = {}
    if not same_source(original.data.source, config.data.source):
        asked["data.source"] = (original.data.source, config.data.source)
    asked |= {name: (getattr(original, name), getattr(config, name)) for name in sections}
    given = config.runtime.model_fields_set - set(_OF_TODAY)
    asked |= {
        f"runtime.{name}": (getattr(original.runtime, name), getattr(config.runtime, name))
        for name in sorted(given)
    }
    for name, (before, now) in asked.items():
        if before != now:
            raise ConfigError(
                f"--resume: {name}",
                f"must be as in {folder.config}",
                _changed(before, now),
                "name that data set, or start anew"
                if name == "data.source"
                else "leave it out, or start anew",
            )
    today = {
        name: getattr(config.runtime, name)
        for name in _OF_TODAY
        if name in config.runtime.model_fields_set
    }
    runtime = RuntimeSection(**{**dict(original.runtime), "time_limit_s": None, **today})
    return original.model_copy(update={"runtime": runtime})


def _changed(before: Any, now: Any) -> str:
    """The settings that differ now, one by one."""
    if isinstance(before, BaseModel) and isinstance(now, BaseModel):
        old, new = before.model_dump(mode="json"), now.model_dump(mode="json")
        changes = [
            f"{k} {new.get(k)} (was {old.get(k)})" for k in old | new if new.get(k) != old.get(k)
        ]
        return ", ".join(changes)[:300]
    return f"{now} (was {before})"[:300]


def reopen(
    folder: PhaseDir, session: Session, restore: Callable[[dict[str, Any]], None]
) -> Manifest:
    """The manifest of a phase that another process began, its state restored; lines written after
    that are cut.

    A phase that has ended is left as it is. Of several ranks the first one opens it, then the
    others read what it left.

    Args:
        folder: of the phase.
        session: what it goes on with.
        restore: takes in the newest whole checkpoint, where there is one.

    Raises:
        ArtifactError: the data changed since, or a file of the phase is damaged, or not of this
            phase.
    """
    if not session.ranks.first:
        session.ranks.told(None)
    manifest = _reopen(folder, session, restore)
    if session.ranks.first:
        session.ranks.told(None)
    return manifest


def _reopen(
    folder: PhaseDir, session: Session, restore: Callable[[dict[str, Any]], None]
) -> Manifest:
    manifest = Manifest.read(folder.manifest)
    manifest.verify()
    need_same_data(manifest, session)
    if manifest.values["state"] == "done":
        return manifest
    for place in (folder.path, folder.checkpoint("last").parent):
        files.clear_temporaries(place)
    _tell_other_machine(manifest, session)
    newest = Checkpoints(folder).load(session.reporter.say)
    if newest is None:
        files.cut_lines(folder.metrics, 0)
    else:
        path, state = newest
        with checkpoint.applying(path):
            restore(state)
        checksums.keep_lines(folder.metrics, state["metric_lines"], state["metric_sum"])
    manifest.go_on(
        checksums.FIXED if folder.path.name == "search" else (*checksums.FIXED, "architecture.json")
    )
    return manifest


def need_same_data(manifest: Manifest, session: Session) -> None:
    """Refuse a session of other data than a phase's.

    Raises:
        ArtifactError: it is of others.
    """
    data, schema = manifest.values["data"], session.schema
    if (data.get("hash"), data.get("split_hash")) != (schema.data_hash, schema.split_hash):
        raise ArtifactError(
            manifest.path,
            "must be of the same prepared data",
            "data that changed since",
            "start anew",
        )


def _tell_other_machine(manifest: Manifest, session: Session) -> None:
    """Bits are promised on the same machine only."""
    before = manifest.values["machine"]
    other = [
        f"{name} {before.get(name, 1 if name == 'ranks' else None)} then, {value} now"
        for name, value in {"ranks": 1, **session.machine}.items()
        if before.get(name, 1 if name == "ranks" else None) != value
    ]
    if other:
        session.reporter.say(
            f"resumed with {', '.join(other)}: the last bits of the result may differ from an "
            "uninterrupted run's"
        )
