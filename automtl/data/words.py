"""Columns of texts as Arrow dictionary arrays: each distinct word once, the rows as codes, no nulls ("" is missing)."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.dictionary(pa.int32(), pa.string())


def as_text(column: pa.Array) -> pa.DictionaryArray:
    """Any column as text without nulls: whole floats lose their `.0`, null and NaN become "".

    Raises:
        pyarrow.ArrowException: a type without a text, such as a list, or bytes that are no UTF-8.
    """
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    indices, words = encoded.indices.cast(pa.int32()), encoded.dictionary
    words = pa.array(map(float_text, words.to_pylist()), pa.string()) if pa.types.is_floating(words.type) else words.cast(pa.string())
    words.validate(full=True)  # a Parquet file may call any bytes a text
    if words.null_count:
        words = words.fill_null("")
    if indices.null_count:
        indices = indices.fill_null(len(words))
        words = pa.concat_arrays([words, pa.array([""], pa.string())])
    return pa.DictionaryArray.from_arrays(indices, words)


def float_text(value: float | None) -> str:
    """The canonical text of a float: `1.0` -> `1`, `0.50` -> `0.5`, none and NaN -> ``."""
    if value is None or value != value:
        return ""
    return str(int(value)) if value.is_integer() else repr(value)


def map_words(column: pa.DictionaryArray, words: pa.Array) -> pa.DictionaryArray:
    """The column with each word of its dictionary replaced; words may repeat."""
    return pa.DictionaryArray.from_arrays(column.indices, words)


def strip_words(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The column without blanks around its words."""
    return map_words(column, pc.utf8_trim_whitespace(column.dictionary))


def spread(values: np.ndarray, column: pa.DictionaryArray) -> np.ndarray:
    """One value per word -> one value per row."""
    return np.asarray(np.take(values, column.indices.to_numpy()))


def canonical(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """A column of floats written as text, each in its canonical form."""
    return map_words(column, pa.array([_canonical(word) for word in column.dictionary.to_pylist()], pa.string()))


def _canonical(word: str) -> str:
    if word.lstrip("-").isdecimal():
        return word
    try:
        return float_text(float(word or "nan"))
    except ValueError:  # among rows to predict on: a word that training never met
        return word
