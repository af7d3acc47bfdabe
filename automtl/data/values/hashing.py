"""Hashes of texts, numbers and rows by their content, so that a split depends on what a row says
and never on where it stands.

These numbers decide who is in the test split: a change here is a change of everyone's splits, and
`tests/data/test_hashing.py` holds golden values against it.
"""

import hashlib
from functools import lru_cache

import numpy as np
import pyarrow as pa

from automtl.data.values.text_columns import spread

LONG_BYTES = 256
# masks of a number's lowest bytes
LOWEST = np.array([2 ** (8 * count) - 1 for count in range(9)], np.uint64)


def mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele et al. 2014): uint64 -> well-mixed uint64."""
    mixed = np.asarray(values + np.uint64(0x9E3779B97F4A7C15))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed ^= mixed >> np.uint64(shift)
        if factor > 1:
            mixed *= np.uint64(factor)
    return mixed


LENGTHS = mix(np.arange(LONG_BYTES + 1, dtype=np.uint64))


def hash_words(words: pa.Array) -> np.ndarray:
    """One uint64 per text of a string array without nulls: its length, then its bytes, eight at a
    time, through `mix`.
    """
    buffers = words.buffers()
    offsets = np.frombuffer(buffers[1], np.int32, len(words) + 1, words.offset * 4)
    data = np.frombuffer(buffers[2] or b"", np.uint8)
    padded = np.concatenate([data[offsets[0] : offsets[-1]], np.zeros(8, np.uint8)])
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    shortest, longest = int(lengths.min(initial=0)), int(lengths.max(initial=0))
    eights = np.ndarray((len(padded) - 7,), np.dtype("<u8"), padded, strides=(1,))
    hashes = LENGTHS.take(np.minimum(lengths, LONG_BYTES))
    for done in range(0, min(longest, LONG_BYTES), 8):
        whole = shortest > done and longest <= LONG_BYTES
        rows = slice(None) if whole else np.flatnonzero((lengths > done) & (lengths <= LONG_BYTES))
        eight = eights.take(starts[rows] + done) & LOWEST.take(np.minimum(lengths[rows] - done, 8))
        hashes[rows] = mix(hashes[rows] ^ eight)
    for long in np.flatnonzero(lengths > LONG_BYTES):
        text = padded[starts[long] : starts[long] + lengths[long]].tobytes()
        hashes[long] = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    return hashes


@lru_cache(maxsize=4096)
def hash_text(text: str) -> np.ndarray:
    """(1,) uint64 of one text, not to be written to."""
    hashed = hash_words(pa.array([text], pa.string()))
    hashed.setflags(write=False)
    return hashed


def hash_dictionary(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The column with the hash of each word in place of the word."""
    return pa.DictionaryArray.from_arrays(column.indices, pa.array(hash_words(column.dictionary)))


def hash_column(name: str, column: pa.Array) -> np.ndarray:
    """One uint64 per row of texts, of texts' hashes (dictionary arrays) or of numbers; equal values
    under other names differ.
    """
    salt = hash_text(name)
    if pa.types.is_dictionary(column.type):
        hashed = (
            column.dictionary
            if pa.types.is_integer(column.type.value_type)
            else hash_dictionary(column).dictionary
        )
        return spread(mix(hashed.to_numpy() ^ salt), column)
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, one zero
    return mix(np.asarray(values).view(np.uint64) ^ salt)


def draws(hashes: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """A uint64 for each row, of its content's hash and of which copy of that content it is: the
    hash itself for the first, 0.

    Shape: (n,) uint64 each.
    """
    return np.where(copies == 0, hashes, mix(hashes ^ mix(copies)))


def share(keys: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """A uniform number in [0, 1) per key; independent for each seed and purpose."""
    salt = hash_text(f"{purpose}:{seed}")
    return (mix(mix(keys ^ salt)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
