"""Rows by the value of a column: to group and slice metrics by."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from automtl.data.store import Store
from automtl.errors import ConfigError
from automtl.strict import nearest

MISSING, UNKNOWN, OTHERS = "(missing)", "(missing or rare)", "(others)"
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
    kept, group = store.rows(split).kept, store.schema.group
    return np.asarray(kept[rows, store.schema.kept.index(group)]) if kept is not None and group else None


def slices(store: Store, split: str, rows: np.ndarray, column: str, most: int = 50) -> Slices:
    """The rows by a column: one that the data set keeps, or a feature of one id or of numbers (by quarters of the rows).

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
    categorical = {field.name: i for i, field in enumerate(schema.categorical) if not field.hash_buckets}
    if column in schema.kept and data.kept is not None:
        words = [MISSING, *store.kept_words(column)["word"].to_pylist()]
        return _largest(np.asarray(data.kept[rows, schema.kept.index(column)]), words, most)
    if column in categorical:
        words = [UNKNOWN, *store.vocabulary(column)["word"].to_pylist()]
        return _largest(np.asarray(data.ids[rows, categorical[column]]), words, most)
    if column in numeric:
        field = schema.numeric[numeric[column]]
        return _quarters(np.asarray(data.dense[rows, numeric[column]], np.float64) * field.std + field.mean, field.transform)
    known = [*schema.kept, *categorical, *numeric]
    rule = "must be a column that the data set keeps, or a feature of one id or of numbers"
    raise ConfigError("--by", rule, column, f"{nearest(column, known)}; or add it to `keep` of the data set")


def _largest(codes: np.ndarray, words: list[str], most: int) -> Slices:
    """The largest slices, largest first; the rest as one."""
    found, counts = np.unique(codes, return_counts=True)
    order = np.lexsort((found, -counts))
    kept = found[order] if len(found) <= most else found[order][: most - 1]
    place = np.full(len(words), len(kept))
    place[kept] = np.arange(len(kept))
    return Slices(place[codes], (*(words[code] for code in kept), *([OTHERS] if len(kept) < len(found) else [])))


def _quarters(values: np.ndarray, transform: str) -> Slices:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, QUARTERS + 1)[1:-1])) if len(values) else np.zeros(0)
    undo = {"log1p": np.expm1}.get(transform, lambda v: v)
    marks = ["-inf", *(f"{undo(edge):.6g}" for edge in edges), "inf"]
    unit = " (normal score)" if transform == "quantile" else ""
    names = tuple(f"{low} to {high}{unit}" for low, high in pairwise(marks))
    return Slices(np.searchsorted(edges, values, side="right"), names)
