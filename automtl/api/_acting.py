"""Turns the results of phases into the API's own, and finds finished ones on disk."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from automtl.errors import ArtifactError
from automtl.phases.retrain import RetrainResult
from automtl.runs.run_dir import find_phase


def finished_retrains(path: Path) -> list[RetrainResult]:
    """The finished retrains of a run folder, or the one in a retrain folder.

    Raises:
        ArtifactError: there is none.
    """
    ended = [folder for folder in find_phase(path, "retrain") if folder.state() == "done"]
    if not ended:
        raise ArtifactError(path, "must hold a finished retrain", "none", "retrain first")
    return [RetrainResult.read(folder) for folder in ended]


def acting(kind: type[Any], result: Any) -> Any:
    """A phase's result as one that acts."""
    return kind(**{item.name: getattr(result, item.name) for item in fields(result)})
