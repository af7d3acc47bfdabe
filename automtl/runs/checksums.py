"""SHA-256 sums of a phase's files in its manifest, so that damage to one is noticed before anything
is made of it.

While a phase runs, only what no longer changes is noted; when it has ended, every file beside the
checkpoints (which carry their own).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from automtl import files
from automtl.bounds import need_file, read_lines
from automtl.errors import ArtifactError, EnvironmentFault

Sums = dict[str, list[str]]  # a file's name -> the sums it may have; two while it is being replaced
FIXED = ("config.yaml", "latencies.json")  # written once, when a phase begins
_OTHERS, _KINDS = ("manifest.json", "bad_batch.json"), (".yaml", ".json", ".jsonl", ".parquet")
_FIX = "restore it, or make it anew"


def of_bytes(data: bytes) -> str:
    """The sum of some bytes."""
    return hashlib.sha256(data).hexdigest()


def of_values(values: Mapping[str, Any]) -> str:
    """The sum of a mapping of JSON values, but for the sum that it holds itself."""
    body = {key: value for key, value in values.items() if key != "sha256"}
    return of_bytes(json.dumps(body, sort_keys=True).encode())


def of_lines(path: Path, count: int) -> str:
    """The sum of the first `count` lines of an append-only file."""
    return of_bytes(b"\n".join(read_lines(path)[:count]))


def keep_lines(path: Path, count: int, known: str) -> None:
    """Cut an append-only file to the lines that a checkpoint knows of.

    Args:
        path: the file.
        count: how many lines that are.
        known: their sum.

    Raises:
        ArtifactError: it has fewer, or others.
    """
    there = len(read_lines(path))
    if there >= count and of_lines(path, count) != known:
        rule = "must hold the lines that the checkpoint knows of, as they were written"
        raise ArtifactError(path, rule, "another content", "restore it, or start anew")
    files.cut_lines(path, count)


def of_folder(folder: Path, names: tuple[str, ...] | None = None) -> Sums:
    """The sums of the files that lie in a folder; of those of some names only, or of all but what
    changes later. A process that writes nothing, while another does, has none to tell.
    """
    if files.following():
        return {}
    there = [
        path
        for path in sorted(folder.glob("*"))
        if path.suffix in _KINDS and path.is_file() and path.name not in _OTHERS
    ]
    return {
        path.name: [of_bytes(path.read_bytes())]
        for path in there
        if names is None or path.name in names
    }


def verify(folder: Path, known: Sums) -> None:
    """Compare the files of a folder with their sums, and refuse links that lead out of it and what
    is no file.

    Raises:
        ArtifactError: a file is absent, altered, or elsewhere; the message names it.
    """
    refuse_strange(folder)
    for name, legal in known.items():
        path = folder / name
        if Path(name).name != name:
            raise ArtifactError(
                folder / "manifest.json",
                "must name files of its own folder",
                repr(name)[:200],
                _FIX,
            )
        try:
            checksum = of_bytes(path.read_bytes())
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ArtifactError(path, "must be a file", error.strerror, _FIX) from None
        except OSError as error:
            raise EnvironmentFault(
                path, "must be readable", error.strerror or error, "check its permissions"
            ) from error
        if checksum not in legal:
            raise ArtifactError(path, "must be as it was written", "another content", _FIX)


def refuse_strange(folder: Path) -> None:
    """Refuse a folder in which a link leads out of it: whoever wrote there would write elsewhere;
    or a pipe, on which a reader would wait.

    Raises:
        ArtifactError: there is one; the message names it.
    """
    inside = [*folder.glob("*"), *folder.glob("checkpoint/*")]
    for path in inside:
        need_file(path)
    refuse_links(folder, inside)


def refuse_links(folder: Path, inside: Iterable[Path]) -> None:
    """Refuse paths of a folder that are links out of it.

    Raises:
        ArtifactError: there is one; the message names it.
    """
    root = folder.resolve()
    for path in inside:
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ArtifactError(
                path,
                "must not lead out of the run's folder",
                "a link",
                "put what it leads to there",
            )
