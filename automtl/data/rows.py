"""All columns that a data set uses, piece by piece: its own files', joined ones and those derived from times."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from automtl.data.adapters.registry import Reader, reader_of
from automtl.data.columns import Columns
from automtl.data.dataset import DatasetConfig, Derived
from automtl.data.joins import SideTable, check_unique_names, joined, tell_unmatched
from automtl.data.sources import JOIN, Piece, Reading, Source, column_names

PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "date": 1_000_000}
EARLIEST, LATEST = 631_152_000, 4_102_444_800  # 1990 and 2100, in seconds: a time outside was read in another unit
THURSDAY = 3  # 1970-01-01, counted from Monday


class RowReader:
    """Reads a data set's rows.

    Args:
        config: the data set.
        sources: its files, the side tables' among them.
        readings: the columns that are wanted, and how each is read.
        say: is told what is dropped or unmatched.
        present: columns that the rows bring themselves although they would be joined or derived, as served rows may.
    """

    def __init__(
        self,
        config: DatasetConfig,
        sources: Sequence[Source],
        readings: Mapping[str, Reading],
        say: Callable[[str], None],
        *,
        present: Sequence[str] = (),
    ) -> None:
        self._config, self._say, self._readings = config, say, dict(readings)
        self._derived = tuple(d for d in config.derived if d.name in readings and d.name not in present)
        self._wanted = wanted = needed(readings, self._derived)
        by_role = [[source.path for source in sources if source.role == f"{JOIN}{i}"] for i in range(len(config.joins))]
        elsewhere: dict[str, Reading] = {name: reading for name, reading in wanted.items() if name not in present}
        tables = [SideTable(join, paths, elsewhere) for join, paths in zip(config.joins, by_role, strict=True)]
        self._tables = [table for table in tables if table.names]

    def __call__(self, paths: Sequence[Path], read: Reader | None = None) -> Iterator[Piece]:
        """The rows of some of the data set's main files; `read` in place of the data set's own reader."""
        own = self._own(paths) if read is None else self._named()
        for piece in (read or reader_of(self._config))(paths, own, self._config.csv, self._say):
            columns = joined(piece, self._tables)
            for derived in self._derived:
                columns[derived.name] = derive(Columns(piece._replace(batch=_batch(columns))), derived, self._readings[derived.name])
            yield piece._replace(batch=_batch({name: columns[name] for name in self._readings}))

    def _own(self, paths: Sequence[Path]) -> dict[str, Reading]:
        """What is to be read from the main files."""
        if self._tables and self._config.adapter is None:
            check_unique_names(self._tables, column_names(paths[0], self._config.csv), paths[0])
        return self._named()

    def _named(self) -> dict[str, Reading]:
        elsewhere = {name for table in self._tables for name in table.names}
        own = {name: reading for name, reading in self._wanted.items() if name not in elsewhere}
        return own | {table.key: "text" for table in self._tables}

    def finish(self) -> None:
        """After all rows: say what found no match.

        Raises:
            DataError: a side table matched no row at all.
        """
        tell_unmatched(self._tables, self._say)


def needed(readings: Mapping[str, Reading], derived: Sequence[Derived]) -> dict[str, Reading]:
    """How the columns are read that some others come from: themselves, or the times that they are derived from."""
    there = [d for d in derived if d.name in readings]
    wanted = {name: reading for name, reading in readings.items() if name not in {d.name for d in there}}
    for one in there:
        wanted[one.column] = "time" if wanted.get(one.column, "time") == "time" else "text"
    return wanted


def _batch(columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def derive(columns: Columns, derived: Derived, reading: Reading) -> pa.Array:
    """The hour, weekday or day of a column of times, on the clock that the data set names.

    Raises:
        DataError: a time is missing, or outside 1990-2100 in the unit given.
    """
    times = columns.times(derived.column)
    seconds = times // PER_SECOND[derived.unit]
    wrong = (seconds < EARLIEST) | (seconds > LATEST)
    if wrong.any():
        rule = f"must be a time from 1990 to 2100 in unit {derived.unit}"
        columns.fail(derived.column, wrong, rule, str(times[np.argmax(wrong)]), f"set derived.unit of '{derived.name}'")
    local = seconds + round(derived.utc_offset_hours * 3600)
    days = local // 86400
    values = {"hour": local // 3600 % 24, "weekday": (days + THURSDAY) % 7, "day": days}[derived.what]
    if reading == "number":
        return pa.array(values.astype(np.float64))
    words, codes = np.unique(values, return_inverse=True)
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(words.astype(str).tolist(), pa.string()))
