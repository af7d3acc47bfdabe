"""Readers of strangers' tables: whatever the bytes, columns come out or the error is the project's
own.
"""

import contextlib
import io

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from automtl.data.describe import draft
from automtl.data.raw.columns import Columns
from automtl.data.raw.sources import column_names, read_pieces
from automtl.data.spec.dataset import Csv
from automtl.data.spec.features import Multi
from automtl.data.values.list_columns import split_lists
from automtl.data.values.text_columns import strip_words
from automtl.errors import AutoMTLError
from automtl.strict import build, parse_yaml
from tests.fuzz.damage import NAMES, NUMBERS, damaged_bytes
from tests.fuzz.fuzz import fuzz

READINGS = {"user": "text", "price": "number", "day": "time", "tags": "list"}
DELIMITERS = [",", ";", "\t", "|"]
CELLS = (
    st.sampled_from(
        [
            "",
            "1",
            "0",
            "-2",
            "1.0",
            "nan",
            "inf",
            "1e400",
            "true",
            "2020-01-01",
            "99999999999999999999",
        ]
    )
    | NAMES
)


@st.composite
def csvs(draw):
    """A CSV file, quoted where it must be, with some cells that no number or time is read from."""
    delimiter = draw(st.sampled_from(DELIMITERS))
    wild = draw(st.booleans())
    rows = [[str(i % 3), str(i / 7), str(i), "a,b"] for i in range(draw(st.integers(0, 6)))]
    if wild and rows:
        rows[draw(st.integers(0, len(rows) - 1))][draw(st.integers(0, 3))] = draw(CELLS)
    lines = [
        delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row)
        for row in [list(READINGS), *rows]
    ]
    return delimiter, "\n".join(lines).encode()


PIECES = (
    b'"',
    b'""',
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b",",
    b";",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"nan",
    b"-",
    b'"' + b"x" * 100_000 + b'"',
)


TABLES = csvs().map(lambda table: table[1])

TAGS = Multi(name="tags", kind="multi", separator=",")


def look(path, csv):
    """All that a data set's preparation first does with a table."""
    column_names(path, csv)
    for piece in read_pieces([path], READINGS, csv):
        columns = Columns(piece)
        strip_words(columns.text("user"))
        for name in ("user", "price"):
            columns.numbers(name)
        columns.times("day")
        split_lists(columns.lists(TAGS).dictionary)


@fuzz(table=csvs())
def test_a_quoted_csv_is_read_as_it_was_written_or_refused_in_words(table, folder):
    delimiter, data = table
    path = folder / "rows.csv"
    path.write_bytes(data)
    with contextlib.suppress(AutoMTLError):
        look(path, Csv(delimiter=delimiter))


@fuzz(
    data=damaged_bytes(TABLES, PIECES),
    delimiter=st.sampled_from(DELIMITERS) | st.characters(exclude_categories=["Cs"]),
)
def test_a_damaged_csv_is_read_or_refused_in_words(data, delimiter, folder):
    path = folder / "rows.csv"
    path.write_bytes(data)
    with contextlib.suppress(AutoMTLError):
        look(path, build(Csv, {"delimiter": delimiter}, "csv"))


@fuzz(data=damaged_bytes(TABLES, PIECES) | st.binary(max_size=200))
def test_a_draft_of_any_bytes_is_yaml_or_refused_in_words(data, folder):
    path = folder / "rows.csv"
    path.write_bytes(data)
    with contextlib.suppress(AutoMTLError):
        assert parse_yaml(draft(path), "draft")["name"] == "rows"


def three(values, kind):
    """Columns of three values."""
    return st.lists(values, min_size=3, max_size=3).map(lambda made: pa.array(made, kind))


COLUMNS = {
    "text": three(NAMES | st.none(), pa.string()),
    "number": three(NUMBERS.map(float) | st.none(), pa.float64()),
    "whole": three(st.integers(-(2**63), 2**63 - 1) | st.none(), pa.int64()),
    "time": three(st.integers(0, 2**40) | st.none(), pa.timestamp("us")),
    "truth": three(st.booleans() | st.none(), pa.bool_()),
    "list": three(st.lists(st.integers(0, 9), max_size=3) | st.none(), pa.list_(pa.int32())),
    "bytes": three(st.binary(max_size=4), pa.binary()),
    "inner": st.just(pa.array([{"a": 1}] * 3)),
    "nothing": st.just(pa.nulls(3)),
    "decimal": st.just(pa.array([1, 2, None]).cast(pa.decimal128(22, 2))),
}


@st.composite
def parquets(draw):
    """A small Parquet file with columns of any type under the names that are read."""
    columns = {
        name: draw(st.sampled_from(sorted(COLUMNS)).flatmap(COLUMNS.__getitem__))
        for name in READINGS
    }
    sink = io.BytesIO()
    pq.write_table(
        pa.table(columns), sink, compression=draw(st.sampled_from(["none", "snappy", "zstd"]))
    )
    return sink.getvalue()


@fuzz(data=parquets())
def test_parquet_columns_of_any_type_are_read_or_refused_in_words(data, folder):
    path = folder / "rows.parquet"
    path.write_bytes(data)
    with contextlib.suppress(AutoMTLError):
        look(path, Csv())
    with contextlib.suppress(AutoMTLError):
        assert parse_yaml(draft(path), "draft")["name"] == "rows"


@fuzz(data=damaged_bytes(parquets(), (b"PAR1", b"\xff\xff\xff\xff", b"\x7f" * 8)))
def test_a_damaged_parquet_file_is_read_or_refused_in_words(data, folder):
    path = folder / "rows.parquet"
    path.write_bytes(data)
    with contextlib.suppress(AutoMTLError):
        look(path, Csv())
