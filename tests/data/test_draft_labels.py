"""Drafts' tasks: labels by names and by words, never among the features; labels that tell each
other; drafts without any.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automtl.data.describe import draft
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.errors import ConfigError, DataError
from tests.data.drafts import (
    BINARY,
    BOTH,
    CLICKS,
    clicks,
    csv,
    drafted,
    labels,
    line_of,
    parquet,
    roles,
)
from tests.data.tables import dataset

WORDS: dict[str, tuple[list[Any], dict[str, str]]] = {
    "0 and 1": ([0, 1], {}),
    "floats": ([0.0, 1.0], {}),
    "bool": ([False, True], {}),
    "small truth": (["false", "true"], {}),
    "yes": (["no", "yes"], {"positive": "yes"}),
    "Yes": (["No", "Yes"], {"positive": "Yes"}),
    "Y": (["N", "Y"], {"positive": "Y"}),
    "t": (["f", "t"], {"positive": "t"}),
    "ja": (["nein", "ja"], {"positive": "ja"}),
    "-1": ([-1, 1], {"positive": "1"}),
}
NAMES = [
    "clicked",
    "isClick",
    "Recommended IND",
    "is_attributed",
    "reordered",
    "hasPurchased",
    "long_view",
    "added_to_cart",
    "label",
]


@pytest.mark.parametrize("form", WORDS)
def test_labels_by_their_words(form: str, tmp_path: Path) -> None:
    (no, yes), positive = WORDS[form]
    table = clicks()
    for name in ("clicked", "bought"):
        table[name] = np.where(table[name] == 1, yes, no)
    table["label"] = (
        table["clicked"]
        .sample(frac=1, random_state=0, ignore_index=True)
        .where(table["time"] % 10 > 0)
    )
    for path in (csv(tmp_path, table), parquet(tmp_path, table)):
        _, content, store = drafted(path)
        assert roles(content) == CLICKS
        assert labels(content) == dict.fromkeys(("clicked", "bought", "label"), BINARY | positive)
        parts = [store.rows(part).labels for part in ("train", "validation", "test")]
        ones, known = (
            np.concatenate([f(part) for part in parts]).sum(axis=0)
            for f in (np.nan_to_num, lambda part: ~np.isnan(part))
        )
        assert ones.tolist() == [
            (table[name] == yes).sum() for name in ("clicked", "bought", "label")
        ]
        assert known.tolist() == [800, 800, table["label"].notna().sum()]


@pytest.mark.parametrize("name", NAMES)
def test_labels_by_their_names(name: str, tmp_path: Path) -> None:
    table = clicks()[["bought", "user_id", "item_id", "price"]].rename(columns={"bought": name})
    _, content, _ = drafted(csv(tmp_path, table.assign(is_mobile=np.arange(800) % 2)))
    assert labels(content) == {name: BINARY}
    assert roles(content) == CLICKS | {"is_mobile": "categorical"}


def test_labels_of_which_few_are_one(tmp_path: Path) -> None:
    table = clicks(3000).assign(bought=0.0)
    table.loc[::300, "bought"] = 1.0
    text, content, _ = drafted(csv(tmp_path, table))
    assert labels(content) == BOTH
    assert "# 0.333% are 1" in line_of(text, "bought")


def test_two_values_that_may_be_a_label_are_no_feature_without_a_look(tmp_path: Path) -> None:
    table = clicks().assign(
        wide=np.arange(800) % 2 == 0, flag=np.where(np.arange(800) % 3, "no", "yes")
    )
    text, content, _ = drafted(csv(tmp_path, table))
    assert roles(content) == CLICKS
    assert labels(content) == BOTH
    for name in ("wide", "flag"):
        assert line_of(text, name).startswith(f"  # - {{name: {name}, kind: categorical}}")
        assert "# LABEL? two values: a feature only if known before the outcome" in line_of(
            text, name
        )


def test_many_columns_of_two_values_are_indicators(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    genres = {name: g.integers(0, 2, 800) for name in ("Drama", "Comedy", "War", "Noir")}
    text, content, _ = drafted(csv(tmp_path, clicks().assign(**genres)))
    assert roles(content) == CLICKS | dict.fromkeys(genres, "categorical")
    assert "# a label? then it belongs to tasks" in line_of(text, "War")


def test_labels_without_a_name_for_it_are_the_last_columns_of_two_values(tmp_path: Path) -> None:
    table = clicks().rename(columns={"clicked": "a", "bought": "b"})
    text, content, _ = drafted(csv(tmp_path, table))
    assert labels(content) == {"a": BINARY, "b": BINARY}
    assert "by its place, the last" in line_of(text, "b")
    _, content, _ = drafted(csv(tmp_path, table[["a", "user_id", "item_id", "price"]]))
    assert labels(content) == {"a": BINARY}
    income = table[["user_id", "item_id", "price"]].assign(
        income=np.where(table["b"] == 1, ">50K", "<=50K")
    )
    text, content, _ = drafted(csv(tmp_path, income))
    assert labels(content) == {"income": {"kind": "binary", "positive": ">50K"}}
    assert "which of '<=50K' and '>50K' is 1 is a guess" in line_of(text, "income")
    assert roles(content) == CLICKS


@pytest.mark.parametrize(
    ("name", "values", "settings"),
    [
        ("rating", [1, 2, 3, 4, 5], {"kind": "regression"}),
        ("Stars", [0.5, 1, 1.5, 2], {"kind": "regression"}),
        ("overall", [1.0, 2.0, 3.0], {"kind": "regression"}),
        ("event_type", ["view", "addtocart", "transaction"], {"kind": "multiclass"}),
        ("label", [0, 1, 2], {"kind": "multiclass"}),
        ("target", [0.25, 1.5, 2.75, 3.0], {"kind": "regression"}),
        ("y", list(range(40)), {"kind": "regression"}),
        ("action", [0, 1, 2, 3], {"kind": "multiclass"}),
        ("kind_of_row", ["pv", "buy", "cart", "fav"], {"kind": "multiclass"}),
    ],
)
def test_labels_of_several_values(
    name: str, values: list[Any], settings: dict[str, str], tmp_path: Path
) -> None:
    table = clicks()[["user_id", "item_id", "price"]]
    table.insert(0, name, np.random.default_rng(0).choice(values, 800))
    text, content, _ = drafted(csv(tmp_path, table))
    assert labels(content) == {name: settings}
    assert roles(content) == CLICKS
    assert ("or kind: multiclass" in text) == (name in ("rating", "overall"))


def test_counts_of_outcomes_are_no_features(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    late = {
        "Positive Feedback Count": g.poisson(1, 800),
        "likes": g.poisson(3, 800),
        "vote": g.poisson(40, 800),
    }
    table = clicks().assign(watching_time=g.random(800) * 60, **late)
    text, content, _ = drafted(csv(tmp_path, table))
    assert roles(content) == CLICKS
    for name in ("watching_time", *late):
        assert line_of(text, name).startswith("  # - ") and "# LEAK? by its name" in line_of(
            text, name
        )


def test_columns_that_alone_tell_a_label_are_no_features(tmp_path: Path) -> None:
    table, g = clicks(2000), np.random.default_rng(0)
    dwell = np.where(table["clicked"] == 1, g.random(2000) * 9 + 1, 0).round(3)
    table = table.assign(
        spent=dwell, reason=np.where(table["clicked"] == 1, g.choice(["a", "b", "c"], 2000), None)
    )
    text, content, _ = drafted(csv(tmp_path, table))
    assert roles(content) == CLICKS
    for name in ("spent", "reason"):
        assert "LEAK? it alone tells clicked (AUC " in line_of(text, name)
    rated = clicks(2000).drop(columns=["clicked", "bought"]).assign(rating=g.integers(1, 6, 2000))
    text, content, _ = drafted(
        csv(
            tmp_path,
            rated.assign(grade=rated["rating"].map(dict(zip(range(1, 6), "EDCBA", strict=True)))),
        )
    )
    assert roles(content) == CLICKS
    assert "LEAK? it alone tells rating" in line_of(text, "grade")


def test_the_same_label_again_is_told(tmp_path: Path) -> None:
    table = clicks()
    table = table.assign(is_click=table["clicked"] == 1, is_skip=1 - table["clicked"])
    text, content, _ = drafted(csv(tmp_path, table))
    assert labels(content) == BOTH
    assert roles(content) == CLICKS
    assert "# 38% are 1; the same values as 'clicked' in every row: one of them will do" in line_of(
        text, "is_click"
    )
    assert "the opposite of 'clicked' in every row" in line_of(text, "is_skip")


def test_steps_of_a_funnel(tmp_path: Path) -> None:
    g, table = np.random.default_rng(0), clicks(2000)
    table["cart"] = table["clicked"] * (g.random(2000) < 0.6)
    table["bought"] = table["cart"] * (g.random(2000) < 0.5)
    table["liked"] = (g.random(2000) < 0.1) * 1
    text, content, _ = drafted(csv(tmp_path, table))
    counts = {name: int(table[name].sum()) for name in ("clicked", "cart", "bought")}
    assert labels(content) == dict.fromkeys(("clicked", "bought", "cart", "liked"), BINARY)
    for step, before in (("cart", "clicked"), ("bought", "cart")):
        told = (
            f"  # {step} is 1 only where {before} is ({counts[step]:,} of its "
            f"{counts[before]:,} rows): "
        )
        assert (
            f"{told}to learn the rate on those rows alone, add  where: '{before} == 1'"
            in text.splitlines()
        )
    assert text.count("add  where:") == 2
    words = table.replace({"clicked": {0: "no", 1: "yes"}})
    assert """add  where: 'clicked == "yes"'""" in draft(csv(tmp_path, words))
    spaced = table.rename(columns={"clicked": "was clicked"})
    assert "add  where: '`was clicked` == 1'" in draft(csv(tmp_path, spaced))
    table.loc[:, "liked"] = 0
    table.loc[table.index[table["clicked"] == 1][:2], "liked"] = 1
    assert "liked is 1 only" not in draft(csv(tmp_path, table)), "two rows may be there by chance"


def test_a_table_without_a_label_says_what_to_do(tmp_path: Path) -> None:
    table = clicks()[["user_id", "item_id", "price"]]
    task = {"name": "price", "label": "price", "kind": "regression"}
    text, content, _ = drafted(csv(tmp_path, table), [task])
    assert content["tasks"] is None
    assert (
        "tasks:    # NONE YET: name at least one column to predict, and take it out of the features"
        in text.splitlines()
    )
    (tmp_path / "draft.yaml").write_text(text)
    with pytest.raises(
        ConfigError,
        match=r"tasks must name at least one, as in `- \{name: click, label: is_click\}`, got None",
    ):
        load_dataset(tmp_path / "draft.yaml")
    (tmp_path / "draft.yaml").write_text(
        text.replace("  # - {name: click, label: is_click,", "  - {name: price, label: price,")
    )
    with pytest.raises(
        ConfigError, match=r"'price' is the label of task 'price' and would leak it; take it out"
    ):
        load_dataset(tmp_path / "draft.yaml")


def test_no_feature_at_all(tmp_path: Path) -> None:
    (tmp_path / "draft.yaml").write_text(draft(csv(tmp_path, clicks()[["clicked"]])))
    with pytest.raises(
        ConfigError,
        match=r"features must name at least one, as in `- \{name: user_id, kind: categorical\}`, "
        r"got None",
    ):
        load_dataset(tmp_path / "draft.yaml")


def labelled(folder: Path, words: list[str], **task: Any) -> np.ndarray:
    """The labels, in order, of rows with these words for one."""
    table = pd.DataFrame({"row": range(len(words)), "y": words})
    path = dataset(
        folder,
        features=[{"name": "row", "kind": "numeric"}],
        tasks=[{"name": "t", "label": "y", **task}],
    )
    table.to_csv(folder / "rows.csv", index=False)
    store = prepare(load_dataset(path), data_dir=folder / "data")
    parts = [store.rows(part) for part in ("train", "validation", "test")]
    order = np.argsort(np.concatenate([part.dense[:, 0] for part in parts]))
    return np.concatenate([part.labels[:, 0] for part in parts])[order]


def test_labels_of_two_words_are_1_where_they_are_the_positive_one(tmp_path: Path) -> None:
    words = ["no", "yes", " yes ", "", "NA"] * 80
    np.testing.assert_array_equal(
        labelled(tmp_path / "words", words, positive="yes"), [0, 1, 1, np.nan, np.nan] * 80
    )
    np.testing.assert_array_equal(
        labelled(tmp_path / "not", words, positive="no"), [1, 0, 0, np.nan, np.nan] * 80
    )
    numbers = ["1", "2.0", "2", "1.0", ""] * 80
    np.testing.assert_array_equal(
        labelled(tmp_path / "numbers", numbers, positive="2"), [0, 1, 1, 0, np.nan] * 80
    )


def test_a_third_word_and_a_word_that_never_comes(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"row 81, column 'y': must be 'yes' or 'no' for the binary task 't' \(positive: "
        r"yes\), got 'y'",
    ):
        labelled(tmp_path / "third", ["no", "yes"] * 40 + ["y"], positive="yes")
    with pytest.raises(
        DataError, match="must have positives and negatives in the training split, got 0 positives"
    ):
        labelled(tmp_path / "never", ["no"] * 80, positive="yes")
    with pytest.raises(
        DataError,
        match="must be 0, 1 or empty for the binary task 't', got 'no'; name the word for 1 by "
        "`positive`, or ",
    ):
        labelled(tmp_path / "unsaid", ["no", "yes"] * 40)
    with pytest.raises(
        ConfigError, match="positive is for binary labels only, task 't' is multiclass"
    ):
        labelled(tmp_path / "kind", ["no", "yes"] * 40, positive="yes", kind="multiclass")
