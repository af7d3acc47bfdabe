"""Turns a Python user's data, space and settings into a configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from automtl.api.dataset import Dataset
from automtl.config import RunConfig
from automtl.config_layers import merge
from automtl.data.access.paths import home
from automtl.data.prepare.frames import keep_frame
from automtl.data.spec.dataset import DatasetConfig, default_data_dir, load_dataset
from automtl.errors import ConfigError
from automtl.phases.run.duration import seconds
from automtl.phases.run.reporter import Reporter

Data = str | Path | Dataset | DatasetConfig | Mapping[str, Any]
Space = str | Path | Mapping[str, Any]


def path_of(path: str | Path | None) -> Path | None:
    """A path in full; None as it is."""
    return None if path is None else Path(home(path))


def say_origins(config: RunConfig, reporter: Reporter) -> None:
    """Tell whose settings are in force that the caller did not give."""
    if config.told:
        reporter.say(config.told)


def flags_of(
    settings: Mapping[str, Any],
    data: Any = None,
    data_dir: str | Path | None = None,
) -> dict[str, Any]:
    """Settings as a configuration has them, with the folder of data."""
    if data_dir is None and isinstance(data, Dataset):
        data_dir = data.data_dir
    folder = {} if data_dir is None else {"data": {"dir": str(Path(home(data_dir)).resolve())}}
    return merge(settings, folder)


def runtime_of(time_limit: str | float | None) -> dict[str, Any]:
    """A limit such as "10m", or in seconds, as the section `runtime` has it."""
    if time_limit is None:
        return {}
    return {"time_limit_s": seconds(str(time_limit), "time_limit")}


def source_of(dataset: Data, frame: pd.DataFrame | None, settings: Mapping[str, Any]) -> str:
    """The name or path that a run's configuration holds."""
    if isinstance(dataset, Dataset):
        if frame is not None:
            raise ConfigError("frame", "must not be given beside a Dataset", "both", "leave it out")
        return dataset.source
    if frame is None and isinstance(dataset, str | Path):
        path = home(dataset)
        return str(Path(path).resolve()) if Path(path).exists() else path
    if frame is None:
        raise ConfigError(
            "data",
            "must be a Dataset, a YAML file or a shipped name where no frame is given",
            type(dataset).__name__,
            "make one by automtl.Dataset.from_frame",
        )
    config = load_dataset(dataset) if isinstance(dataset, str | Path) else dataset
    folder = settings.get("data", {}).get("dir")
    return str(keep_frame(frame, config, data_dir=Path(folder) if folder else default_data_dir()))


def space_of(space: Space | None, flags: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """A space's name or path, and the flags with changes to one."""
    if isinstance(space, Mapping):
        return None, merge(flags, {"space": dict(space)})
    return (None if space is None else home(space)), flags
