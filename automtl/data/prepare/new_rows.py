"""Rows to predict on: read, joined and encoded as the training rows were, without labels."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from automtl.data.access.paths import find_files
from automtl.data.prepare._digest import Digester
from automtl.data.prepare._encode import FeatureEncoder, indexed
from automtl.data.prepare._encoding_pass import list_lengths
from automtl.data.prepare._prefetch import prefetch
from automtl.data.prepare.rows import RowReader
from automtl.data.raw.adapters.registry import Reader
from automtl.data.raw.columns import plan_readings
from automtl.data.raw.sources import (
    BATCH_ROWS,
    Piece,
    Reading,
    check_columns,
    column_names,
    convert,
    fitted,
    read_pieces,
    side_sources,
)
from automtl.data.spec.dataset import Csv, DatasetConfig
from automtl.data.store import Rows
from automtl.data.store.schema import Schema
from automtl.data.store.unknown import unknown_remarks, unknown_rows
from automtl.errors import DataError

FRAME = Path("rows")
Say = Callable[[str], None]


class Served(NamedTuple):
    """Some rows to predict on, and the columns to hand back with them."""

    rows: Rows
    kept: pa.Table


class Vocabularies(Protocol):
    """What encoding reads of a data set, as a run or an export has it; columns of side tables that
    it has not by their tables' names.
    """

    @property
    def schema(self) -> Schema: ...

    @property
    def left_out(self) -> Mapping[str, str]: ...

    def vocabulary(self, field: str) -> pa.Table: ...


class Server:
    """Encodes rows by a prepared data set's vocabularies and scalers.

    Args:
        store: a data set as a run or an export has it.
        config: its settings; its side tables have absolute paths.
        say: is told what is ignored.
    """

    def __init__(self, store: Vocabularies, config: DatasetConfig, *, say: Say) -> None:
        self._config = config
        self._left_out = store.left_out
        self._say = say
        vocabularies = {name: store.vocabulary(name) for name in store.schema.owners}
        self._schema = store.schema
        self._encoder = FeatureEncoder(store.schema, indexed(vocabularies), list_lengths(config))
        self._digester = Digester(config)
        self._readings, self._times = plan_readings(config, served=True), store.schema.times

    def files(self, path: str | Path, keep: Sequence[str]) -> Iterator[Served]:
        """The rows of a file of any format that training reads, or of a folder of them.

        Raises:
            DataError: a column is missing, or a value cannot be read.
        """
        paths = find_files([str(path)], "input")
        csv = self._csv(paths[0], keep)
        names = column_names(paths[0], csv)
        if self._config.adapter is None or not self._missing(names):
            yield from self._rows(
                paths, names, keep, lambda files, own, _, say: read_pieces(files, own, csv, say)
            )
        else:
            yield from self._rows(paths, [], keep, None)  # the publisher's own layout

    def table(self, table: pa.Table, keep: Sequence[str]) -> Iterator[Served]:
        """The rows of an Arrow table (see `frames.as_table`).

        Raises:
            DataError: a column is missing, or a value cannot be read.
        """
        yield from self._rows([FRAME], table.column_names, keep, table_reader(table))

    def _csv(self, path: Path, keep: Sequence[str]) -> Csv:
        config = self._config
        used = {
            *keep,
            *self._readings,
            *(d.column for d in config.derived),
            *(join.on for join in config.joins),
        }
        return fitted(path, config.csv, used) if config.adapter is None else Csv()

    def _rows(
        self, paths: Sequence[Path], names: Sequence[str], keep: Sequence[str], read: Reader | None
    ) -> Iterator[Served]:
        readings: dict[str, Reading] = {**dict.fromkeys(keep, "text"), **self._readings}
        config = (
            self._config if self._missing(names) else self._config.model_copy(update={"joins": ()})
        )
        if names:
            self._need_left_out(paths[0], names)
            self._tell_ignored(names, config, readings)
        reader = RowReader(
            config, side_sources(config), readings, self._say, present=names, times=self._times
        )
        unknown, total = Counter[str](), 0
        for piece in prefetch(reader(paths, read)):
            columns = self._digester.features(piece)
            batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
            none = np.zeros((len(batch), 0), np.float32)
            rows = Rows(
                self._encoder.ids(batch),
                self._encoder.dense(batch),
                none,
                None,
                self._encoder.lists(batch),
            )
            unknown.update(
                {
                    name: int(there.sum())
                    for name, there in unknown_rows(self._schema, rows.ids, rows.lists).items()
                }
            )
            total += len(batch)
            yield Served(
                rows, pa.table({name: piece.batch.column(name).cast(pa.string()) for name in keep})
            )
        for line in unknown_remarks(self._schema, unknown, total, "rows") if total else ():
            self._say(line)

    def _missing(self, names: Sequence[str]) -> list[str]:
        """Used columns that the rows do not bring themselves."""
        derived = {derived.name: derived.column for derived in self._config.derived}
        return [
            name for name in self._readings if name not in names and derived.get(name) not in names
        ]

    def _need_left_out(self, path: Path, names: Sequence[str]) -> None:
        """Refuse rows without the columns of side tables that were too large to be kept."""
        made_of = {derived.name: derived.column for derived in self._config.derived}
        missing = dict.fromkeys(made_of.get(name, name) for name in self._missing(names))
        if absent := [name for name in missing if name in self._left_out]:
            tables = ", ".join(dict.fromkeys(self._left_out[name] for name in absent))
            got = f"columns {', '.join(names)[:300]}"
            raise DataError(
                path,
                f"must have the columns {', '.join(absent)}",
                got,
                f"join {tables} to the rows: the run does not keep it",
            )

    def _tell_ignored(
        self, names: Sequence[str], config: DatasetConfig, readings: Mapping[str, Reading]
    ) -> None:
        used = {
            *readings,
            *(d.column for d in config.derived if d.name not in names),
            *(join.on for join in config.joins),
        }
        ignored = [name for name in names if name not in used]
        if ignored:
            self._say(
                "ignored, since the model does not read "
                f"{'it' if len(ignored) == 1 else 'them'}: {', '.join(ignored)[:300]}"
            )


def table_reader(table: pa.Table) -> Reader:
    """Reads a table as if it were a file."""

    def read(
        paths: Sequence[Path], readings: Mapping[str, Reading], csv: Csv, say: Say
    ) -> Iterator[Piece]:
        check_columns(FRAME, table.column_names, readings)
        first = 1
        for raw in table.select(list(readings)).to_batches(max_chunksize=BATCH_ROWS):
            columns = [
                convert(raw.column(name), reading, FRAME, name)
                for name, reading in readings.items()
            ]
            yield Piece(FRAME, first, pa.RecordBatch.from_arrays(columns, names=list(readings)))
            first += raw.num_rows

    return read
