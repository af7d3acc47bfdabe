"""Side tables: read once, held by key, their columns joined to each piece of rows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.raw.columns import Columns
from automtl.data.raw.sources import Piece, Reading, column_names, read_pieces
from automtl.data.spec.sections import Join
from automtl.data.values.forms import DEFAULT, MISSING_IDS, Missing, normal, plain
from automtl.data.values.hashing import hash_words
from automtl.data.values.text_columns import TEXT, as_text, map_words
from automtl.errors import DataError, counted


class KeyedTable:
    """Columns held in memory by key.

    Args:
        key: the key's column, of texts.
        table: the key and the columns.
        path: where they come from, for errors.
        missing: words for a missing key; rows with one match nothing.

    Raises:
        DataError: no rows, or a key twice.
    """

    def __init__(
        self, key: str, table: pa.Table, path: Path, missing: tuple[str, ...] = MISSING_IDS
    ) -> None:
        self.key, self.path, self._missing = key, path, missing
        self.rows = self.unmatched = 0
        self.matched = np.zeros(0, bool)
        if not table.num_rows:
            raise DataError(path, "must have rows to join", "none", "restore the file")
        table = table.unify_dictionaries().combine_chunks()
        keys = self._key_words(_one(table[key]))
        words = keys.dictionary.take(keys.indices)
        if (there := pc.not_equal(words, "")).false_count:
            table, words = table.filter(there).combine_chunks(), words.filter(there)
        self.names = tuple(name for name in table.column_names if name != key)
        self._columns = {name: _with_missing(_one(table[name])) for name in self.names}
        self._places = self._index(words)

    def _key_words(self, keys: pa.DictionaryArray) -> pa.DictionaryArray:
        return map_words(keys, normal(plain(keys.dictionary, self._missing)))

    def _index(self, words: pa.Array) -> "pd.Index[int]":
        index: pd.Index[int] = pd.Index(hash_words(words))
        if not index.is_unique:
            twice = words[int(np.flatnonzero(index.duplicated())[0])].as_py()
            rule = f"must have each key of column '{self.key}' once"
            raise DataError(self.path, rule, f"{twice!r} twice", "leave one row per key")
        return index

    def column(self, name: str) -> pa.Array:
        """The values of one of the columns."""
        return self._columns[name]

    def take(self, keys: pa.DictionaryArray) -> dict[str, pa.Array]:
        """The columns for the rows with these keys; `matched` then says which rows had one."""
        words = self._key_words(keys).dictionary
        places = self._places.get_indexer(pd.Index(hash_words(words)))
        places = np.where(
            np.asarray(pc.equal(words, "").to_numpy(zero_copy_only=False)), -1, places
        )
        rows = np.where(places < 0, len(self._places), places)[keys.indices.to_numpy()]
        self.matched = rows < len(self._places)
        self.rows += len(rows)
        self.unmatched += int((~self.matched).sum())
        return {name: _take(column, rows) for name, column in self._columns.items()}


class SideTable(KeyedTable):
    """The columns of one side table that a data set uses.

    Args:
        join: as the data set says it.
        paths: its files.
        readings: how each column that the data set uses is read; those that the table lacks are not
            its business.
        missing: the data set's words for a missing value.

    Raises:
        DataError: the table cannot be read, or has a key twice.
    """

    def __init__(
        self,
        join: Join,
        paths: Sequence[Path],
        readings: Mapping[str, Reading],
        missing: Missing = DEFAULT,
    ) -> None:
        super().__init__(
            join.on, read_side_table(join, paths, readings, missing), paths[0], missing.ids
        )


def read_side_table(
    join: Join, paths: Sequence[Path], readings: Mapping[str, Reading], missing: Missing
) -> pa.Table:
    """The key and those of some columns that a side table has.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    present = column_names(paths[0], join.csv)
    own: dict[str, Reading] = {
        name: reading for name, reading in readings.items() if name in present and name != join.on
    }
    pieces = list(read_pieces(paths, {join.on: "text", **own}, join.csv))
    if not pieces:
        raise DataError(paths[0], "must have rows to join", "none", "restore the file")
    texts = {
        name
        for piece in pieces
        for name in own
        if pa.types.is_dictionary(piece.batch.column(name).type)
    }
    return pa.Table.from_batches(
        [_alike(piece, {join.on: "text", **own}, texts, missing) for piece in pieces]
    ).unify_dictionaries()


def _alike(
    piece: Piece, readings: Mapping[str, Reading], texts: set[str], missing: Missing
) -> pa.RecordBatch:
    """The rows with numbers as such, where their columns hold texts; times as texts, where some
    piece of theirs holds texts.
    """
    columns, aligned = Columns(piece, missing), []
    for name, reading in readings.items():
        column = piece.batch.column(name)
        if reading == "number":
            column = pa.array(columns.numbers(name))
        aligned.append(as_text(column) if reading == "time" and name in texts else column)
    return pa.RecordBatch.from_arrays(aligned, names=list(readings))


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _with_missing(column: pa.Array) -> pa.Array:
    """The column with one more value, for rows without a match."""
    if not pa.types.is_dictionary(column.type):
        return pa.concat_arrays([column, pa.nulls(1, column.type)])
    words = pa.concat_arrays([column.dictionary, pa.array([""], pa.string())])
    indices = pa.concat_arrays([column.indices, pa.array([len(column.dictionary)], pa.int32())])
    return pa.DictionaryArray.from_arrays(indices, words)


def _take(column: pa.Array, rows: np.ndarray) -> pa.Array:
    """Some rows; a dictionary keeps only the words that they use, so that a piece costs its own
    size.
    """
    if not pa.types.is_dictionary(column.type):
        return column.take(pa.array(rows))
    codes, inverse = np.unique(column.indices.to_numpy()[rows], return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(inverse.astype(np.int32)), column.dictionary.take(pa.array(codes))
    ).cast(TEXT)


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
            raise DataError(
                table.path, rule, "not one", "check `on`, and how both files write the key"
            )
        if table.unmatched:
            share = f"{table.unmatched:,} of {counted(table.rows, 'row')}"
            say(
                f"{table.path.name}: {share} have a {table.key} that it lacks; its columns are "
                "empty there"
            )
