"""Resuming a search: its own settings, and its own data set's recommendations."""

from pathlib import Path
from typing import Any

from automtl.config import RunConfig
from automtl.config_layers import Recommendation
from automtl.errors import ConfigError
from automtl.phases.run.resume import begun_settings, need_plugins, own_settings, unsaid_settings
from automtl.phases.run.run_data import kept_advice
from automtl.phases.search.budget import with_filled
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir, find_phase

_SECTIONS = ("seed", "space", "search", "sharing", "retrain")  # a race trains by the last


def begun_run(out: Path) -> Path:
    """The folder of a run whose search was begun, be it that nothing of it was written yet."""
    return out if RunDir(out).search.path.is_dir() else find_phase(out, "search")[0].path.parent


def advice_of(out: Path | None) -> list[Recommendation] | None:
    """The recommendations of the data set of the run to resume, as it began; None where it had not
    begun.

    A run is refused without its plugins before its space is looked up, which may need them.

    Raises:
        ConfigError: no run is named.
        ArtifactError: a plugin is not loaded, or changed since.
    """
    if out is None:
        raise ConfigError("--resume", "needs --out", "none", "name the run's folder there")
    folder = RunDir(begun_run(out)).search
    need_plugins(folder)
    return kept_advice(folder)


def own_base(out: Path | None) -> dict[str, Any]:
    """The settings of the run to resume, for what the command does not say; {} where it had not
    begun.
    """
    folder = RunDir(begun_run(out)).search if out is not None else None
    if folder is None or not folder.manifest.exists():
        return {}
    return begun_settings(folder).model_dump(mode="json", include=set(_SECTIONS))


def resumed(out: Path, config: RunConfig, *, budget: str | None = None) -> RunConfig:
    """The settings that an interrupted run goes on with: its own, and the machine's of today.

    Args:
        out: the run's folder.
        config: what the command line says now, over `own_base`.
        budget: as the command line says it now; None says nothing.

    Raises:
        ConfigError: it asks for other data, another search or another budget than the run's.
    """
    folder = RunDir(begun_run(out)).search
    if not folder.manifest.exists():  # killed before it was written
        return config
    recorded = Manifest.read(folder.manifest).values.get("budget") or {}
    if budget is not None and budget.strip() != recorded.get("given"):
        rule = f"must be as in {folder.manifest}"
        was = recorded.get("given", "none")
        raise ConfigError("--resume: budget", rule, f"{budget} (was {was})", "leave it out")
    config = with_filled(config, unsaid_settings(folder) | recorded.get("filled", {}))
    return own_settings(folder, config, sections=_SECTIONS)
