"""What is counted in parts, written down and added up, is what one process counts."""

import itertools
import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from automtl.data.prepare._statistics import SAMPLE_ROWS, Moments, Ranks, SeenWords
from automtl.data.values.extremes import Extremes
from automtl.data.values.sums import Sum

G = np.random.default_rng(0)


def numbers(count: int) -> np.ndarray:
    values = G.standard_cauchy(count).round(3)
    values[G.random(count) < 0.1] = np.nan
    return values


def through_json(part: Sum, empty: Sum) -> Sum:
    return empty.load_state_dict(json.loads(json.dumps(part.state_dict())))


def in_parts(make: Callable[[], Sum], add: Callable[[Sum, slice], None], count: int) -> Sum:
    whole, cuts = make(), [0, 0, count // 7, count // 7, count // 2, count]
    for start, end in itertools.pairwise(cuts):
        part = make()
        add(part, slice(start, end))
        whole.merge(through_json(part, make()))
    return whole


def test_moments_and_extremes() -> None:
    values = numbers(5000)
    for make in (Moments, Extremes):
        whole = make()
        whole.add(values)
        found = in_parts(make, lambda part, rows: part.add(values[rows]), len(values))
        assert found.state_dict() == whole.state_dict()


def test_a_sample_beyond_its_size() -> None:
    count = 5 * SAMPLE_ROWS
    values, draws = numbers(count), G.integers(0, 2**40, count).astype(np.uint64)
    whole = Ranks()
    for start in range(0, count, 30_000):
        whole.add(values[start : start + 30_000], draws[start : start + 30_000])
    found = in_parts(Ranks, lambda part, rows: part.add(values[rows], draws[rows]), count)
    assert found.state_dict() == whole.state_dict() and found.result() == whole.result()
    assert len(whole.values()) == SAMPLE_ROWS


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["0", "1", "1.0", "0"], "bit"),
        (["12", "7", "+7", "300"], "whole"),
        (["007", "012", "999", "123"], "fixed"),
        (["true", "0", "1", "false"], "truth"),
        (["0.5", "1e-05", "3", "2.25"], "float"),
        (["a", "1", "007", "true"], "text"),
        (["01", "1", "7", "12"], "text"),
        (["", "", "", ""], "text"),
    ],
)
def test_forms(words: list[str], kind: str) -> None:
    for rows in (words, words[::-1]):
        found = in_parts(
            SeenWords,
            lambda part, place, rows=rows: part.add(
                pa.array(rows[place]), np.ones(len(rows[place]))
            ),
            len(rows),
        )
        whole = SeenWords()
        whole.add(pa.array(rows), np.ones(len(rows)))
        assert found.form == whole.form and found.form.kind == kind
