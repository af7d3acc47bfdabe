"""Columns of lists as texts: from Arrow's lists or from texts of any writing to one form, and to
their words.

n rows, k words in all.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.values.forms import normal, plain
from automtl.data.values.list_texts import separated
from automtl.data.values.patterns import LIST_SEPARATOR, rewrite_odd_lists, rewrite_unusual_lists
from automtl.data.values.text_columns import as_text


def is_list(kind: pa.DataType) -> bool:
    """Whether a column's values are Arrow's lists, of whatever form."""
    return any(
        test(kind)
        for test in (
            pa.types.is_list,
            pa.types.is_large_list,
            pa.types.is_fixed_size_list,
            pa.types.is_list_view,
        )
    )


def list_text(column: pa.Array) -> pa.DictionaryArray:
    """A column of Arrow lists as texts, a separator before each value; null and empty lists are "".

    Raises:
        pyarrow.ArrowException: the lists' values have no text.
    """
    values = as_text(column.flatten())
    lengths = (
        pc.fill_null(pc.list_value_length(column), 0)
        .to_numpy(zero_copy_only=False)
        .astype(np.int64)
    )
    words = pc.binary_join_element_wise("", values.cast(pa.string()), LIST_SEPARATOR)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, words), "").dictionary_encode()


def plain_lists(
    column: pa.DictionaryArray, separator: str, missing: tuple[str, ...]
) -> pa.DictionaryArray:
    """A column of texts, each a list, in one form: plain words (see `forms`), none of them missing,
    `LIST_SEPARATOR` between them.

    Texts with a leading LIST_SEPARATOR are lists of Arrow's and are split by that.

    Raises:
        NotAList: a text is a mapping, or a list of lists.
    """
    texts = separated(column.dictionary, separator)
    from_arrow = pc.starts_with(texts, LIST_SEPARATOR)
    texts = pc.if_else(from_arrow, texts, pc.replace_substring(texts, separator, LIST_SEPARATOR))
    texts = pc.replace_substring_regex(
        texts, rf"\s*{LIST_SEPARATOR}[\s{LIST_SEPARATOR}]*", LIST_SEPARATOR
    )
    texts = pc.utf8_trim(pc.utf8_trim_whitespace(texts), LIST_SEPARATOR)
    texts = rewrite_odd_lists(
        texts, missing, lambda some: _each_word(some, lambda words: plain(words, missing))
    )
    return pa.DictionaryArray.from_arrays(column.indices, texts)


def normal_lists(texts: pa.Array) -> pa.Array:
    """The texts of plain lists with their whole numbers in one spelling."""
    return rewrite_unusual_lists(texts, lambda some: _each_word(some, normal))


def _each_word(texts: pa.Array, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """The texts of plain lists with their words changed, and those left out that are then
    missing.
    """
    words, offsets = split_lists(texts)
    changed = change(words.dictionary).take(words.indices)
    there = np.asarray(pc.not_equal(changed, "").to_numpy(zero_copy_only=False))
    offsets = np.concatenate([[0], np.cumsum(there)])[offsets].astype(np.int32)
    return pc.binary_join(
        pa.ListArray.from_arrays(pa.array(offsets), changed.filter(pa.array(there))), LIST_SEPARATOR
    )


def split_lists(texts: pa.Array) -> tuple[pa.DictionaryArray, np.ndarray]:
    """The words of plain lists, and the offsets of each text's. Shape: (k,), (n + 1,)."""
    lists = pc.split_pattern(texts, LIST_SEPARATOR)
    words = lists.flatten()
    # the empty text is the list of one empty word
    there = pc.not_equal(words, "").to_numpy(zero_copy_only=False)
    lengths = np.where(
        np.asarray(pc.equal(texts, "").to_numpy(zero_copy_only=False)),
        0,
        pc.list_value_length(lists).to_numpy(),
    )
    return as_text(words.filter(pa.array(there))), np.concatenate([[0], np.cumsum(lengths)]).astype(
        np.int64
    )
