"""Columns as texts."""

import datetime

import pyarrow as pa
import pytest

from automtl.data.words import as_text, canonical


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array([2**53 + 1, 2**53, None, -5]), ["9007199254740993", "9007199254740992", "", "-5"]),
        (pa.array([1.0, 0.5, None, float("nan"), 1e20, -0.0]), ["1", "0.5", "", "", "100000000000000000000", "0"]),
        (pa.array(["a", None, ""]), ["a", "", ""]),
        (pa.array(["a", None, "a"], pa.large_string()), ["a", "", "a"]),
        (pa.array([True, None]), ["true", ""]),
        (pa.array([7, None], pa.uint64()), ["7", ""]),
        (pa.array([datetime.date(2022, 4, 22)]), ["2022-04-22"]),
        (pa.array(["x", None, "y"]).dictionary_encode(), ["x", "", "y"]),
        (pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), pa.array(["x", None])), ["", "x"]),
        (pa.array([None, None], pa.null()), ["", ""]),
    ],
)
def test_as_text(column: pa.Array, texts: list[str]) -> None:
    found = as_text(column)
    assert found.type == pa.dictionary(pa.int32(), pa.string())
    assert found.to_pylist() == texts


def test_canonical_floats() -> None:
    column = pa.array(["1.0", "1", "2.50", "nan", "", "1e3", "9007199254740993", "-2.0"]).dictionary_encode()
    assert canonical(column).to_pylist() == ["1", "1", "2.5", "", "", "1000", "9007199254740993", "-2"]
