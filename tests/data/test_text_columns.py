"""Columns as texts: each value's shortest."""

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from automtl.data.values.text_columns import as_text

NOON, DAY = datetime.datetime(2023, 11, 14, 12, 30), datetime.datetime(2023, 11, 14)


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (
            pa.array([2**53 + 1, 2**53, None, -5]),
            ["9007199254740993", "9007199254740992", "", "-5"],
        ),
        (
            pa.array([1.0, 0.5, None, float("nan"), 1e15, 1e20, 1e-5, -0.0]),
            ["1", "0.5", "", "", str(10**15), "1e+20", "1e-05", "0"],
        ),
        (
            pa.array(np.array([0.1, 16777218, 7, 1234567.9], np.float32)),
            ["0.1", "16777218", "7", "1234567.9"],
        ),
        (pa.array(np.array([0.1, 2], np.float16)), ["0.1", "2"]),
        (pa.array(["a", None, ""]), ["a", "", ""]),
        (pa.array(["a", None, "a"], pa.large_string()), ["a", "", "a"]),
        (pa.array(["a", None, "a"], pa.string_view()), ["a", "", "a"]),
        (pa.array([b"a", None]), ["a", ""]),
        (pa.array([b"ab"], pa.binary(2)), ["ab"]),
        (pa.array([True, None]), ["true", ""]),
        (pa.array([2**64 - 1, None], pa.uint64()), ["18446744073709551615", ""]),
        (
            pa.array([Decimal("7.00"), Decimal("1.50"), Decimal("-0.00"), None]),
            ["7", "1.5", "0", ""],
        ),
        (pa.array([Decimal("12345678901234567890.0")]), ["12345678901234567890"]),
        (pa.array([datetime.date(2022, 4, 22)]), ["2022-04-22"]),
        (pa.array([datetime.date(2022, 4, 22)], pa.date64()), ["2022-04-22"]),
        *(
            (pa.array([NOON, DAY], pa.timestamp(unit)), ["2023-11-14 12:30:00", "2023-11-14"])
            for unit in ("s", "ms", "us", "ns")
        ),
        (pa.array([NOON], pa.timestamp("us", "Europe/Berlin")), ["2023-11-14 12:30:00"]),
        (pa.array([NOON.replace(microsecond=500_000)]), ["2023-11-14 12:30:00.5"]),
        (
            pa.array([datetime.time(10, 20), datetime.time(10, 20, 0, 500_000)]),
            ["10:20:00", "10:20:00.5"],
        ),
        *(
            (
                pa.array([29, None, 0]).cast(pa.duration("s")).cast(pa.duration(unit)),
                ["29", "", "0"],
            )
            for unit in ("s", "ms", "us", "ns")
        ),
        (pa.array([datetime.timedelta(minutes=1, milliseconds=500)]), ["60.5"]),
        (pa.array(["x", None, "y"]).dictionary_encode(), ["x", "", "y"]),
        (pa.array([7.0, None]).dictionary_encode(), ["7", ""]),
        (
            pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), pa.array(["x", None])),
            ["", "x"],
        ),
        (
            pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([7, 8])),
            ["7", "7", "8"],
        ),
        (pa.array([None, None], pa.null()), ["", ""]),
    ],
)
def test_as_text(column: pa.Array, texts: list[str]) -> None:
    found = as_text(column)
    assert found.type == pa.dictionary(pa.int32(), pa.string())
    assert found.to_pylist() == texts
