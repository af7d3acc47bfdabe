"""Kinds of tasks that nobody said: a mistyped label is refused with its row, classes are told."""

import numpy as np
import pandas as pd
import pytest

import automtl
from automtl.errors import DataError

CALLED = "say tasks={'click': 'multiclass'}"


def dataset(rows, labels, **settings):
    table = rows.assign(click=labels)
    return automtl.Dataset.from_frame(table, ids=["user"], **{"tasks": ["click", "buy"]} | settings)


def slipped(words, slip, row=4):
    """Words as labels, but for one of them; rows count from 1."""
    labels = pd.Series(words, dtype=object)
    labels[row - 1] = slip
    return labels


@pytest.mark.parametrize("as_texts", [False, True])
@pytest.mark.parametrize(
    ("words", "slip", "rule"),
    [
        ([0, 1], "banana", "must be 0, 1 or empty for the binary task 'click'"),
        ([True, False], "ture", "must be 0, 1 or empty for the binary task 'click'"),
        (["no", "yes"], "yse", "must be 'yes' or 'no' for the binary task 'click'"),
        ([0.5, 3.0, 12.25], "banana", "must be a number"),
    ],
)
def test_a_slip_among_labels_is_refused_with_its_row(home, rows, words, slip, rule, as_texts):
    labels = slipped(words * (len(rows) // len(words)), slip)
    data = dataset(rows, labels.astype(str) if as_texts else labels)
    with pytest.raises(DataError) as caught:
        data.describe()
    said = str(caught.value)
    assert said.startswith(f"rows, row 4, column 'click': {rule}")
    assert f"got '{slip}'" in said and CALLED in said


def test_a_slip_in_the_first_row_is_not_taken_for_the_other_word(home, rows):
    data = dataset(rows, slipped(["no", "yes"] * 150, "banana", row=1))
    with pytest.raises(DataError, match=r"row 1, .*must be 'yes' or 'no'.*got 'banana'"):
        data.describe()


def test_a_slip_in_a_file_is_refused_too(home, tmp_path, rows):
    rows.assign(click=slipped([0, 1] * 150, "banana")).to_csv(tmp_path / "a.csv", index=False)
    data = automtl.Dataset.from_file(tmp_path / "a.csv", ids=["user"], tasks=["click", "buy"])
    with pytest.raises(DataError, match=r"a.csv, row 4, column 'click'.*got 'banana'"):
        data.describe()


def test_what_is_said_to_be_classes_is_classes(home, rows):
    data = dataset(rows, slipped([0, 1] * 150, "banana"), tasks={"click": "multiclass"})
    assert data.schema.tasks[0].class_names == ("0", "1", "banana")


def test_classes_that_were_guessed_are_named_and_rare_ones_are_told(home, rows):
    words = slipped(np.resize(["low", "mid", "high"], len(rows)), "hihg")
    data = dataset(rows, words)
    assert [task.kind for task in data.config.tasks] == ["multiclass", "binary"]
    said = [line for line in data.describe().sentences if line.startswith("task 'click'")]
    assert said[:2] == [
        "task 'click' is multiclass, of 4 classes: 'high', 'hihg', 'low' and 'mid'",
        "task 'click': 1 class has fewer than 20 rows ('hihg' 1 row); a mistyped label is a "
        "class, too",
    ]
    [missing] = said[2:]
    assert missing.startswith("task 'click': classes missing from parts: 'hihg' from ")
    assert missing.count(" and ") == 1, "the row is in one of the four parts"


def test_a_pair_with_a_third_class_that_is_common_is_classes(home, rows):
    words = np.resize(["yes", "no", "yes", "no", "maybe"], len(rows))
    data = dataset(rows, words)
    said = [line for line in data.describe().sentences if line.startswith("task")]
    assert said == ["task 'click' is multiclass, of 3 classes: 'maybe', 'no' and 'yes'"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1j, 2j], r"^rows: row 1, column 'user': must hold numbers, texts.*got 1j; mend"),
        (np.ones(2, complex), r"^rows: row 1, column 'user': must hold numbers.*got .*1\+0j"),
        ([3, [1]], r"^rows: row 2, column 'user': must hold lists in all rows or in none, got \["),
        ([[3], [1], 7], r"^rows: row 3, column 'user': must hold lists in all.* or in none, got 7"),
    ],
)
def test_a_value_that_no_column_takes_is_named_with_its_row(home, values, said):
    with pytest.raises(DataError, match=said):
        automtl.Dataset.from_frame({"user": values}, tasks=["click"])


def test_one_task_is_a_list_too(home, rows):
    with pytest.raises(ValueError, match=r"got 'click'; write tasks=\['click'\]$"):
        automtl.Dataset.from_frame(rows, tasks="click")
