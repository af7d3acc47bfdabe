"""JSON, one object a line, as batches of columns."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from automtl.data.access.encodings import utf8_blocks
from automtl.data.raw._readings import Counts, Reading
from automtl.errors import DataError
from automtl.strict import shown

_RULE = "must be a JSON object on one line"
EXACT = 2**53  # whole numbers below it pass through a float unchanged
_ROW = re.compile(r"(?:JSON parse error: )?(?P<what>.*?) in row (?P<row>\d+)$", re.S)


class JsonLines:
    """The rows of a text of JSON objects; a column may change its type along the way, and be absent
    from some rows.

    Args:
        path: of the file, for errors.
        blocks: its bytes.

    Attributes:
        names: of the columns that the first megabytes have.
        texts: none.

    Raises:
        DataError: a line is no JSON object.
    """

    def __init__(self, path: Path, blocks: Iterator[bytes]) -> None:
        self.texts = set[str]()
        self._path = path
        self._row = 1
        self._texts = set[str]()
        self._pieces = _lines(utf8_blocks(blocks, "utf-8", path))
        self._first = next(self._pieces, b"")
        self.names = list(self._parsed(self._first, {}).schema.names)

    @property
    def counts(self) -> Counts:
        """Nothing worth telling."""
        return Counts()

    def narrow(self, start: int, pieces: Sequence[int], before: int) -> None:
        """Read some consecutive pieces only: all, since what a column is follows from those
        before.
        """
        assert not start and not pieces, "no JSON lines are cut"

    def batches(self, readings: Mapping[str, Reading] | None) -> Iterator[pa.RecordBatch]:
        """The columns of `readings`, or all that the first megabytes have; where a piece lacks one,
        nulls.
        """
        names = self.names if readings is None else list(readings)
        for piece in chain([self._first], self._pieces):
            table = self._parsed(piece, readings or {})
            columns = [
                _one(table[name])
                if name in table.schema.names
                else pa.nulls(len(table), pa.string())
                for name in names
            ]
            self._row += len(table)
            yield pa.RecordBatch.from_arrays(columns, names=names)

    def _parsed(self, piece: bytes, readings: Mapping[str, Reading]) -> pa.Table:
        """A piece's columns; texts stay texts though they look like times, and ids keep all their
        digits.
        """
        try:
            table = _read(piece, self._texts)
            if times := {field.name for field in table.schema if pa.types.is_timestamp(field.type)}:
                self._texts |= times
                table = _read(piece, self._texts)
        except pa.ArrowInvalid as error:
            if "changed from" not in str(error):
                raise self._refused(error) from error
            return self._by_python(piece)
        ids = [table[name] for name in table.schema.names if readings.get(name) in ("text", "list")]
        return self._by_python(piece) if any(map(_beyond_floats, ids)) else table

    def _by_python(self, piece: bytes) -> pa.Table:
        """A piece's columns as texts, and lists of texts, numbers by their own digits."""
        rows = [
            json.loads(line, parse_int=str, parse_float=str)
            for line in piece.splitlines()
            if line.strip()
        ]
        if (
            other := next((i for i, row in enumerate(rows) if not isinstance(row, dict)), None)
        ) is not None:
            raise DataError(
                f"{self._path}, row {self._row + other}",
                _RULE,
                shown(json.dumps(rows[other])),
                "mend the line",
            )
        columns = {
            name: [_text(row.get(name)) for row in rows]
            for name in dict.fromkeys(name for row in rows for name in row)
        }
        return pa.table({name: self._column(name, values) for name, values in columns.items()})

    def _column(self, name: str, values: list[Any]) -> pa.Array:
        try:
            return pa.array(
                values,
                pa.list_(pa.string())
                if any(isinstance(value, list) for value in values)
                else pa.string(),
            )
        except (pa.ArrowException, TypeError) as error:
            where = f"{self._path}: column '{name}'"
            raise DataError(
                where,
                "must hold lists throughout, or none",
                "lists and others",
                "write all as lists",
            ) from error

    def _refused(self, error: pa.ArrowInvalid) -> DataError:
        said = " ".join(str(error).split())
        match = _ROW.match(said)
        where = (
            f"{self._path}, row {self._row + int(match['row'])}"
            if match
            else f"{self._path}, after row {self._row - 1}"
        )
        return DataError(where, _RULE, shown(match["what"] if match else said), "mend the line")


def _read(piece: bytes, texts: Iterable[str]) -> pa.Table:
    """A piece by Arrow's own types, but for some columns of texts."""
    # one thread tells the row of a fault
    read = pyarrow.json.ReadOptions(block_size=len(piece) + 1, use_threads=False)
    schema = pa.schema([(name, pa.string()) for name in texts])
    return pyarrow.json.read_json(
        pa.BufferReader(piece), read, pyarrow.json.ParseOptions(explicit_schema=schema)
    )


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(item) for item in value]
    return (
        str(value).lower()
        if isinstance(value, bool)
        else json.dumps(value)
        if isinstance(value, dict)
        else value
    )


def _beyond_floats(column: pa.ChunkedArray) -> bool:
    values = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    return pa.types.is_floating(values.type) and bool(
        pc.any(pc.greater_equal(pc.abs(values), EXACT)).as_py()
    )


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; one without any value as texts."""
    whole = column.combine_chunks()
    return whole.cast(pa.string()) if pa.types.is_null(whole.type) else whole


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The text, in pieces of whole lines."""
    rest = b""
    for block in blocks:
        data = rest + block
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if data[:end].strip():
            yield data[:end]
    if rest.strip():
        yield rest
