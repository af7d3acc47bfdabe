"""SHA-256 of files, each computed once: an unchanged 10 GB file is not read again at every call.

A file counts as unchanged while its path, size, time of change (ns) and inode are those noted;
times within two seconds of the hashing are not noted, since a file may change twice within one tick
of the file system's clock.
"""

import hashlib
import time
from pathlib import Path
from typing import Any

from automtl.errors import ArtifactError, EnvironmentFault
from automtl.files import read_json, write_json

NAME = "fingerprints.json"
RACY_NS = 2 * 10**9
MOST = 10_000  # files noted; older notes go


def fingerprint(path: Path) -> dict[str, int | str]:
    """Size and SHA-256 of a file, read whole.

    Raises:
        EnvironmentFault: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"bytes": path.stat().st_size, "sha256": digest}
    except OSError as error:
        raise EnvironmentFault(path, "must be readable", error.strerror or error) from error


def fingerprints_below(folder: Path) -> dict[str, dict[str, int | str]]:
    """The fingerprint of every file below a folder, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): fingerprint(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _noted(path: Path) -> dict[str, list[Any]]:
    """What was noted; absent or damaged notes count as none, since they save time only."""
    try:
        notes = read_json(path)
    except ArtifactError:
        return {}
    entries = notes.items() if isinstance(notes, dict) else ()
    return {name: note for name, note in entries if isinstance(note, list) and len(note) == 4}


class Fingerprints:
    """Fingerprints noted in a folder.

    Args:
        folder: where the notes are kept, as `fingerprints.json`; damaged notes count as none.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._new = folder / NAME, False
        self._notes = _noted(self._path)

    def of(self, path: Path) -> dict[str, int | str]:
        """Size and SHA-256 of a file, from the notes where it is unchanged.

        Raises:
            EnvironmentFault: it cannot be read.
        """
        name = str(path.absolute())
        before = _stamp(path)
        noted = self._notes.get(name)
        if noted and noted[:3] == before:
            return {"bytes": before[0], "sha256": noted[3]}
        current = fingerprint(path)
        self._notes.pop(name, None)
        if _stamp(path) == before and before[2] and time.time_ns() - before[1] > RACY_NS:
            self._notes[name], self._new = [*before, current["sha256"]], True
        return current

    def save(self) -> None:
        """Write the notes, if there are new ones."""
        if self._new:
            write_json(self._path, dict(list(self._notes.items())[-MOST:]))
            self._new = False


def _stamp(path: Path) -> list[Any]:
    """What an unchanged file keeps; a last part of 0 or "" means that there is no telling."""
    try:
        status = path.stat()
    except OSError as error:
        raise EnvironmentFault(path, "must be readable", error.strerror or error) from error
    return [status.st_size, status.st_mtime_ns, getattr(status, "version", status.st_ino)]
