"""Side tables: read once, held by key, their columns joined to each piece of rows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.dataset import Join
from automtl.data.hashing import hash_words
from automtl.data.sources import Piece, Reading, column_names, read_pieces
from automtl.data.words import TEXT
from automtl.errors import DataError

MISSING = {"number": np.nan, "text": "", "list": ""}


class Held:
    """Columns held in memory by key.

    Args:
        key: the key's column, of texts.
        table: the key and the columns.
        readings: how each column was read.
        path: where they come from, for errors.

    Raises:
        DataError: no rows, or a key twice.
    """

    def __init__(self, key: str, table: pa.Table, readings: Mapping[str, Reading], path: Path) -> None:
        self.key, self.path = key, path
        self.rows = self.unmatched = 0
        self.found = np.zeros(0, bool)
        if not table.num_rows:
            raise DataError(path, "must have rows to join", "none", "restore the file")
        table = table.unify_dictionaries().combine_chunks()
        self.names = tuple(name for name in table.column_names if name != key)
        self._columns = {name: _with_missing(_one(table[name]), readings[name]) for name in self.names}
        self._places = self._index(_one(table[key]))

    def _index(self, keys: pa.DictionaryArray) -> "pd.Index[int]":
        index: pd.Index[int] = pd.Index(hash_words(keys.dictionary.take(keys.indices)))
        if not index.is_unique:
            twice = keys[int(np.flatnonzero(index.duplicated())[0])].as_py()
            rule = f"must have each key of column '{self.key}' once"
            raise DataError(self.path, rule, f"{twice!r} twice", "leave one row per key")
        return index

    def take(self, keys: pa.DictionaryArray) -> dict[str, pa.Array]:
        """The columns for the rows with these keys; `found` then says which rows had one."""
        places = self._places.get_indexer(pd.Index(hash_words(keys.dictionary)))
        places = np.where(np.asarray(pc.equal(keys.dictionary, "").to_numpy(zero_copy_only=False)), -1, places)
        rows = np.where(places < 0, len(self._places), places)[keys.indices.to_numpy()]
        self.found = rows < len(self._places)
        self.rows += len(rows)
        self.unmatched += int((~self.found).sum())
        return {name: _take(column, rows) for name, column in self._columns.items()}


class SideTable(Held):
    """The columns of one side table that a data set uses.

    Args:
        join: as the data set says it.
        paths: its files.
        readings: how each column that the data set uses is read; those that the table lacks are not its business.

    Raises:
        DataError: the table cannot be read, or has a key twice.
    """

    def __init__(self, join: Join, paths: Sequence[Path], readings: Mapping[str, Reading]) -> None:
        table, own = read_side_table(join, paths, readings)
        super().__init__(join.on, table, own, paths[0])


def read_side_table(join: Join, paths: Sequence[Path], readings: Mapping[str, Reading]) -> tuple[pa.Table, dict[str, Reading]]:
    """The key and those of some columns that a side table has, and how each of these was read.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    present = column_names(paths[0], join.csv)
    own: dict[str, Reading] = {name: reading for name, reading in readings.items() if name in present and name != join.on}
    pieces = list(read_pieces(paths, {join.on: "text", **own}, join.csv))
    if not pieces:
        raise DataError(paths[0], "must have rows to join", "none", "restore the file")
    return pa.Table.from_batches([piece.batch for piece in pieces]).unify_dictionaries(), own


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _with_missing(column: pa.Array, reading: Reading) -> pa.Array:
    """The column with one more value, for rows without a match."""
    if reading == "time":
        return pa.concat_arrays([column, pa.nulls(1, column.type)])
    if not pa.types.is_dictionary(column.type):
        return pa.concat_arrays([column, pa.array([np.nan])])
    words = pa.concat_arrays([column.dictionary, pa.array([""], pa.string())])
    indices = pa.concat_arrays([column.indices, pa.array([len(column.dictionary)], pa.int32())])
    return pa.DictionaryArray.from_arrays(indices, words)


def _take(column: pa.Array, rows: np.ndarray) -> pa.Array:
    """Some rows; a dictionary keeps only the words that they use, so that a piece costs its own size."""
    if not pa.types.is_dictionary(column.type):
        return column.take(pa.array(rows))
    codes, inverse = np.unique(column.indices.to_numpy()[rows], return_inverse=True)
    return pa.DictionaryArray.from_arrays(pa.array(inverse.astype(np.int32)), column.dictionary.take(pa.array(codes))).cast(TEXT)


def check_unique_names(tables: Sequence[SideTable], main: Sequence[str], where: object) -> None:
    """Refuse a used column that two tables have.

    Raises:
        DataError: there is one; the message names it.
    """
    owner: dict[str, object] = dict.fromkeys(main, where)
    for table in tables:
        for name in table.names:
            if name in owner:
                rule = f"must be the only table with the column '{name}'"
                raise DataError(table.path, rule, f"another in {owner[name]}", "rename one of them")
            owner[name] = table.path


def joined(piece: Piece, tables: Sequence[SideTable]) -> dict[str, pa.Array]:
    """The columns of a piece, its own and the joined ones."""
    columns = dict(zip(piece.batch.schema.names, piece.batch.columns, strict=True))
    for table in tables:
        columns |= table.take(columns[table.key])
    return columns


def tell_unmatched(tables: Sequence[SideTable], say: Callable[[str], None]) -> None:
    """Say how many rows found no match.

    Raises:
        DataError: none at all found one.
    """
    for table in tables:
        if table.rows and table.unmatched == table.rows:
            rule = f"must have keys of column '{table.key}' that the rows have"
            raise DataError(table.path, rule, "not one", "check `on`, and how both files write the key")
        if table.unmatched:
            share = f"{table.unmatched:,} of {table.rows:,} rows"
            say(f"{table.path.name}: {share} have a {table.key} that it lacks; its columns are empty there")
