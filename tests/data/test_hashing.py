"""Hashes decide splits: golden values, and an oracle in plain Python."""

import hashlib
import struct

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from automtl.data.values.hashing import hash_column, hash_text, hash_words, mix, share

MASK = 2**64 - 1


def slow_mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def slow_hash(text: str) -> int:
    data = text.encode()
    if len(data) > 256:
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
    value = slow_mix(len(data))
    for i in range(0, len(data), 8):
        value = slow_mix(value ^ int.from_bytes(data[i : i + 8], "little"))
    return value


def test_golden_values() -> None:
    # splitmix64 of seeds 0 and 1: the published test values of the generator's first output
    assert [hex(v) for v in mix(np.array([0, 1], np.uint64))] == [
        "0xe220a8397b1dcdaf",
        "0x910a2dec89025cc1",
    ]
    assert share(hash_text("row"), 0, "split").item() == share_by_hand("row", 0, "split")


def share_by_hand(text: str, seed: int, purpose: str) -> float:
    return (slow_mix(slow_mix(slow_hash(text) ^ slow_hash(f"{purpose}:{seed}"))) >> 11) * 2.0**-53


# both sides of LONG_BYTES; drawing each letter is slow
LONG = st.integers(250, 260).map(lambda length: ("abc" * 90)[-length:])


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=40), LONG), max_size=20), st.integers(0, 3))
def test_words_against_plain_python(words: list[str], skip: int) -> None:
    array = pa.array(words, pa.string()).slice(skip)
    assert hash_words(array).tolist() == [slow_hash(word) for word in words[skip:]]


def test_columns_hash_by_value_and_name() -> None:
    words = pa.array(["b", "a", "b"]).dictionary_encode()
    other = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1], pa.int32()), pa.array(["a", "b"]))
    assert (hash_column("x", words) == hash_column("x", other)).all()
    assert not (hash_column("x", words) == hash_column("y", words)).any()
    zeros = hash_column("x", pa.array([0.0, -0.0, np.nan, -np.nan]))
    assert zeros[0] == zeros[1] != zeros[2] == zeros[3]


def test_shares_are_uniform_and_independent() -> None:
    keys = mix(np.arange(100_000, dtype=np.uint64))
    one, two, three = share(keys, 0, "split"), share(keys, 1, "split"), share(keys, 0, "alpha")
    assert np.histogram(one, 10, (0, 1))[0].std() < 300  # binomial: 95
    assert np.abs(np.corrcoef([one, two, three])[np.triu_indices(3, 1)]).max() < 0.02


def test_columns_against_plain_python() -> None:
    words, numbers = pa.array(["b", "a", "b"]).dictionary_encode(), pa.array([1.5, -2.0])
    assert hash_column("x", words).tolist() == [
        slow_mix(slow_hash(word) ^ slow_hash("x")) for word in "bab"
    ]
    bits = [struct.unpack("<Q", struct.pack("<d", number))[0] for number in (1.5, -2.0)]
    assert hash_column("x", numbers).tolist() == [
        slow_mix(value ^ slow_hash("x")) for value in bits
    ]
