"""Weights of a race between two rungs, in files."""

from pathlib import Path

from automtl import files
from automtl.phases.run.alone import Model
from automtl.runs import checkpoint
from automtl.runs.run_dir import PhaseDir


class Parked:
    """Weights in a search's checkpoint folder.

    Args:
        folder: of the search.
    """

    def __init__(self, folder: PhaseDir) -> None:
        self._folder = folder

    def _path(self, entrant: str, rung: int) -> Path:
        return self._folder.checkpoint(f"race-{entrant}-{rung}")

    def save(self, entrant: str, rung: int, model: Model) -> None:
        """Write a model as a rung leaves it."""
        checkpoint.save(self._path(entrant, rung), model.state_dict())

    def load(self, entrant: str, rung: int, model: Model) -> None:
        """Bring a model to where a rung left it.

        Raises:
            ArtifactError: the file is damaged, or of another model.
        """
        path = self._path(entrant, rung)
        with checkpoint.applying(path):
            model.load_state_dict(checkpoint.load(path))

    def clear(self) -> None:
        """Remove all of them: the race is over."""
        for path in sorted(self._folder.checkpoint("last").parent.glob("race-*.safetensors")):
            files.remove_file(path)
