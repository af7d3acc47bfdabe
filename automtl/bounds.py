"""Bounds of what strangers' files may do to their reader: how deep they nest, and which files they may name."""

from pathlib import Path
from typing import Any

from automtl.errors import ArtifactError

MAX_DEPTH = 64


def check_json(value: Any) -> None:
    """Refuse nests that others would read by recursion, and half letters, which nothing writes.

    Raises:
        ValueError: there is one.
    """
    waiting = [(value, 1)]
    while waiting:
        part, depth = waiting.pop()
        if isinstance(part, str):
            part.encode()  # a UnicodeEncodeError is a ValueError
        elif isinstance(part, dict | list):
            if depth > MAX_DEPTH:
                raise ValueError(f"a nest deeper than {MAX_DEPTH}")
            waiting += ((inner, depth + 1) for inner in ((*part, *part.values()) if isinstance(part, dict) else part))


def inside(folder: Path, name: object) -> Path:
    """The path of a file that a file of this folder names.

    Raises:
        ArtifactError: the name leads out of the folder.
    """
    path = folder / str(name)
    if not isinstance(name, str) or "\0" in name or not path.resolve().is_relative_to(folder.resolve()):
        raise ArtifactError(folder, "must name files of its own only", repr(name)[:200], "do not use it")
    return path


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of an append-only file; none where there is no file.

    Raises:
        ArtifactError: it cannot be read.
    """
    try:
        return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    except OSError as error:
        raise ArtifactError(path, "must be a readable file", error.strerror or error, "restore it") from error
