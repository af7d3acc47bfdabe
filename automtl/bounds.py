"""Bounds of what strangers' files may do to their reader: how deep they nest, what they make, and
which files they may name.
"""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from automtl.errors import ArtifactError, AutoMTLError

MAX_DEPTH = 64
MAX_JSON_BYTES = 64 * 2**20
# of a network, where nobody says otherwise: 4 GB, and four times that while it is trained by Adam
MAX_PARAMETERS = 10**9
MAX_SLOTS = 1024  # places for experts in a sharing module


def parse_json(text: bytes) -> Any:
    """One JSON document, without nests that others would read by recursion, and without what
    nothing writes: half letters, NaN, infinity.

    Raises:
        ValueError, RecursionError: it is none.
    """
    value = json.loads(text)
    waiting = [(value, 1)]
    while waiting:
        part, depth = waiting.pop()
        if isinstance(part, str):
            part.encode()  # a UnicodeEncodeError is a ValueError
        elif isinstance(part, float) and not math.isfinite(part):
            raise ValueError(f"the number {part}")
        elif isinstance(part, dict | list):
            if depth > MAX_DEPTH:
                raise ValueError(f"a nest deeper than {MAX_DEPTH}")
            waiting += (
                (inner, depth + 1)
                for inner in ((*part, *part.values()) if isinstance(part, dict) else part)
            )
    return value


@contextlib.contextmanager
def fitting(
    path: Path,
    rule: str = "must hold what automtl writes there",
    fix: str = "restore it, or make it anew",
) -> Iterator[None]:
    """Around what is made of a file's values: those that do not fit are the file's fault, since
    strangers write files too.

    Args:
        path: the file.
        rule: what it must hold.
        fix: what can be done where it does not.

    Raises:
        ArtifactError: they do not fit.
    """
    try:
        yield
    except AutoMTLError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError(path, rule, f"{type(error).__name__}: {error}"[:200], fix) from error


def inside(folder: Path, name: object) -> Path:
    """The path of a file that a file of this folder names.

    Raises:
        ArtifactError: the name leads out of the folder.
    """
    path = folder / str(name)
    if (
        not isinstance(name, str)
        or "\0" in name
        or not path.resolve().is_relative_to(folder.resolve())
    ):
        raise ArtifactError(
            folder, "must name files of its own only", repr(name)[:200], "do not use it"
        )
    return path


def need_file(path: Path) -> None:
    """Refuse a pipe, a socket or a device in the place of a file: whoever reads it would wait for
    ever.

    Raises:
        ArtifactError: it is one.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ArtifactError(path, "must be a file", "a pipe or a device", "restore it")


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of an append-only file; none where there is no file.

    Raises:
        ArtifactError: it cannot be read.
    """
    need_file(path)
    try:
        return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    except OSError as error:
        raise ArtifactError(
            path, "must be a readable file", error.strerror or error, "restore it"
        ) from error


def read_at_most(path: Path, most: int) -> bytes | None:
    """A file's content; None where it is larger, which is seen as it is read: a pipe or a device
    says no size.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(most + 1)
    return content if len(content) <= most else None


def read_json(path: Path) -> Any:
    """Read one JSON document of at most 64 MiB.

    Raises:
        ArtifactError: the file is absent, too large, torn, or no JSON.
    """
    try:
        content = read_at_most(path, MAX_JSON_BYTES)
        if content is None:
            raise ArtifactError(path, "must be at most 64 MiB", "more")
        return parse_json(content)
    except FileNotFoundError:
        raise ArtifactError(path, "must exist", "no such file", "check the path") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(
            path, "must be a JSON file", error, "restore the file or make it anew"
        ) from error
