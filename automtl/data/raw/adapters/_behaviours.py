"""Logs of one action per line -> one row per user and item, with a label per kind of action.

IJCAI-15 (`user_log_format1.csv`, with a header) and UserBehavior-2017 (`UserBehavior.csv`,
headerless). Users who bought few different items, and items bought by few different users, are left
out as the AutoMTL paper has it (section 4.1.1); counted over the whole log, once. Two passes: who
bought what, then the rows of those who stay, so that memory is that of the rows kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.raw.sources import BATCH_ROWS, Piece, Reading, convert, read_pieces
from automtl.data.spec.dataset import Csv
from automtl.data.values.hashing import hash_words
from automtl.data.values.text_columns import spread
from automtl.errors import DataError
from automtl.strict import nearest

COMPACT_ROWS = 4_000_000
Say = Callable[[str], None]


@dataclass(frozen=True)
class Log:
    """A log's layout.

    Args:
        user, item: columns of the two ids.
        others: further columns that belong to the item.
        action: the column of the kind of action.
        actions: label -> the word that stands for it in `action`; `buy` is the one that counts for
            the thresholds.
        buy: the label of a purchase.
        min_items: of different items that a user bought.
        min_users: of different users that bought an item.
        columns: names, where the files have no header.
    """

    user: str
    item: str
    others: tuple[str, ...]
    action: str
    actions: Mapping[str, str]
    buy: str
    min_items: int
    min_users: int
    columns: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that a row is grouped by."""
        return (self.user, self.item, *self.others)


IJCAI15 = Log(
    user="user_id",
    item="item_id",
    others=("cat_id", "seller_id", "brand_id"),
    action="action_type",
    actions={"click": "0", "cart": "1", "purchase": "2", "favourite": "3"},
    buy="purchase",
    min_items=20,
    min_users=10,
)
USERBEHAVIOR = Log(
    user="user_id",
    item="item_id",
    others=("category_id",),
    action="behavior",
    actions={"click": "pv", "buy": "buy", "cart": "cart", "favourite": "fav"},
    buy="buy",
    min_items=10,
    min_users=10,
    columns=("user_id", "item_id", "category_id", "behavior", "timestamp"),
)


def _read(
    log: Log, paths: Sequence[Path], readings: Mapping[str, Reading], csv: Csv, say: Say
) -> Iterator[Piece]:
    """One row per user and item of a log."""
    for name in readings:
        if name not in (known := (*log.keys, *log.actions)):
            raise DataError(
                f"column '{name}'", "must be one of the data set's", name, nearest(name, known)
            )
    options = Csv(columns=log.columns)
    users, items = _those_who_stay(log, _bought(log, paths, options), say)
    rows = _Grouped(log)
    seen = 0
    stay = 0
    wanted: dict[str, Reading] = dict.fromkeys((*log.keys, log.action), "text")
    for piece in read_pieces(paths, wanted, options):
        staying = _known(piece.batch.column(log.user), users) & _known(
            piece.batch.column(log.item), items
        )
        rows.add(piece.batch.filter(pa.array(staying)), _actions(log, piece)[staying])
        seen, stay = seen + len(staying), stay + int(staying.sum())
    table = rows.table()
    say(
        f"{stay:,} of {seen:,} lines stay; {table.num_rows:,} rows of one {log.user} and one "
        f"{log.item}"
    )
    first = 1
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        columns = [
            convert(batch.column(name), reading, paths[0], name)
            for name, reading in readings.items()
        ]
        yield Piece(paths[0], first, pa.RecordBatch.from_arrays(columns, names=list(readings)))
        first += batch.num_rows


read_ijcai15 = partial(_read, IJCAI15)
read_userbehavior = partial(_read, USERBEHAVIOR)


def _bought(log: Log, paths: Sequence[Path], options: Csv) -> pa.Table:
    """Each user with each item bought, once."""
    wanted: dict[str, Reading] = dict.fromkeys((log.user, log.item, log.action), "text")
    parts: list[pa.Table] = []
    for piece in read_pieces(paths, wanted, options):
        is_purchase = pc.equal(
            piece.batch.column(log.action).cast(pa.string()), log.actions[log.buy]
        )
        pairs = [
            piece.batch.column(name).filter(is_purchase).cast(pa.string())
            for name in (log.user, log.item)
        ]
        parts.append(pa.table(pairs, names=[log.user, log.item]))
    if not parts:
        raise DataError(paths[0], "must have rows", "none", "restore the file")
    return pa.concat_tables(parts).group_by([log.user, log.item]).aggregate([])


def _those_who_stay(
    log: Log, bought: pa.Table, say: Say
) -> tuple["pd.Index[int]", "pd.Index[int]"]:
    """Hashes of the users and items that reach the thresholds."""
    hashes = []
    for name, other, least in (
        (log.user, log.item, log.min_items),
        (log.item, log.user, log.min_users),
    ):
        counts = bought.group_by(name).aggregate([(other, "count")])
        words = counts.filter(pc.greater_equal(counts[f"{other}_count"], least))[name]
        say(
            f"{name}: {len(words):,} of {counts.num_rows:,} with purchases have at least "
            f"{least} different {other}"
        )
        hashes.append(
            pd.Index(
                hash_words(
                    words.combine_chunks() if words.num_chunks else pa.array([], pa.string())
                )
            )
        )
    return hashes[0], hashes[1]


def _known(column: pa.DictionaryArray, index: "pd.Index[int]") -> np.ndarray:
    return spread(index.get_indexer(pd.Index(hash_words(column.dictionary))) >= 0, column)


def _actions(log: Log, piece: Piece) -> np.ndarray:
    """Each line's action as its place in `log.actions`."""
    column = piece.batch.column(log.action)
    places = {word: i for i, word in enumerate(log.actions.values())}
    for word in column.dictionary.to_pylist():
        if word not in places:
            row = piece.first_row + column.to_pylist().index(word)
            raise DataError(
                f"{piece.path}, row {row}, column '{log.action}'",
                f"must be one of {', '.join(places)}",
                repr(word),
                "mend it",
            )
    return spread(
        np.array([places[word] for word in column.dictionary.to_pylist()], np.int8), column
    )


class _Grouped:
    """Rows by their keys, with a flag per action."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._parts = list[pa.Table]()
        self._rows = 0

    def add(self, batch: pa.RecordBatch, actions: np.ndarray) -> None:
        keys = {name: batch.column(name).cast(pa.string()) for name in self._log.keys}
        flags = {
            name: pa.array((actions == i).astype(np.int8))
            for i, name in enumerate(self._log.actions)
        }
        self._parts.append(pa.table(keys | flags))
        self._rows += batch.num_rows
        if self._rows > COMPACT_ROWS:
            self._parts = [self.table()]
            self._rows = 0  # the next compaction comes after as many new lines

    def table(self) -> pa.Table:
        names = list(self._log.actions)
        grouped = (
            pa.concat_tables(self._parts)
            .group_by(list(self._log.keys))
            .aggregate([(name, "max") for name in names])
        )
        return grouped.select([*self._log.keys, *(f"{n}_max" for n in names)]).rename_columns(
            [*self._log.keys, *names]
        )
