"""Rows by the value of a column, or by whether training had it: to group and slice metrics by."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from automtl.data.store._store import Store
from automtl.data.store.unknown import unknown_rows
from automtl.errors import ConfigError
from automtl.strict import nearest

MISSING = "(missing)"
UNKNOWN = "(missing or rare)"
OTHERS = "(others)"
KNOWN_UNKNOWN = ("known", "unknown")
QUARTERS = 4


class Slices(NamedTuple):
    """The slice of each row.

    Attributes:
        codes: (n,) small whole numbers.
        names: of the codes.
    """

    codes: np.ndarray
    names: tuple[str, ...]


def groups(store: Store, split: str, rows: np.ndarray) -> np.ndarray | None:
    """(n,) the group of each row that GAUC averages over; None where the data set names none."""
    codes, group = store.rows(split).kept, store.schema.group
    return (
        np.asarray(codes[rows, store.schema.kept.index(group)])
        if codes is not None and group
        else None
    )


def slices(store: Store, split: str, rows: np.ndarray, column: str, most: int = 50) -> Slices:
    """The rows by a column: one that the data set keeps, or a feature of one id or of numbers (by
    quarters of the rows).

    Args:
        store: the data.
        split: whose rows.
        rows: their numbers.
        column: its name.
        most: slices; the smaller ones beyond are one.

    Raises:
        ConfigError: there is no such column.
    """
    schema, data = store.schema, store.rows(split)
    numeric = {field.name: i for i, field in enumerate(schema.numeric)}
    categorical = {
        field.name: i for i, field in enumerate(schema.categorical) if not field.hash_buckets
    }
    if column in schema.kept and data.kept is not None:
        words = [MISSING, *store.kept_words(column)["word"].to_pylist()]
        return _largest(np.asarray(data.kept[rows, schema.kept.index(column)]), words, most)
    if column in categorical:
        words = [UNKNOWN, *store.vocabulary(column)["word"].to_pylist()]
        return _largest(np.asarray(data.ids[rows, categorical[column]]), words, most)
    if column in numeric:
        field = schema.numeric[numeric[column]]
        return _quarters(
            np.asarray(data.dense[rows, numeric[column]], np.float64) * field.std + field.mean,
            field.transform,
        )
    known = [*schema.kept, *categorical, *numeric]
    rule = "must be a column that the data set keeps, or a feature of one id or of numbers"
    raise ConfigError(
        "--by", rule, column, f"{nearest(column, known)}; or add it to `keep` of the data set"
    )


def known_slices(store: Store, split: str, rows: np.ndarray) -> dict[str, Slices]:
    """The rows by whether training had their ids: per column with unknown ones among them, those
    with the most first.

    The columns are the fields of ids and the one that GAUC groups by. An id is unknown where the
    model has no row of its own for it: it is missing, new or rare; of a list where none of its ids
    is known. Hashed ids have no vocabulary, so of a field of them only the missing ones are
    unknown.

    Args:
        store: the data.
        split: whose rows.
        rows: their numbers.
    """
    schema, data = store.schema, store.rows(split)
    unknown = {
        name: there[rows] for name, there in unknown_rows(schema, data.ids, data.lists).items()
    }
    counted = [field.name for field in schema.id_fields if not field.hash_buckets]
    codes, trained = groups(store, split, rows), store.rows("train").kept
    if codes is not None and trained is not None and schema.group not in counted:
        seen = np.unique(trained[:, schema.kept.index(schema.group)])
        unknown[schema.group] = ~np.isin(codes, seen[seen > 0])
    most_first = sorted(unknown, key=lambda name: -int(unknown[name].sum()))
    return {
        name: Slices(unknown[name].astype(np.int64), KNOWN_UNKNOWN)
        for name in most_first
        if unknown[name].any()
    }


def _largest(codes: np.ndarray, words: list[str], most: int) -> Slices:
    """The largest slices, largest first; the rest as one."""
    distinct, counts = np.unique(codes, return_counts=True)
    order = np.lexsort((distinct, -counts))
    shown = distinct[order] if len(distinct) <= most else distinct[order][: most - 1]
    place = np.full(len(words), len(shown))
    place[shown] = np.arange(len(shown))
    return Slices(
        place[codes],
        (*(words[code] for code in shown), *([OTHERS] if len(shown) < len(distinct) else [])),
    )


def _quarters(values: np.ndarray, transform: str) -> Slices:
    edges = (
        np.unique(np.quantile(values, np.linspace(0, 1, QUARTERS + 1)[1:-1]))
        if len(values)
        else np.zeros(0)
    )
    undo = {"log1p": np.expm1}.get(transform, lambda v: v)
    marks = ["-inf", *(f"{undo(edge):.6g}" for edge in edges), "inf"]
    unit = " (normal score)" if transform == "quantile" else ""
    names = tuple(f"{low} to {high}{unit}" for low, high in pairwise(marks))
    return Slices(np.searchsorted(edges, values, side="right"), names)
