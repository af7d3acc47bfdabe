"""What a file is, told by its first bytes whatever it is called, and its content, unpacked."""

import contextlib
import io
import json
import shlex
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from automtl.errors import DataError

Kind = Literal["parquet", "arrow", "arrow stream", "json", "csv"]
HEAD_BYTES = 65536
MOST_IN_MEMORY = 2**31
PARQUET = (".parquet", ".pq", ".parq")
ARROW = (".feather", ".arrow", ".ipc")
JSON = (".jsonl", ".ndjson", ".json")
PACKED = (".gz", ".bz2", ".zst", ".lz4", ".zip")
_PLAIN = (*PARQUET, *ARROW, ".csv", ".tsv", ".jsonl", ".ndjson")
_CODECS = (".snappy", ".brotli", ".gzip", ".zstd")  # which some write behind .parquet
TABULAR = (
    *_PLAIN,
    *(ending + packing for ending in _PLAIN for packing in PACKED),
    *(f".parquet{codec}" for codec in _CODECS),
)
UNREADABLE = (
    pa.ArrowException,
    OSError,
    EOFError,
    UnicodeDecodeError,
    zlib.error,
    zipfile.BadZipFile,
    NotImplementedError,
)

_PACKINGS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_PACKINGS |= {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip"}  # with something in it, and empty
_TABLES: dict[bytes, Kind] = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow stream",
}
_BY_PANDAS = (
    'write it as Parquet: python -c "import pandas; '
    "pandas.{reader}({path!r}).to_parquet('rows.parquet')\""
)
_REFUSED = {
    b"\xfd7zXZ\0": ("packed by xz", "unpack it: xz -dk {quoted}"),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "unpack it: 7z x {quoted}"),
    b"Rar!": ("a RAR archive", "unpack it: unrar x {quoted}"),
    b"PARE": ("Parquet with an encrypted footer", "write it without encryption"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", _BY_PANDAS.replace("{reader}", "read_excel")),
    b"ORC": ("ORC", _BY_PANDAS.replace("{reader}", "read_orc")),
    b"FEA1": ("Feather of version 1", _BY_PANDAS.replace("{reader}", "read_feather")),
    b"\x89HDF": ("HDF5", _BY_PANDAS.replace("{reader}", "read_hdf")),
    b"Obj\x01": ("Avro", "write it as Parquet or CSV"),
    b"SQLite format 3\0": (
        "an SQLite database",
        "write the table as CSV: sqlite3 -header -csv {quoted} 'select * from TABLE' > rows.csv",
    ),
    b"\x93NUMPY": ("a NumPy array", "write it as Parquet or CSV, with names for its columns"),
    b"\x80\x04\x95": (
        "a pickle, which is never opened",
        "write the table as Parquet: frame.to_parquet('rows.parquet')",
    ),
    b"\x80\x05\x95": (
        "a pickle, which is never opened",
        "write the table as Parquet: frame.to_parquet('rows.parquet')",
    ),
    b"%PDF": ("a PDF", "bring the table itself"),
}


class Content(NamedTuple):
    """A file's content, unpacked.

    Attributes:
        kind: how the table is written.
        packing: how the file is packed; "" not at all.
        stream: all of it, from its beginning.
    """

    kind: Kind
    packing: str
    stream: Any


class _Rewound(io.RawIOBase):
    """A stream whose first bytes were looked at, from its beginning again."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, count: int = -1) -> bytes:
        """At most so many of the next bytes, b"" at the end; all of them where `count` is
        below 0.
        """
        if not self._head:
            return bytes(self._rest.read(count))
        taken, self._head = (
            (self._head, b"") if count < 0 else (self._head[:count], self._head[count:])
        )
        return taken + bytes(self._rest.read(count if count < 0 else count - len(taken)))


@contextlib.contextmanager
def content(path: Path) -> Iterator[Content]:
    """A file's content, unpacked, and what it is.

    Raises:
        DataError: it is empty, or of a kind that is not read; the message says what it is and what
            to do.
    """
    with contextlib.ExitStack() as opened:
        raw = opened.enter_context(path.open("rb"))
        head = raw.read(HEAD_BYTES)
        packing = next((name for magic, name in _PACKINGS.items() if head.startswith(magic)), "")
        stream: Any = raw
        if packing:
            raw.seek(0)
            stream = opened.enter_context(
                _member(path, raw) if packing == "zip" else pa.CompressedInputStream(raw, packing)
            )
            head = stream.read(HEAD_BYTES)
        kind = _kind(path, head)
        rewound: Any = _Rewound(head, stream)
        if kind in ("parquet", "arrow"):  # read from their end, which no packing allows
            rewound = _in_memory(path, rewound) if packing else raw
            rewound.seek(0)
        yield Content(kind, packing, rewound)


def _in_memory(path: Path, stream: Any) -> io.BytesIO:
    data = stream.read(MOST_IN_MEMORY + 1)
    if len(data) > MOST_IN_MEMORY:
        rule = (
            f"must be at most {MOST_IN_MEMORY / 2**30:g} GiB unpacked, since Parquet and Arrow "
            "files are read from their end"
        )
        raise DataError(path, rule, "more", "unpack it: such files pack their columns themselves")
    return io.BytesIO(data)


def kind_of(path: Path) -> Kind:
    """How a file's table is written.

    Raises:
        DataError: as `content`; or it cannot be read.
    """
    with readable(path), content(path) as unpacked:
        return unpacked.kind


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Around the reading of a file: what Arrow and the unpackers say of a damaged one, in plain
    words.

    Raises:
        DataError: it cannot be read.
    """
    try:
        yield
    except UNREADABLE as error:
        said = error.strerror if isinstance(error, OSError) and error.errno else None
        damage = (
            said
            or "a file that is cut short or damaged "
            f"({' '.join(str(error).split())[:200] or type(error).__name__})"
        )
        raise DataError(
            path, "must be a readable table", damage, "restore it, or write it again"
        ) from error


def _member(path: Path, raw: Any) -> Any:
    """The table of a zip archive, which must hold one."""
    archive = zipfile.ZipFile(raw)
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    if "[Content_Types].xml" in names:
        what = (
            "an Excel workbook"
            if any(name.startswith("xl/") for name in names)
            else "an office document"
        )
        raise DataError(
            path, "must be a table", what, _BY_PANDAS.format(reader="read_excel", path=str(path))
        )
    tables = [
        name
        for name in names
        if not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    ]
    if len(tables) != 1:
        got = f"{len(tables)}: {', '.join(tables)[:200]}" if tables else "none"
        raise DataError(
            path, "must hold one table", got, f"unpack it: unzip {shlex.quote(str(path))}"
        )
    if archive.getinfo(tables[0]).flag_bits & 1:
        raise DataError(
            path,
            "must be readable",
            "a zip with a password",
            f"unpack it: unzip {shlex.quote(str(path))}",
        )
    return archive.open(tables[0])


def _kind(path: Path, head: bytes) -> Kind:
    if not head.strip():
        raise DataError(path, "must have rows", "an empty file", "restore it")
    if any(head.startswith(magic) for magic in _PACKINGS):
        raise DataError(
            path,
            "must be packed once",
            "a packed file within a packed file",
            "unpack the outer one",
        )
    for magic, (what, fix) in _REFUSED.items():
        if head.startswith(magic):
            raise DataError(
                path,
                "must be a table",
                what,
                fix.format(path=str(path), quoted=shlex.quote(str(path))),
            )
    if head[257:262] == b"ustar":
        raise DataError(
            path, "must be a table", "a tar archive", f"unpack it: tar xf {shlex.quote(str(path))}"
        )
    if kind := next((kind for magic, kind in _TABLES.items() if head.startswith(magic)), None):
        return kind
    name = path.name.lower()
    if name.endswith((*PARQUET, *ARROW)):
        raise DataError(
            path,
            "must be a readable table",
            "a file that is not what its ending says",
            "restore it, or rename it",
        )
    return "json" if _is_json(path, name, head) else "csv"


def _is_json(path: Path, name: str, head: bytes) -> bool:
    """Whether a text is JSON, an object a line.

    Raises:
        DataError: it is JSON of another form.
    """
    stem = next((name.removesuffix(packing) for packing in PACKED if name.endswith(packing)), name)
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].strip()
    named = stem.endswith(JSON)
    if not first.startswith(b"{") and not named:
        return False
    try:
        row = json.loads(first)
        lines = isinstance(row, dict) and not (
            row and all(isinstance(value, dict) for value in row.values())
        )
    except ValueError:
        # an object longer than what was looked at
        lines = first.startswith(b"{") and len(first) > HEAD_BYTES // 2
        named = named or first == b"{"
    if named and not lines:
        fix = _BY_PANDAS.format(reader="read_json", path=str(path))
        raise DataError(path, "must hold one JSON object a line", "JSON of another form", fix)
    return lines
