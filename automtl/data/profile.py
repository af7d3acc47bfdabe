"""A look at a table that nothing is known of: separator, header, and what each column seems to be.

Only the first rows are looked at; what is said of them is a guess for a person to check.
"""

import csv as csv_module
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from automtl.data.dataset import Csv
from automtl.data.hashing import hash_words, share
from automtl.data.leakage import FOLDS, MIN_ROWS, one_feature_auc
from automtl.data.remote import input_stream
from automtl.data.sources import is_delimited, open_table
from automtl.data.words import as_text
from automtl.errors import DataError

LOOK_ROWS = 200_000
HEAD_BYTES = 65536
SEPARATORS = (",", "\t", ";", "|")
LABEL = re.compile(
    r"(^|_)(label|y|click|clk|is|like|buy|bought|purchase|conv|conversion|target|view|follow|share|forward|cart|fav|rating)", re.IGNORECASE
)
AFTERWARDS = re.compile(r"(stay|play|watch|dwell|view|read)_?(time|ms|sec|duration)|_(cnt|count|ctr|cvr)$", re.IGNORECASE)
EARLIEST, LATEST, UNITS = 631_152_000, 4_102_444_800, (1, 1000, 1_000_000)  # 1990 to 2100, in seconds; and what else they may be in
ID = re.compile(r"(^|_)(id|uid|iid|code|no)$|[a-z]Id$", re.IGNORECASE)
FEW, BINS = 100, 256
SUSPECT_AUC = 0.9
Kind = Literal["categorical", "numeric", "multi", "time", "label", "constant"]


@dataclass(frozen=True)
class Column:
    """What a column seems to be.

    Args:
        name: of the column.
        kind: what it seems to be; a label has two values.
        distinct: values among the rows looked at.
        missing: share of them without a value.
        example: one value.
        words: of a label: its two values.
        leaks: labels that it alone tells, with the out-of-fold AUC.
    """

    name: str
    kind: Kind
    distinct: int
    missing: float
    example: str
    words: tuple[str, ...] = ()
    leaks: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Profile:
    """A table: how it is written, and its columns."""

    path: Path
    csv: Csv
    rows: int
    columns: tuple[Column, ...]


def look(path: Path) -> Profile:
    """Look at the first rows of a CSV or Parquet file.

    Raises:
        DataError: it is no table, or has no rows.
    """
    csv = sniff(path) if is_delimited(path) else Csv()
    batches, rows = [], 0
    for batch in open_table(path, csv):
        batches.append(batch)
        rows += batch.num_rows
        if rows >= LOOK_ROWS:
            break
    if not rows:
        raise DataError(path, "must have rows", "none", "restore the file")
    table = pa.Table.from_batches(batches)
    if twice := [name for name, count in Counter(table.column_names).items() if count > 1]:
        raise DataError(path, "must have each column once", f"'{twice[0]}' twice", "rename or remove the others")
    columns = []
    for name in table.column_names:
        try:
            columns.append(_column(name, table[name].combine_chunks(), last=name == table.column_names[-1]))
        except pa.ArrowException as error:
            got = " ".join(str(error).split())[:200]
            raise DataError(f"{path}: column '{name}'", "must hold numbers, times, texts or lists", got, "leave it out") from error
    return Profile(path, csv, rows, tuple(_with_leaks(columns, table)))


def sniff(path: Path) -> Csv:
    """The separator, and names c1, c2, ... where the first line is a row like the others.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    try:
        with input_stream(path) as stream:
            head = stream.read(HEAD_BYTES).decode("utf-8", errors="replace")
    except (pa.ArrowException, OSError) as error:
        raise DataError(path, "must be readable", error) from error
    lines = [line for line in head.splitlines()[:50] if line]
    if not lines:
        raise DataError(path, "must have rows", "an empty file", "restore it")
    separator = max(SEPARATORS, key=lambda s: (min(line.count(s) for line in lines[:-1] or lines), -SEPARATORS.index(s)))
    first = next(csv_module.reader(lines[:1], delimiter=separator))
    names = [word.strip() for word in first]
    is_header = len(set(names)) == len(names) and all(names) and not any(_is_number(word) for word in names)
    return Csv(delimiter=separator, columns=() if is_header else tuple(f"c{i}" for i in range(1, len(names) + 1)))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _column(name: str, column: pa.Array, last: bool) -> Column:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return Column(name, "multi", 0, column.null_count / len(column), str(column[0].as_py())[:60])
    texts = as_text(column)
    words = [word for word in texts.dictionary.unique().to_pylist() if word.strip()]
    lost = sum(1 for word in texts.dictionary.take(texts.indices).to_pylist() if not word.strip()) / len(texts)
    example = words[0][:60] if words else ""
    kind = _kind(name, column, words, last)
    return Column(name, kind, len(words), lost, example, tuple(sorted(words)) if kind == "label" else ())


def _kind(name: str, column: pa.Array, words: Sequence[str], last: bool) -> Kind:
    whole, number = pa.types.is_integer(column.type), pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if len(words) < 2:
        return "constant"
    if pa.types.is_temporal(column.type) or (whole and _is_epoch(words) and len(words) > FEW):
        return "time"
    if len(words) == 2 and ((set(words) == {"0", "1"} and LABEL.search(name)) or last):
        return "label"
    if number:
        return "categorical" if ID.search(name) or (whole and len(words) <= FEW) else "numeric"
    return "multi" if separator_of(words) else "categorical"


def _is_epoch(words: Sequence[str]) -> bool:
    """Whether all are seconds, milliseconds or microseconds of the years 1990 to 2100."""
    low, high = min(map(int, words)), max(map(int, words))
    return any(EARLIEST * unit <= low and high <= LATEST * unit for unit in UNITS)


def separator_of(words: Sequence[str]) -> str | None:
    """The sign between the ids of a list, where the words look like lists: short ids that come again."""
    for sign in ("|", "^", ";", ",", " "):
        parts = [part.strip() for word in words[:2000] for part in word.split(sign)]
        several = sum(sign in word.strip() for word in words[:2000])
        plain = sign not in (" ", ",") or all(part.isalnum() for part in parts if part)  # a sentence has blanks and commas, too
        if several > len(words[:2000]) / 5 and len(set(parts)) < 0.75 * len(parts) and max(map(len, parts)) <= 24 and plain:
            return sign
    return None


def _with_leaks(columns: Sequence[Column], table: pa.Table) -> list[Column]:
    """The columns, each with the labels that it alone tells."""
    rows = np.arange(table.num_rows, dtype=np.uint64)
    folds = (share(rows, 0, "leak fold") * FOLDS).astype(np.int64)
    labels = {c.name: _codes(table[c.name]).astype(np.float64) for c in columns if c.kind == "label"}
    found = []
    for column in columns:
        told = []
        for name, label in labels.items():
            if name != column.name and column.kind not in ("multi", "constant", "time"):
                auc = one_feature_auc(_values(column, table[column.name]), label - label.min(), folds)
                told += [(name, auc)] if auc is not None and auc > SUSPECT_AUC else []
        found.append(Column(**{**column.__dict__, "leaks": tuple(told)}))
    return found


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    texts = as_text(column.combine_chunks())
    places: np.ndarray = np.unique(hash_words(texts.dictionary), return_inverse=True)[1]
    return np.asarray(places[texts.indices.to_numpy()])


def _values(column: Column, values: pa.ChunkedArray) -> np.ndarray:
    if column.kind != "numeric":
        return _codes(values)
    numbers = pd.Series(values.to_numpy(zero_copy_only=False)).rank(pct=True).fillna(0)
    return np.asarray((numbers * min(BINS, len(numbers) // (2 * MIN_ROWS))).astype(np.int64))
