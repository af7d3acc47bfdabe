"""Hashes of rows by their content, so that a split depends on what a row says and never on where it stands in which file.

These numbers decide who is in the test split: a change here is a change of everyone's splits, and `tests/data/test_hashing.py`
holds golden values against it.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from automtl.data.words import spread

HASH_KEY = "automtl-rows-v1!"  # the 16 bytes that pandas' hash of texts is keyed with


def mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele et al. 2014): uint64 -> well-mixed uint64."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def hash_texts(texts: list[str]) -> np.ndarray:
    """One uint64 per text."""
    return np.asarray(pd.util.hash_array(np.array(texts, dtype=object), hash_key=HASH_KEY, categorize=False))


def hash_column(name: str, column: pa.Array) -> np.ndarray:
    """One uint64 per row for a column of texts (a dictionary array) or of numbers; equal values under other names differ."""
    salt = hash_texts([name])
    if pa.types.is_dictionary(column.type):
        return spread(mix(hash_texts(column.dictionary.to_pylist()) ^ salt), column)
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, one zero
    return mix(mix(np.asarray(values).view(np.uint64)) ^ salt)


def share(keys: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """A uniform number in [0, 1) per key; independent for each seed and purpose."""
    salt = hash_texts([f"{purpose}:{seed}"])
    return (mix(mix(keys ^ salt)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
