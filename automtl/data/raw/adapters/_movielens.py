"""MovieLens in its layouts: RecBole's ml-100k.inter/.user/.item, u.data/.user/.item,
ratings/users/movies.dat, ratings/movies.csv.

Each rating is a row with `watched` 1; as many movies that the user did not rate, drawn evenly with
a fixed seed, are rows with `watched` 0 and no rating: the two tasks of the DSelect-k paper. What a
layout lacks (20M and later: all about users) is empty.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.raw.sources import BATCH_ROWS, Piece, Reading, convert
from automtl.data.spec.dataset import Csv
from automtl.data.values.patterns import LIST_SEPARATOR
from automtl.errors import DataError
from automtl.strict import nearest

SEED = 0
# of drawing again what hit a known movie, before the few that are left are drawn from the unknown
# ones
ROUNDS = 20
GENRES_100K = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy "
    "Film-Noir Horror Musical Mystery Romance Sci-Fi "
    "Thriller War Western"
).split()
USER, ITEM = ("age", "gender", "occupation", "zip_code"), ("release_year", "genres")
COLUMNS = ("user_id", "item_id", "watched", "rating", *USER, *ITEM)
YEAR = r"\((\d{4})\)\s*$"


@dataclass(frozen=True)
class Layout:
    """Three files of one layout: their names, separators and columns; None where the first line has
    the names.
    """

    ratings: str
    users: str | None
    items: str
    separator: str
    columns: tuple[tuple[str, ...] | None, tuple[str, ...] | None, tuple[str, ...] | None]


LAYOUTS = (
    Layout("ml-100k.inter", "ml-100k.user", "ml-100k.item", "\t", (None, None, None)),
    Layout(
        "u.data",
        "u.user",
        "u.item",
        "|",
        (
            ("user_id", "item_id", "rating", "timestamp"),
            ("user_id", "age", "gender", "occupation", "zip_code"),
            ("item_id", "title", "date", "video_date", "url", *GENRES_100K),
        ),
    ),
    Layout(
        "ratings.dat",
        "users.dat",
        "movies.dat",
        "::",
        (
            ("user_id", "item_id", "rating", "timestamp"),
            ("user_id", "gender", "age", "occupation", "zip_code"),
            ("item_id", "title", "genres"),
        ),
    ),
    Layout("ratings.csv", None, "movies.csv", ",", (None, None, None)),
)
NAMES = {"userId": "user_id", "movieId": "item_id", "class": "genres"}


def read_movielens(
    paths: Sequence[Path], readings: Mapping[str, Reading], csv: Csv, say: Callable[[str], None]
) -> Iterator[Piece]:
    """Ratings and drawn movies without one.

    Raises:
        DataError: an unknown column is asked for, or no whole layout is there.
    """
    for name in readings:
        if name not in COLUMNS:
            raise DataError(
                f"movielens: column '{name}'",
                "must be one of the data set's",
                name,
                nearest(name, COLUMNS),
            )
    by_name = {path.name.removesuffix(".gz"): path for path in paths}
    layout = next((one for one in LAYOUTS if one.ratings in by_name and one.items in by_name), None)
    if layout is None:
        rule = f"must hold {' or '.join(f'{one.ratings} with {one.items}' for one in LAYOUTS)}"
        raise DataError(
            paths[0].parent, rule, ", ".join(sorted(by_name)), "bring the files of one layout"
        )
    ratings = _table(
        by_name[layout.ratings],
        "\t" if layout.ratings == "u.data" else layout.separator,
        layout.columns[0],
    )
    users = (
        _table(by_name[layout.users], layout.separator, layout.columns[1])
        if layout.users in by_name
        else None
    )
    items = _items(_table(by_name[layout.items], layout.separator, layout.columns[2]))
    rows = _with_negatives(ratings, items["item_id"], say).merge(items, on="item_id", how="left")
    rows = rows if users is None else rows.merge(users, on="user_id", how="left")
    if lacking := [name for name in readings if name not in rows]:
        say(f"{layout.ratings}: this layout has no {', '.join(lacking)}; empty")
    for start in range(0, len(rows), BATCH_ROWS):
        part = rows.iloc[start : start + BATCH_ROWS]
        columns = [
            _column(part, name, reading, by_name[layout.ratings])
            for name, reading in readings.items()
        ]
        yield Piece(
            by_name[layout.ratings],
            start + 1,
            pa.RecordBatch.from_arrays(columns, names=list(readings)),
        )


def _table(path: Path, separator: str, columns: tuple[str, ...] | None) -> pd.DataFrame:
    """A file as texts; titles are not UTF-8 in the older layouts."""
    many = len(separator) > 1
    try:
        table = pd.read_csv(
            path,
            sep="\x01" if many else separator,
            names=["line"] if many else columns,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8"
            if path.suffix == ".csv" or path.name.startswith("ml-100k")
            else "latin-1",
            quoting=0 if separator == "," else 3,
        )
        if many:
            parts = table["line"].str.split(separator, expand=True)
            table = parts.set_axis(list(columns or ()), axis=1)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            path,
            "must be a readable table of MovieLens",
            " ".join(str(error).split())[:200],
            "restore the file",
        ) from error
    table.columns = [
        NAMES.get(name, name)
        for name in (str(column).partition(":")[0] for column in table.columns)
    ]
    if "rating" in table:
        ratings = table["rating"]
        legal = pd.to_numeric(ratings, errors="coerce").between(0, 5)
        if not legal.all():
            rule, got = "must have a rating from 0 to 5 in every row", str(ratings[~legal].iloc[0])
            raise DataError(path, rule, got[:80], "restore the file")
    return table


def _items(table: pd.DataFrame) -> pd.DataFrame:
    """item_id, release_year, genres as one text."""
    items = table[["item_id"]].copy()
    if "release_year" in table:
        items["release_year"] = table["release_year"]
    elif "date" in table:
        items["release_year"] = table["date"].str.extract(r"(\d{4})$")[0].fillna("")
    else:
        items["release_year"] = table["title"].str.extract(YEAR)[0].fillna("")
    if "unknown" in table:
        marks = table[GENRES_100K].to_numpy() == "1"
        items["genres"] = [
            LIST_SEPARATOR.join(name for name, mark in zip(GENRES_100K, row, strict=True) if mark)
            for row in marks
        ]
    else:
        items["genres"] = (
            table["genres"]
            .str.replace("(no genres listed)", "")
            .str.replace(r"[| ]", LIST_SEPARATOR, regex=True)
        )
    items["genres"] = LIST_SEPARATOR + items["genres"].astype(str)
    return items


def _with_negatives(
    ratings: pd.DataFrame, items: pd.Series, say: Callable[[str], None]
) -> pd.DataFrame:
    """The ratings, and per user as many movies without one; the same whatever the order of the
    file.
    """
    ratings = (
        ratings[["user_id", "item_id", "rating"]]
        .drop_duplicates(["user_id", "item_id"])
        .sort_values(["user_id", "item_id"])
    )
    users, user = np.unique(ratings["user_id"].to_numpy(object), return_inverse=True)
    names, place = np.unique(
        np.append(items.to_numpy(object), ratings["item_id"].to_numpy(object)), return_inverse=True
    )
    known = np.sort(user * len(names) + place[len(items) :])
    g = np.random.default_rng(SEED)
    drawn = known[:0]
    missing = user
    for _ in range(ROUNDS):
        pairs = np.unique(missing * len(names) + g.integers(0, len(names), len(missing)))
        drawn = np.append(drawn, np.setdiff1d(pairs, np.append(known, drawn), assume_unique=False))
        short = np.bincount(user, minlength=len(users)) - np.bincount(
            drawn // len(names), minlength=len(users)
        )
        missing = np.repeat(np.arange(len(users)), short)
    for u in np.unique(missing):  # a user who has rated most movies gets what there is
        pairs = u * len(names) + np.arange(len(names))
        free = np.setdiff1d(pairs, np.append(known, drawn))
        drawn = np.append(
            drawn, g.choice(free, min(len(free), int((missing == u).sum())), replace=False)
        )
    say(f"{len(ratings):,} ratings, and {len(drawn):,} movies drawn that their user has not rated")
    negatives = pd.DataFrame(
        {
            "user_id": users[drawn // len(names)],
            "item_id": names[drawn % len(names)],
            "rating": "",
            "watched": "0",
        }
    )
    return pd.concat([ratings.assign(watched="1"), negatives], ignore_index=True)


def _column(part: pd.DataFrame, name: str, reading: Reading, path: Path) -> pa.Array:
    texts = pa.array(
        part[name].fillna("").astype(str).tolist() if name in part else [""] * len(part),
        pa.string(),
    )
    if reading == "number":
        texts = pc.if_else(pc.equal(texts, ""), None, texts)
    return convert(texts.dictionary_encode() if reading == "text" else texts, reading, path, name)
