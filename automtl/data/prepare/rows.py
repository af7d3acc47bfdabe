"""All columns that a data set uses, piece by piece: its own files', joined ones and those derived
from times.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.prepare.times import EARLIEST, LATEST
from automtl.data.raw.adapters.registry import Reader, reader_of
from automtl.data.raw.columns import Columns
from automtl.data.raw.joins import SideTable, check_unique_names, joined, tell_unmatched
from automtl.data.raw.sources import JOIN, Piece, Reading, Source, column_names, silent
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.sections import Derived
from automtl.data.values.dates import WHOLE, YEAR_FIRST, forms_of, nearest_form
from automtl.data.values.forms import missing_words, plain
from automtl.errors import DataError

PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "date": 1_000_000}
THURSDAY = 3  # 1970-01-01, counted from Monday


class RowReader:
    """Reads a data set's rows.

    Args:
        config: the data set.
        sources: its files, the side tables' among them.
        readings: the columns that are wanted, and how each is read.
        say: is told what is dropped or unmatched.
        present: columns that the rows bring themselves although they would be joined or derived, as
            served rows may.
        times: the forms of columns of times, as far as they are known.

    Attributes:
        times: with what the rows have shown.
    """

    def __init__(
        self,
        config: DatasetConfig,
        sources: Sequence[Source],
        readings: Mapping[str, Reading],
        say: Callable[[str], None],
        *,
        present: Sequence[str] = (),
        times: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.times = {**times, **config.times}
        self._config = config
        self._say = say
        self._readings = dict(readings)
        self._derived = tuple(
            d for d in config.derived if d.name in readings and d.name not in present
        )
        self._wanted = wanted = source_readings(readings, self._derived)
        by_role = [
            [source.path for source in sources if source.role == f"{JOIN}{i}"]
            for i in range(len(config.joins))
        ]
        elsewhere: dict[str, Reading] = {
            name: reading for name, reading in wanted.items() if name not in present
        }
        self._missing = missing_words(config.csv.null_values)
        tables = [
            SideTable(join, paths, elsewhere, self._missing)
            for join, paths in zip(config.joins, by_role, strict=True)
        ]
        self._tables = [table for table in tables if table.names]
        of_split = {config.split.column} if config.split.kind == "time" else set()
        self._time_columns = wanted.keys() & {
            *of_split,
            *(derived.column for derived in self._derived),
        }

    def __call__(self, paths: Sequence[Path], read: Reader | None = None) -> Iterator[Piece]:
        """The rows of some of the data set's main files; `read` in place of the data set's own
        reader.
        """
        own = self._own(paths) if read is None else self._named()
        read = read or reader_of(self._config)
        for raw in read(paths, own, self._config.csv, self._say):
            columns = joined(raw, self._tables)
            for name in self._time_columns & columns.keys() - self.times.keys():
                self.times[name] = self._form(
                    name, columns[name], raw.path, self._whole_column(name, paths, read)
                )
            piece = raw._replace(times=self.times)
            for derived in self._derived:
                times = Columns(piece._replace(batch=_batch(columns)), self._missing)
                columns[derived.name] = derive(times, derived, self._readings[derived.name])
            yield piece._replace(batch=_batch({name: columns[name] for name in self._readings}))

    def _form(self, name: str, column: pa.Array, path: Path, whole: Iterator[pa.Array]) -> str:
        """In what form a column of times is written; the whole of it is read only where its first
        rows do not tell day from month.

        Args:
            name: of the column.
            column: its first rows.
            path: of its file, for errors.
            whole: the column once more, from its beginning.

        Raises:
            DataError: day and month could be either throughout.
        """
        if not pa.types.is_dictionary(column.type):
            return WHOLE if pa.types.is_integer(column.type) else YEAR_FIRST
        words = self._times_among(column)
        forms = forms_of(words)
        if len(forms) > 1:
            for part in whole:
                forms &= forms_of(words := self._times_among(part))
                if len(forms) < 2:
                    break
            else:
                got = f"{words[0].as_py()!r} and others whose day and month could be either"
                fix = f"say which comes first: times: {{{name}: dmy}} or {{{name}: mdy}}"
                raise DataError(
                    f"{path}: column '{name}'",
                    "must be dates that tell the day from the month",
                    got,
                    fix,
                )
        return forms.pop() if forms else nearest_form(words)

    def _times_among(self, column: pa.DictionaryArray) -> pa.Array:
        return column.dictionary.filter(
            pc.not_equal(plain(column.dictionary, self._missing.numbers), "")
        )

    def _whole_column(self, name: str, paths: Sequence[Path], read: Reader) -> Iterator[pa.Array]:
        """A column of times once more, from its beginning."""
        for table in self._tables:
            if name in table.names:
                yield table.column(name)
                return
        yield from (
            piece.batch.column(name)
            for piece in read(paths, {name: "time"}, self._config.csv, silent)
        )

    def _own(self, paths: Sequence[Path]) -> dict[str, Reading]:
        """What is to be read from the main files."""
        if self._tables and self._config.adapter is None:
            check_unique_names(self._tables, column_names(paths[0], self._config.csv), paths[0])
        return self._named()

    def _named(self) -> dict[str, Reading]:
        elsewhere = {name for table in self._tables for name in table.names}
        own = {name: reading for name, reading in self._wanted.items() if name not in elsewhere}
        return own | {table.key: "text" for table in self._tables}

    @property
    def matches(self) -> list[tuple[int, int]]:
        """Per side table, the rows that were looked for in it, and those that it lacks."""
        return [(table.rows, table.unmatched) for table in self._tables]

    def add_matches(self, matches: Sequence[tuple[int, int]]) -> None:
        """Count what another reader of the same data set has looked for."""
        for table, (rows, unmatched) in zip(self._tables, matches, strict=True):
            table.rows += rows
            table.unmatched += unmatched

    def finish(self) -> None:
        """After all rows: say what found no match.

        Raises:
            DataError: a side table matched no row at all.
        """
        tell_unmatched(self._tables, self._say)


def source_readings(
    readings: Mapping[str, Reading], derived: Sequence[Derived]
) -> dict[str, Reading]:
    """How the columns are read that some others come from: themselves, or the times that they are
    derived from.
    """
    there = [d for d in derived if d.name in readings]
    wanted = {
        name: reading for name, reading in readings.items() if name not in {d.name for d in there}
    }
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
        columns.fail(
            derived.column,
            wrong,
            rule,
            str(times[np.argmax(wrong)]),
            f"set derived.unit of '{derived.name}'",
        )
    local = seconds + round(derived.utc_offset_hours * 3600)
    days = local // 86400
    values = {"hour": local // 3600 % 24, "weekday": (days + THURSDAY) % 7, "day": days}[
        derived.what
    ]
    if reading == "number":
        return pa.array(values.astype(np.float64))
    words, codes = np.unique(values, return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32)), pa.array(words.astype(str).tolist(), pa.string())
    )
