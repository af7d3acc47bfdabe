"""Tables in every format under every name, and files that are none: told by their bytes."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from automtl.data.access import formats
from automtl.data.prepare import prepare
from automtl.data.raw.columns import Columns
from automtl.data.raw.sources import column_names, open_table, read_pieces
from automtl.data.spec.dataset import Csv, load_dataset
from automtl.errors import DataError
from tests.data.reading import read, refusal, written
from tests.data.tables import dataset, frame, prepared

TABLE = pd.DataFrame(
    {"user": [1, 2, 3, 2**60 + 1], "name": ["a", None, "c d", "é"], "price": [0.5, 1.0, None, 2.25]}
)


def parquet(table: pd.DataFrame, **settings: str) -> bytes:
    sink = io.BytesIO()
    table.to_parquet(sink, **settings)  # type: ignore[call-overload]
    return sink.getvalue()


def arrow(table: pd.DataFrame, stream: bool = False) -> bytes:
    sink, whole = io.BytesIO(), pa.Table.from_pandas(table)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, whole.schema) as writer:
        writer.write_table(whole)
    return sink.getvalue()


def compressed(data: bytes, codec: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def zipped(**files: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


CSV = TABLE.to_csv(index=False).encode()
LINES = "".join(
    json.dumps({k: None if v != v else v for k, v in row.items()}) + "\n"
    for row in TABLE.to_dict("records")
).encode()
CONTENTS: dict[str, bytes] = {
    "rows.csv": CSV,
    "rows.CSV": CSV,
    "rows": CSV,
    "part-00000": CSV,
    "rows.dat": CSV,
    "rows.csv.gz": gzip.compress(CSV),
    "gzipped-without-saying.csv": gzip.compress(CSV),
    "plain-though-it-says-otherwise.csv.gz": CSV,
    "members.csv.gz": gzip.compress(CSV[:30]) + gzip.compress(CSV[30:]),
    "rows.csv.bz2": bz2.compress(CSV),
    "rows.csv.zst": compressed(CSV, "zstd"),
    "rows.csv.lz4": compressed(CSV, "lz4"),
    "rows.zip": zipped(**{"rows.csv": CSV}),
    "mac.zip": zipped(
        **{"data/rows.csv": CSV, "__MACOSX/data/._rows.csv": b"\0", "data/.DS_Store": b"\0"}
    ),
    "rows.parquet": parquet(TABLE),
    "rows.parq": parquet(TABLE),
    "rows.PARQUET": parquet(TABLE),
    "rows.parquet.brotli": parquet(TABLE, compression="brotli"),
    "rows.pq": parquet(TABLE),
    "parquet-without-an-ending": parquet(TABLE),
    "parquet-that-says-csv.csv": parquet(TABLE),
    "rows.parquet.gz": gzip.compress(parquet(TABLE)),
    "parquet.zip": zipped(**{"rows.parquet": parquet(TABLE)}),
    "rows.feather": arrow(TABLE),
    "rows.arrow": arrow(TABLE),
    "stream.arrows": arrow(TABLE, stream=True),
    "rows.feather.gz": gzip.compress(arrow(TABLE)),
    "rows.jsonl": LINES,
    "rows.ndjson": LINES,
    "rows.json": LINES,
    "lines-without-an-ending": LINES,
    "rows.jsonl.gz": gzip.compress(LINES),
    "lines.zip": zipped(**{"rows.jsonl": LINES}),
}


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_every_format_gives_the_same_values(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, CONTENTS[name])
    assert column_names(path, Csv()) == ["user", "name", "price"]
    found = read(path, price="number", user="text", name="text")
    assert found["user"] == ["1", "2", "3", str(2**60 + 1)]
    assert found["name"] == ["a", "", "c d", "é"]
    assert [None if value is None or np.isnan(value) else value for value in found["price"]] == [
        0.5,
        1.0,
        None,
        2.25,
    ]
    whole = pa.Table.from_batches(open_table(path, Csv()))
    assert whole.column_names == ["user", "name", "price"] and whole.num_rows == 4


def test_every_format_gives_the_same_store(tmp_path: Path) -> None:
    raw = frame(300).drop(columns="time")
    plain = prepared(tmp_path / "csv", raw)
    for name, data in (
        ("parquet", parquet(raw)),
        ("arrow", arrow(raw)),
        ("lines", raw.to_json(orient="records", lines=True).encode()),
    ):
        written(tmp_path / "rows", data)
        store = prepare(
            load_dataset(dataset(tmp_path, name=name, files={"train": "rows"})),
            data_dir=tmp_path / "data",
        )
        assert store.schema.model_dump(exclude={"name", "config_hash"}) == plain.schema.model_dump(
            exclude={"name", "config_hash"}
        )


WORKBOOK = zipped(
    **{
        "[Content_Types].xml": b"<x/>",
        "xl/workbook.xml": b"<x/>",
        "xl/worksheets/sheet1.xml": b"<x/>",
    }
)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.xlsx", WORKBOOK, "got an Excel " "workbook; " "write it as " "Parquet: python -c " "\"import pandas; " "pandas.read_excel("),
        ("rows.docx", zipped(**{"[Content_Types].xml": b"", "word/a.xml": b""}), "must be a table, " "got an office " "document"),
        ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99, "must be a table, " "got an Excel workbook"),
        ("rows.csv.xz", lzma.compress(CSV), "must be a table, " "got packed " "by xz; unpack " "it: xz -dk {path}"),
        ("a b.csv.xz", lzma.compress(CSV), "unpack it: xz -dk '{path}'"),
        ("rows.7z", b"7z\xbc\xaf\x27\x1c" + b"\0" * 99, "got a 7-Zip archive"),
        ("two.zip", zipped(**{"a.csv": CSV, "b.csv": CSV}), "must hold one " "table, got 2: a.csv, " "b.csv; unpack " "it: unzip {path}"),
        ("none.zip", zipped(), "must hold one table, got none"),
        ("twice.zip", zipped(**{"a.csv.gz": gzip.compress(CSV)}), "must be packed " "once, got a " "packed file within " "a packed file"),
        ("rows.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "got HDF5; write it as Parquet"),
        ("rows.db", b"SQLite format 3\0" + b"\0" * 99, "got an SQLite " "database; " "write the table " "as CSV: sqlite3"),
        ("rows.npy", b"\x93NUMPY\x01\0" + b"\0" * 99, "got a NumPy array"),
        ("rows.pkl", b"\x80\x04\x95\x10" + b"\0" * 99, "got a pickle, which is never opened"),
        ("rows.orc", b"ORC" + b"\0" * 99, "got ORC"),
        ("rows.avro", b"Obj\x01" + b"\0" * 99, "got Avro"),
        ("rows.tar", b"rows.csv".ljust(257, b"\0") + b"ustar\0" + b"\0" * 300, "got a tar archive; " "unpack it: " "tar xf {path}"),
        ("rows.json", b'[{"a": 1}, {"a": 2}]', "must hold one JSON " "object a line, got " "JSON of another " "form; " "write it as Parquet:"),
        ("rows.json", TABLE.to_json().encode(), "must hold one " "JSON object a " "line, got JSON " "of another form"),
        ("rows.json", b'{\n  "a": 1\n}\n', "must hold one " "JSON object a " "line, got JSON " "of another form"),
        ("rows.jsonl", b'{"a": 1}\n{"a": 2\n', "rows.jsonl, row 2: " "must be a " "JSON object " "on one line, got " "Missing a " "comma or '}}'"),
        ("rows.jsonl", b'{"a": 1}\n[2]\n', "rows.jsonl, row 2: must be a JSON object on one line"),
        ("rows.feather", CSV, "must be a readable " "table, got a " "file that is not " "what its ending says"),
        ("rows.csv.gz", gzip.compress(CSV)[:-9], "must be a readable " "table, got a " "file that is cut " "short or damaged"),
        ("rows.parquet", parquet(TABLE)[:-9], "must be a readable " "table, got a " "file that is cut " "short or damaged"),
        ("rows.feather", arrow(TABLE)[:300], "must be a readable " "table, got a " "file that is cut " "short or damaged"),
        ("rows.zip", zipped(**{"rows.csv": CSV})[:60], "must be a readable " "table, got a " "file that is cut " "short or damaged"),
        ("empty.csv.gz", gzip.compress(b""), "must have rows, got an empty file"),
        ("blank.csv", b" \n\n", "must have rows, got an empty file"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)  # fmt: skip
def test_what_is_not_read_is_named_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = written(tmp_path / name, content)
    said = refusal(path, a="text")
    assert message.format(path=path) in said
    assert "\0" not in said and "\\x00" not in said


def test_a_zip_with_a_password(tmp_path: Path) -> None:
    data = bytearray(zipped(**{"rows.csv": CSV}))
    # the flag of encryption, in both places that say it
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        data[data.index(mark) + (6 if mark.endswith(b"\x04") else 8)] |= 1
    assert "must be readable, got a zip with a password; unpack it" in refusal(
        written(tmp_path / "rows.zip", bytes(data)), user="text"
    )


def test_packed_parquet_beyond_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MOST_IN_MEMORY", 1000)
    path = written(tmp_path / "rows.parquet.gz", gzip.compress(parquet(TABLE)))
    assert "must be at most" in refusal(path, user="text")


# --- JSON lines ---


def lines(path: Path, *rows: object) -> Path:
    return written(path, "".join(json.dumps(row) + "\n" for row in rows))


def test_json_columns_may_change_their_type_and_be_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[dict[str, object]] = [
        {"user": i, "tags": [i, i + 1], "price": i / 2} for i in range(20)
    ]
    rows += [{"user": f"u{i}", "tags": [f"t{i}"]} for i in range(20)]
    rows += [{"user": 7, "tags": None, "price": None}, {"user": "7", "tags": [], "price": 3}]
    path = lines(tmp_path / "rows.jsonl", *rows)
    for block in (200, 4 * 2**20):  # types change between pieces, and within one
        monkeypatch.setattr("automtl.data.raw.sources.BLOCK_BYTES", block)
        found = read(path, user="text", tags="list", price="number")
        assert found["user"] == [str(row["user"]) for row in rows]
        assert (
            found["tags"][0] == "\x1f0\x1f1"
            and found["tags"][25] == "\x1ft5"
            and found["tags"][40:] == ["", ""]
        )
        assert found["price"][:20] == [i / 2 for i in range(20)] and found["price"][-1] == 3.0


def test_json_ids_keep_their_digits_and_dates_stay_texts(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "rows.jsonl",
        {"id": 2**64 + 1, "day": "2023-11-14", "on": True},
        {"id": 5, "day": "2023-11-15", "on": False},
    )
    found = read(path, id="text", day="text", on="text")
    assert found == {
        "id": [str(2**64 + 1), "5"],
        "day": ["2023-11-14", "2023-11-15"],
        "on": ["true", "false"],
    }
    piece = next(read_pieces([path], {"day": "time"}, Csv()))
    assert Columns(piece._replace(times={"day": "ymd"})).times("day").tolist() == [
        1699920000000000,
        1700006400000000,
    ]


def test_lists_of_every_form_of_arrow(tmp_path: Path) -> None:
    def as_read(values: pa.Array) -> list[str]:
        """Through Arrow's own file: not every pyarrow writes every list to Parquet."""
        path, table = tmp_path / "seen.arrow", pa.table({"seen": values})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return read(path, seen="list")["seen"]

    for form in (pa.list_, pa.large_list, pa.list_view):
        lists = pa.array([[1, 2], None, [], [3]], form(pa.int64()))
        assert as_read(lists) == ["\x1f1\x1f2", "", "", "\x1f3"]
    fixed = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2))
    assert as_read(fixed) == ["\x1f1\x1f2", "", "\x1f3\x1f4"]
    whole = pa.table({"seen": fixed.drop_null()})
    pq.write_table(whole, tmp_path / "fixed.parquet")
    assert read(tmp_path / "fixed.parquet", seen="list")["seen"] == ["\x1f1\x1f2", "\x1f3\x1f4"]


def test_columns_that_cannot_be_read_name_their_type_and_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": [{"x": 1}], "price": ["1.5"], "day": [True]}), path)
    with pytest.raises(
        DataError, match="rows.parquet: column 'a': must be read as text, got values of type struct"
    ):
        read(path, a="text")
    with pytest.raises(
        DataError, match="column 'day': must be read as time, got values of type bool"
    ):
        read(path, day="time")
    pq.write_table(pa.table({"price": ["1.5", "2", "cheap"]}), path)
    with pytest.raises(
        DataError, match="rows.parquet, row 3, column 'price': must be a number, got 'cheap'"
    ):
        read(path, price="number")
