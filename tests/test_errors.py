"""Counts in words, and the example that says so."""

import doctest

import pytest

from automtl import errors


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (1000, "1,000 epochs")]
)
def test_one_is_singular_and_all_others_are_plural(count, words):
    assert errors.counted(count, "epoch") == words


def test_the_example():
    assert doctest.testmod(errors) == (0, 1)
