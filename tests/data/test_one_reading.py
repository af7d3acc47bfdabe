"""The same table, whatever it is written as: CSV, Parquet, Arrow, pandas, polars, dicts; prepared
and served, one reading of each value.

The generator draws only what every form can hold: no line ends (CSV), no empty text beside a
missing one, no whole number of which a pandas column with holes would lose a digit, unless it is an
object column.
"""

import csv
import datetime
import importlib.util
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automtl.data.prepare import prepare
from automtl.data.prepare._digest import Digester
from automtl.data.prepare.frames import as_table
from automtl.data.prepare.new_rows import Server
from automtl.data.prepare.rows import RowReader
from automtl.data.raw.sources import find_sources
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.store import Store
from automtl.data.values.forms import MISSING_IDS, MISSING_NUMBERS
from automtl.errors import DataError
from automtl.exports.encode import Encoder
from automtl.exports.encoding import write_encoding
from automtl.exports.network import arrays
from automtl.files import StagedFolder
from automtl.strict import build

ROWS = 60
Pools = dict[str, list[Any]]
Drawn = tuple[Pools, dict[str, Any], int, str]  # values, split, seed, a form beside CSV and Arrow
POLARS = importlib.util.find_spec("polars") is not None

SMALL, LARGE = st.integers(-999, 9999), st.integers(-(2**63), 2**63 - 1)
CODES = st.integers(1, 6).flatmap(
    lambda size: st.lists(
        st.text("0123456789", min_size=size, max_size=size), min_size=2, max_size=6
    )
)
LETTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="|\x85")
ODD = st.sampled_from(
    [
        "NA",
        "?",
        "None",
        "True",
        "FALSE",
        "007",
        "1.10",
        "1e5",
        "7.0",
        "7",
        "a b",
        "é",
        "2023-11-14 00:00",
        "\u00a0x ",
    ]
)
TEXTS = st.one_of(ODD, st.text(LETTERS, min_size=1, max_size=8)).filter(
    lambda text: text.strip() not in MISSING_IDS
)
FLOATS = st.one_of(
    st.integers(-400, 4000).map(lambda n: n / 4),
    st.floats(1e-7, 1e15),
    st.integers(0, 99).map(float),
)
DAYS = st.dates(datetime.date(1970, 1, 2), datetime.date(2037, 1, 1))
MOMENTS = st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2037, 1, 1)).map(
    lambda time: time.replace(microsecond=0)
)
HOLES = st.booleans()


def pool(
    values: st.SearchStrategy[Any], least: int = 2, most: int = 6
) -> st.SearchStrategy[list[Any]]:
    return st.tuples(st.lists(values, min_size=least, max_size=most, unique_by=repr), HOLES).map(
        lambda drawn: drawn[0] + [None] * drawn[1]
    )


@st.composite
def pools(draw: st.DrawFn) -> Pools:
    """The values of each column, None where some rows have none."""
    large = draw(st.booleans())
    return {
        "user": draw(st.lists(LARGE, min_size=2, max_size=6) if large else pool(SMALL)),
        "item": draw(pool(SMALL, 3, 9)),
        "zip": draw(st.tuples(CODES, HOLES).map(lambda drawn: drawn[0] + [None] * drawn[1])),
        "flag": draw(st.sampled_from([[True, False], [True, False, None], [True], [False, None]])),
        "size": draw(pool(FLOATS)),
        "word": draw(pool(TEXTS)),
        "day": draw(st.one_of(pool(DAYS), pool(MOMENTS))),
        "price": draw(pool(FLOATS)),
        "age": draw(pool(SMALL)),
        "tags": draw(
            st.lists(st.one_of(st.lists(TEXTS, max_size=3), st.none()), min_size=2, max_size=5)
        ),
        "seen": draw(st.lists(st.lists(SMALL, max_size=4), min_size=2, max_size=6)),
        "click": draw(st.sampled_from([[0, 1], [True, False], [0, 1, None], [True, False, None]])),
        "kind": draw(
            st.one_of(
                pool(SMALL, 2, 3), st.sampled_from([["a", "b"], ["01", "02", None], [True, False]])
            )
        ),
        "spend": draw(pool(FLOATS)),
        "time": draw(st.sampled_from([list(range(1_600_000_000, 1_600_000_050)), MANY_TIMES])),
    }


MANY_TIMES = [datetime.datetime(2023, 11, 14) + datetime.timedelta(hours=7 * i) for i in range(50)]
ID = ("user", "item", "zip", "flag", "size", "word", "day")
SETTINGS: dict[str, Any] = {
    "name": "toy",
    "features": [
        *({"name": name, "kind": "categorical"} for name in ID),
        {"name": "price", "kind": "numeric", "missing": "indicator"},
        {"name": "age", "kind": "numeric"},
        {"name": "tags", "kind": "multi", "separator": "|"},
        {
            "name": "seen",
            "kind": "sequence",
            "separator": "|",
            "max_length": 3,
            "share_embedding": "item",
        },
    ],
    "tasks": [
        {"name": "click", "label": "click"},
        {"name": "kind", "label": "kind", "kind": "multiclass", "where": "click == 1"},
        {"name": "spend", "label": "spend", "kind": "regression", "where": "flag != 'TRUE'"},
    ],
    "keep": ["zip", "flag", "size"],
    "allow_leak": [
        "user",
        "item",
        "zip",
        "flag",
        "size",
        "word",
        "day",
        "price",
        "age",
        "tags",
        "seen",
    ],
}
SPLITS = [
    {"kind": "random", "train": 0.5, "validation": 0.25, "test": 0.25},
    {"kind": "by_user", "column": "item", "train": 0.5, "validation": 0.25, "test": 0.25},
    {"kind": "time", "column": "time", "train": 0.5, "validation": 0.25, "test": 0.25},
]


def rows_of(values: Pools, seed: int) -> dict[str, list[Any]]:
    """Columns of rows that draw from the pools."""
    g = np.random.default_rng(seed)
    return {
        name: [some[i] for i in g.integers(0, len(some), ROWS)] for name, some in values.items()
    }


def as_numpy(columns: dict[str, list[Any]]) -> pd.DataFrame:
    """As pandas reads a CSV: whole numbers and truth with holes are floats and objects."""
    return pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})


def as_objects(columns: dict[str, list[Any]]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def as_nullable(columns: dict[str, list[Any]]) -> pd.DataFrame:
    kinds = {int: "Int64", bool: "boolean", str: "string", float: "Float64"}
    found = {}
    for name, values in columns.items():
        kind = {kinds.get(type(value), "object") for value in values if value is not None}
        found[name] = pd.Series(values, dtype=kind.pop() if len(kind) == 1 else object)
    return pd.DataFrame(found)


def as_categories(columns: dict[str, list[Any]]) -> pd.DataFrame:
    return as_objects(columns).astype(dict.fromkeys((*ID, "kind"), "category"))


def as_arrow(columns: dict[str, list[Any]]) -> pa.Table:
    """Types that another program may have chosen."""
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    changed = {
        "word": pa.large_string(),
        "zip": pa.string_view(),
        "day": None,
        "age": pa.int16(),
        "item": pa.float32(),
        "kind": None,
    }
    for name, kind in changed.items():
        column = table[name].cast(kind) if kind else table[name].dictionary_encode()
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def as_dicts(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [{name: values[i] for name, values in columns.items()} for i in range(ROWS)]


def as_polars(columns: dict[str, list[Any]]) -> Any:
    import polars

    return polars.from_arrow(pa.table({name: pa.array(values) for name, values in columns.items()}))


FORMS: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "numpy": as_numpy,
    "objects": as_objects,
    "nullable": as_nullable,
    "categories": as_categories,
    "arrow": as_arrow,
    "dicts": as_dicts,
    "columns": dict,
    **({"polars": as_polars} if POLARS else {}),
}


def joined(values: list[Any]) -> list[Any]:
    return ["" if value is None else "|".join(map(str, value)) for value in values]


def pandas_csv(columns: dict[str, list[Any]]) -> str:
    """As a DataFrame writes itself."""
    return as_numpy(
        {**columns, "tags": joined(columns["tags"]), "seen": joined(columns["seen"])}
    ).to_csv(index=False)


def wild_csv(columns: dict[str, list[Any]], seed: int) -> str:
    """As several hands write it: blanks, signs, `.0`, TRUE, all words for a missing value."""
    g = np.random.default_rng(seed)

    def cell(name: str, value: Any) -> str:
        if value is None:
            words = MISSING_IDS if name in (*ID, "tags") else MISSING_NUMBERS
            return str(g.choice([*words, " "]))
        if isinstance(value, list):
            return " | ".join(str(one) if isinstance(one, str) else cell("", one) for one in value)
        if isinstance(value, bool):
            return str(g.choice([f"{value}", f"{value}".upper(), f" {value}".lower()]))
        if isinstance(value, int) and name != "time":
            return str(g.choice([f"{value}", f"{value}.0", f" {value}. ", f"{value:+}"]))
        return f"{value}"

    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(columns)
    writer.writerows(
        [cell(name, values[i]) for name, values in columns.items()] for i in range(ROWS)
    )
    return stream.getvalue()


def outcome(config: DatasetConfig, folder: Path) -> Store | str:
    """The store, or why there is none: an empty part, one label only."""
    try:
        return prepare(config, data_dir=folder / "data")
    except DataError as error:
        return error.rule


def digest(config: DatasetConfig, path: Path) -> dict[str, list[Any]]:
    """What is learnt of the rows before any of them is known from another; everything after follows
    from it alone.
    """
    digester = Digester(config)
    read = RowReader(config, find_sources(config), digester.readings, lambda line: None)
    (piece,) = read([path])
    return digester(piece, "train").to_pydict()


def contents(store: Store) -> dict[str, Any]:
    """All that a store says, as plain bytes."""
    found: dict[str, Any] = {
        "schema": store.schema,
        "rows": store.summary["rows"],
        "tasks": store.summary["tasks"],
    }
    found |= {name: store.vocabulary(name).to_pydict() for name in store.schema.owners}
    found |= {f"kept {name}": store.kept_words(name).to_pydict() for name in store.schema.kept}
    for split in ("train", "validation", "test"):
        rows = store.rows(split)
        for name, array in {
            "ids": rows.ids,
            "dense": rows.dense,
            "labels": rows.labels,
            "kept": rows.kept,
        }.items():
            found[f"{split} {name}"] = np.asarray(array).tobytes()
        found |= {
            f"{split} list {i}": (lists.values.tobytes(), lists.offsets.tobytes())
            for i, lists in enumerate(rows.lists)
        }
    return found | {"alpha": store.alpha_index.tobytes()}


def check(drawn: Drawn, folder: Path, *, every: bool) -> None:
    """One table in every form, all prepared; else in some, where one that is digested as another
    was is taken for it.
    """
    values, split, seed, other = drawn
    forms = tuple(FORMS) if every else tuple({"arrow", other})
    whole = (
        {"item": [item for item in values["item"] if item is not None]}
        if split["kind"] == "by_user"
        else {}
    )
    columns = rows_of(values | whole, seed)
    configs = {}
    for name, text in (("csv", pandas_csv(columns)), ("wild", wild_csv(columns, seed))):
        configs[name] = written(folder / name, "rows.csv", text.encode(), split)
    for name in forms:
        stream = io.BytesIO()
        pq.write_table(as_table(FORMS[name](columns)), stream)
        configs[name] = written(folder / name, "rows.parquet", stream.getvalue(), split)
    store, digests = outcome(configs["csv"], folder), list[dict[str, list[Any]]]()
    for name, config in configs.items():
        mine = {} if every else digest(config, Path(config.files.train[0]))
        if every or mine not in digests:
            digests.append(mine)
            other_store = store if name == "csv" else outcome(config, folder)
            if isinstance(store, str) or isinstance(other_store, str):
                assert other_store == store, name
                continue
            expected = contents(store)
            for what, content in contents(other_store).items():
                assert content == expected[what], f"{name}: {what}"
    if isinstance(store, Store):
        served(store, configs["csv"], rows_of(values, seed + 1), folder, forms)


def written(folder: Path, name: str, content: bytes, split: dict[str, Any]) -> DatasetConfig:
    folder.mkdir()
    (folder / name).write_bytes(content)
    return build(
        DatasetConfig, {**SETTINGS, "files": {"train": name}, "split": split}, "toy"
    ).in_folder(folder)


def served(
    store: Store,
    config: DatasetConfig,
    columns: dict[str, list[Any]],
    folder: Path,
    forms: Sequence[str],
) -> None:
    """New rows in every form: the same arrays, the exported encoder's among them."""
    server = Server(store, config, say=lambda line: None)
    found = {}
    for name, text in (("csv", pandas_csv(columns)), ("wild", wild_csv(columns, ROWS))):
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
        found[name] = list(server.files(folder / f"{name}.csv", ()))
    found |= {name: list(server.table(as_table(FORMS[name](columns)), ())) for name in forms}
    answers = {
        name: arrays(part.rows, store.schema, np.arange(ROWS)) for name, (part,) in found.items()
    }
    with StagedFolder(folder / "export") as staged:
        write_encoding(staged, store, config)
    answers["encoder"] = Encoder(folder / "export")(as_dicts(columns))
    expected = answers.pop("csv")
    for name, answer in answers.items():
        for field, array in expected.items():
            np.testing.assert_array_equal(answer[field], array, err_msg=f"{name}: {field}")


def tables(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def wrap(test: Callable[..., None]) -> Callable[..., None]:
        given_drawn = given(
            drawn=st.tuples(
                pools(),
                st.sampled_from(SPLITS),
                st.integers(0, 999),
                st.sampled_from(sorted(FORMS)),
            )
        )
        return settings(
            max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck)
        )(given_drawn(test))

    return wrap


@tables(200)
def test_one_table_in_several_forms(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(drawn, tmp_path_factory.mktemp("forms"), every=False)


@pytest.mark.slow
@tables(5000)
def test_many_tables_in_every_form(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(drawn, tmp_path_factory.mktemp("forms"), every=True)
