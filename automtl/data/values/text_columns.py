"""Columns of texts as Arrow dictionary arrays: each distinct word once, the rows as codes, no nulls
("" is missing).
"""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.values.forms import float_text, iso_times

TEXT = pa.dictionary(pa.int32(), pa.string())
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EXACT = 10**16  # whole floats below have all their digits in their shortest text


def as_text(column: pa.Array) -> pa.DictionaryArray:
    """Any column as text without nulls, each value at its shortest: `1.0` is `1`, null and NaN are
    "", midnight is its date.

    Raises:
        pyarrow.ArrowException: a type without a text, such as a list, or bytes that are no UTF-8.
    """
    column = decoded(column)
    if pa.types.is_float16(column.type):  # not every Arrow finds their distinct values
        each = pa.array(range(len(column)), pa.int32())
        column = pa.DictionaryArray.from_arrays(each, column)
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    indices, words = encoded.indices.cast(pa.int32()), _texts(encoded.dictionary)
    words.validate(full=True)  # a Parquet file may call any bytes a text
    if words.null_count:
        words = words.fill_null("")
    if indices.null_count:
        indices = indices.fill_null(len(words))
        words = pa.concat_arrays([words, pa.array([""], pa.string())])
    return pa.DictionaryArray.from_arrays(indices, words)


def decoded(column: pa.Array) -> pa.Array:
    """The column without what wraps it: an extension's name, runs; spans of time are seconds,
    whatever their unit.
    """
    column = column.storage if isinstance(column, pa.ExtensionArray) else column
    column = pc.run_end_decode(column) if pa.types.is_run_end_encoded(column.type) else column
    if not pa.types.is_duration(column.type):
        return column
    return pc.divide(
        column.cast(pa.int64()).cast(pa.float64(), safe=False), float(TICKS[column.type.unit])
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts or bytes, as they are or in a dictionary."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
    )
    return any(
        test(kind) for test in (*tests, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    )


def _texts(values: pa.Array) -> pa.Array:
    """Each value's shortest text."""
    if pa.types.is_floating(values.type):
        return _float_texts(values)
    if pa.types.is_decimal(values.type):
        return pa.array(
            [None if value is None else _decimal_text(value) for value in values.to_pylist()],
            pa.string(),
        )
    if pa.types.is_timestamp(values.type):  # Arrow keeps them on UTC's clock, whatever the zone
        return iso_times(
            values.cast(pa.int64()).cast(pa.timestamp(values.type.unit)).cast(pa.string())
        )
    if pa.types.is_time(values.type):
        return (
            pc.replace_substring_regex(values.cast(pa.string()), "[.]?0*$", "")
            if values.type.unit != "s"
            else values.cast(pa.string())
        )
    return values.cast(pa.string())


def _float_texts(values: pa.Array) -> pa.Array:
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    whole = np.isfinite(numbers) & (numbers == np.rint(numbers)) & (np.abs(numbers) < EXACT)
    if whole.all():
        return pa.array(numbers.astype(np.int64)).cast(pa.string())
    if values.type.bit_width < 64:  # its own digits: 0.1 is 0.1, and not the double next to it
        narrow = values.to_numpy(zero_copy_only=False)
        numbers = np.where(
            whole, numbers, np.array([float(str(value)) for value in narrow], np.float64)
        )
    return pa.array(map(float_text, numbers.tolist()), pa.string())


def _decimal_text(value: Decimal) -> str:
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def map_words(column: pa.DictionaryArray, words: pa.Array) -> pa.DictionaryArray:
    """The column with each word of its dictionary replaced; words may repeat."""
    return (
        column
        if words is column.dictionary
        else pa.DictionaryArray.from_arrays(column.indices, words)
    )


def strip_words(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The column without blanks around its words."""
    return map_words(column, pc.utf8_trim_whitespace(column.dictionary))


def spread(values: np.ndarray, column: pa.DictionaryArray) -> np.ndarray:
    """One value per word -> one value per row."""
    return np.asarray(np.take(values, column.indices.to_numpy()))
