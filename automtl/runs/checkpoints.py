"""The two checkpoints that a phase can be resumed from: the newest, and the one before it in case
the newest is damaged.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from automtl import files
from automtl.errors import ArtifactError
from automtl.runs import checkpoint
from automtl.runs.run_dir import PhaseDir

# "next" is there only where a process was killed between writing and renaming
_NEWEST_FIRST = ("next", "last", "previous")


class Checkpoints:
    """Two whole checkpoints at any time, once two were made: an older one goes only after the newer
    is durable.

    Args:
        folder: the phase's folder.
    """

    def __init__(self, folder: PhaseDir) -> None:
        self._next, self._last, self._previous = (folder.checkpoint(name) for name in _NEWEST_FIRST)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint; the newest so far becomes the one before.

        Raises:
            EnvironmentFault: it cannot be written; those there are stay.
        """
        checkpoint.save(self._next, state)
        self._rename()

    def _rename(self) -> None:
        """The one called next becomes the last, and the last the previous."""
        if self._last.exists():
            files.replace(self._last, self._previous)
        files.replace(self._next, self._last)

    def load(self, say: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
        """The newest whole checkpoint and its file; None where none was ever made.

        Args:
            say: told of a damaged one that is passed over.

        Raises:
            ArtifactError: all there are are damaged, or one is no file.
        """
        there = [path for path in (self._next, self._last, self._previous) if path.exists()]
        faults: list[ArtifactError] = []
        if folders := [path for path in there if path.is_dir()]:  # no checkpoint could get its name
            raise ArtifactError(folders[0], "must be a file", "a folder", "remove it")
        for path in there:
            try:
                state = checkpoint.load(path)
            except ArtifactError as error:
                faults.append(error)
                continue
            # finish what was cut short: a search that has nothing left to do writes no other "last"
            if path == self._next:
                self._rename()
                path = self._last
            for fault in faults:
                say(
                    f"{fault.where}: {fault.rule}, got {fault.got}; going on from {path.name} "
                    "before it"
                )
            return path, state
        if faults:
            raise faults[0]
        return None

    def clear(self, *, but_last: bool = False) -> None:
        """Remove all, or all but the newest: the phase has ended and nothing goes on from it."""
        for path in (self._next, self._previous, *(() if but_last else (self._last,))):
            if path.exists():
                files.remove_file(path)
