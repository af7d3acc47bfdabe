"""The files that a path, a pattern or a folder stands for, and what their folders' names say of
their rows.
"""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from automtl.data.access.formats import PACKED, TABULAR
from automtl.data.access.remote import MARK, RemoteFile, expand
from automtl.errors import DataError

# where rows that were given in memory are kept
FRAMES = "frames"
ROWS = "rows.parquet"
YAML = "dataset.yaml"
NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def home(path: str | Path) -> str:
    """A path with `~` at its beginning in full; as it is, where nobody knows whose home that would
    be.
    """
    try:
        return str(Path(path).expanduser()) if str(path).startswith("~") else str(path)
    except RuntimeError:
        return str(path)


def find_files(patterns: Sequence[str], where: str) -> list[Path]:
    """The files that paths and patterns stand for, in the order of their names.

    Raises:
        DataError: a path or a pattern that no file answers, or a file given both plain and packed.
    """
    paths = sorted({path for pattern in patterns for path in _resolve(home(pattern), where)})
    for path in paths:
        if path.suffix in PACKED and path.with_suffix("") in paths:
            raise DataError(
                path,
                "must not be given both plain and packed",
                "both",
                "remove or name one of them",
            )
    return paths


def _resolve(pattern: str, where: str) -> list[Path]:
    path = Path(pattern)
    fix = (
        "check the path; of a shipped data set `automtl data get NAME` brings the files, or "
        "says where to put them"
    )
    if MARK in pattern:
        files = expand(pattern, tables_among)
    elif path.is_dir():
        files = tables_among(list(_walked(path)))
        if not files and any(child.is_dir() for child in path.iterdir()):
            fix = f"for the files of its folders write {path / '**' / '*.csv'}, or another ending"
    elif path.is_file():
        files = [path]
    else:
        matches = [
            match
            for match in map(Path, glob.glob(_rest_only(path), recursive=True))
            if match.is_file()
        ]
        files = [
            match
            for match in matches
            if path.name.startswith("_") or not match.name.startswith("_")
        ]
    if not files:
        raise DataError(f"{where}: {pattern}", "must name a file", "none there", fix)
    return files


def _walked(folder: Path) -> Iterator[Path]:
    """The files of a folder, and of those in it that are named as Hive names a table's parts."""
    for child in folder.iterdir():
        if child.is_file():
            yield child
        elif "=" in child.name:
            yield from _walked(child)


def _rest_only(path: Path) -> str:
    """A pattern whose first folders, as far as they exist by their very names, are no pattern."""
    there = next(folder for folder in path.parents if folder.is_dir())
    return str(Path(glob.escape(str(there)), path.relative_to(there)))


def tables_among(files: Sequence[Path]) -> list[Path]:
    """Those files of a folder that are tables by their endings, or by Hadoop's name; those without
    an ending, where no other is.
    """
    seen = [file for file in files if not file.name.startswith((".", "_"))]
    tables = [
        file
        for file in seen
        if file.name.lower().endswith(TABULAR) or file.name.startswith("part-")
    ]
    return tables or [file for file in seen if "." not in file.name]


def shown_path(path: Path) -> Path:
    """What errors call a file: rows that were given in memory have no name that their giver
    knows.
    """
    ours = (
        f"/{FRAMES}/" in str(path)
        and MARK not in str(path)
        and path.name == ROWS
        and path.parent.parent.name == FRAMES
    )
    return Path("rows") if ours and (path.parent / YAML).exists() else path


def partitions(path: Path | RemoteFile) -> dict[str, str]:
    """The columns that the names of a file's folders give, as Hive has them (`day=2023-11-14`); ""
    is missing.
    """
    parts = [part.partition("=") for part in str(path).split("/")[:-1] if "=" in part]
    return {
        unquote(name): "" if value == NO_PARTITION else unquote(value)
        for name, _, value in parts
        if name
    }
