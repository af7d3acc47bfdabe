"""Which models were judged on the same rows, and what these rows are called."""

import pytest

from automtl.runs.rows import by_rows, rows_of


def grouped(*told):
    """The groups' names, and the runs in each, of models told as (run, data set, hash, split)."""
    groups = by_rows(
        told, lambda model: ({"name": model[1], "hash": model[2], "split_hash": model[3]}, model[0])
    )
    return [(name, [run for run, *_ in group]) for name, group in groups]


def test_models_of_the_same_rows_in_the_same_split_stand_together():
    assert grouped(("a", "x", "1", "s"), ("b", "y", "2", "s"), ("c", "x", "1", "s")) == [
        ("x", ["a", "c"]),
        ("y", ["b"]),
    ]


def test_rows_of_one_name_are_told_apart_by_a_run():
    told = [("d", "x", "1", "s"), ("b", "x", "1", "t"), ("c", "x", "2", "u"), ("a", "x", "1", "s")]
    groups = [("x (split of a)", ["d", "a"]), ("x (split of b)", ["b"]), ("x (rows of c)", ["c"])]
    assert grouped(*told) == groups
    assert {name for name, _ in grouped(*reversed(told))} == {name for name, _ in groups}


def test_a_report_opens_runs_that_tell_no_hash_and_a_comparison_does_not():
    assert by_rows(["a"], lambda name: ({}, name)) == [("the data", ["a"])]
    assert by_rows(["a"], lambda name: ({"hash": []}, name)) == [("the data", ["a"])]
    with pytest.raises(KeyError, match="split_hash"):
        rows_of({"name": "x", "hash": "1"})
