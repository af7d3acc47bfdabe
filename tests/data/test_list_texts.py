"""Lists of ids as people, pandas, numpy and JSON write them; the right ids, in the store and in an
export's own code.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.data.values.list_texts import NotAList, list_words
from automtl.errors import DataError
from automtl.exports import encode
from tests.data.tables import FEATURES, dataset, frame, prepared

WRITTEN: dict[str, Any] = {
    "separator": lambda ids: ",".join(map(str, ids)),
    "blanks": lambda ids: " , ".join(map(str, ids)),
    "python": lambda ids: str(ids),
    "texts": lambda ids: str(list(map(str, ids))),
    "json": lambda ids: json.dumps(list(map(str, ids)), separators=(",", ":")),
    "tuple": lambda ids: str(tuple(ids)),
    "set": lambda ids: "{" + ", ".join(map(str, ids)) + "}",
    "numpy": lambda ids: str(np.array(ids, int)),
    "numpy scalars": lambda ids: str([np.int64(i) for i in ids]),
    "java": lambda ids: "[" + ", ".join(map(str, ids)) + "]",
    "quoted": lambda ids: ",".join(f'"{i}"' for i in ids),
}


def lists(rows: int = 600, ids: int = 8) -> list[list[int]]:
    g = np.random.default_rng(1)
    return [g.integers(0, ids, g.integers(0, 5)).tolist() for _ in range(rows)]


def feature(kind: str = "multi", **given: Any) -> dict[str, Any]:
    return {
        "name": "seen",
        "kind": kind,
        **({"max_length": 5} if kind == "sequence" else {}),
        **given,
    }


def store_of(
    folder: Path, values: list[Any], *, said: list[str] | None = None, **given: Any
) -> Store:
    folder.mkdir(exist_ok=True)
    path = dataset(folder, features=[*FEATURES, feature(**given)])
    frame(len(values)).assign(seen=values).to_csv(folder / "rows.csv", index=False)
    return prepare(
        load_dataset(path),
        data_dir=folder / "data",
        progress=(said if said is not None else []).append,
    )


def read_back(store: Store) -> list[tuple[str, ...]]:
    words = ["", *store.vocabulary("seen")["word"].to_pylist()]
    found = []
    for split in ("train", "validation", "test"):
        rows = store.rows(split).lists[0]
        found += [
            tuple(words[i] for i in rows.values[rows.offsets[n] : rows.offsets[n + 1]])
            for n in range(len(rows))
        ]
    return found


@pytest.mark.parametrize("form", sorted(WRITTEN))
def test_every_way_of_writing_gives_the_same_ids(tmp_path: Path, form: str) -> None:
    """Case A6: "[3, 5]" gave the ids `[3` and `5]`, 33 ids for 8."""
    values = lists()
    store = store_of(tmp_path, [WRITTEN[form](ids) for ids in values])
    assert set(store.vocabulary("seen")["word"].to_pylist()) == {str(i) for i in range(8)}
    assert sorted(read_back(store)) == sorted(tuple(map(str, ids)) for ids in values)


@pytest.mark.parametrize("kind", ["multi", "sequence"])
def test_padding_is_no_id(tmp_path: Path, kind: str) -> None:
    values, g = lists(), np.random.default_rng(2)
    for i, (padding, shown) in enumerate(
        ((0, ["0", "0.0"]), ("0", ["0"]), ("[PAD]", ["[PAD]"]), (-1, ["-1", "-1.0"]))
    ):
        filled = [[*(str(n + 1) for n in ids), *g.choice(shown, 4 - len(ids))] for ids in values]
        store = store_of(
            tmp_path / str(i),
            ["|".join(ids) for ids in filled],
            kind=kind,
            separator="|",
            padding=padding,
        )
        assert sorted(read_back(store)) == sorted(tuple(str(n + 1) for n in ids) for ids in values)


def test_arrow_lists_are_padded_too(tmp_path: Path) -> None:
    values = lists()
    path = dataset(
        tmp_path, features=[*FEATURES, feature(padding=0)], files={"train": "rows.parquet"}
    )
    frame(600).assign(
        seen=[[*(n + 1 for n in ids), *[0] * (4 - len(ids))] for ids in values]
    ).to_parquet(tmp_path / "rows.parquet")
    store = prepare(load_dataset(path), data_dir=tmp_path / "data")
    assert sorted(read_back(store)) == sorted(tuple(str(n + 1) for n in ids) for ids in values)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ["3:0.5,5:1.2", "7:1"],
            "must be a list of ids, got '3:0.5,5:1.2'; write the ids alone: the model takes the "
            "mean of a list's ids",
        ),
        (["a:0.5", ""], "must be a list of ids, got 'a:0.5'; write the ids alone"),
        (
            ["{3: 0.5, 5: 1.2}"],
            "must be a list of ids, got '{3: 0.5, 5: 1.2}'; write the ids alone, or leave the "
            "column out",
        ),
        (["1", '{"3": 0.5}'], "got '{\"3\": 0.5}'; write the ids alone, or leave the column out"),
        (
            ["1", "[[1, 2], [3]]"],
            "got '[[1, 2], [3]]'; write the ids alone, or leave the column out",
        ),
    ],
)
def test_weights_and_nests_are_refused_with_the_value(
    tmp_path: Path, texts: list[str], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        store_of(tmp_path, ["", *(texts * 300)[:599]])
    assert message in str(caught.value)
    assert f"rows.csv, row {3 if texts[0] == '1' else 2}, column 'seen': " in str(caught.value)


def test_ids_with_colons_are_ids(tmp_path: Path) -> None:
    for i, text in enumerate(
        ("brand:17,brand:5", "10:30,11:45", "3:1,5:2", "http://a.b/1.5,http://c", "a:1.5,b")
    ):
        store = store_of(tmp_path / str(i), [text] * 300)
        assert set(store.vocabulary("seen")["word"].to_pylist()) == set(text.split(","))


@pytest.mark.parametrize(
    ("texts", "given", "remark"),
    [
        (
            [";".join(map(str, ids)) for ids in lists()],
            {},
            "feature 'seen': hardly any list has more than one id (0.0% of",
        ),
        (
            ["3,5,0,0", "3,0,0,0", "1,2,4,0", "2,2,1,4"] * 150,
            {},
            "feature 'seen': every list has 4 ids, and 50% end in '0' twice",
        ),
        (
            ["0,0,3,5", "0,0,0,1", "0,2,4,1", "2,1,1,4"] * 150,
            {},
            "feature 'seen': every list has 4 ids, and 50% begin with '0' twice",
        ),
        (["3:1,5:2", "4:1"] * 300, {}, "feature 'seen': its ids look like ids with weights (3:1)"),
    ],
)
def test_what_looks_odd_is_said(
    tmp_path: Path, texts: list[str], given: dict[str, Any], remark: str
) -> None:
    said: list[str] = []
    store = store_of(tmp_path, texts, said=said, **given)
    assert [line for line in said if remark in line], said
    assert [line for line in store.summary["notes"] if remark in line]


@pytest.mark.parametrize(
    ("texts", "given"),
    [
        ([",".join(map(str, ids)) for ids in lists()], {}),
        (["3,5,0,0", "3,0,0,0", "1,2,4,0", "2,2,1,4"] * 150, {"padding": 0}),
        (["1,2,3,4", "4,3,2,1"] * 300, {}),
        (["brand:1,brand:2"] * 600, {}),
        (["7"] * 50 + [""] * 550, {}),
    ],
)
def test_what_does_not_look_odd_is_not_said(
    tmp_path: Path, texts: list[str], given: dict[str, Any]
) -> None:
    said: list[str] = []
    store_of(tmp_path, texts, said=said, **given)
    assert not [line for line in said if "'seen'" in line and "unknown" not in line]


SIGNS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"])
WORDS = st.one_of(st.integers(-99, 999).map(str), st.text(SIGNS, max_size=6))
PLAIN = WORDS.map(str.strip).filter(lambda word: word and "\\" not in repr(word))
TEXTS = st.one_of(
    st.lists(WORDS, max_size=4).map(str),
    st.lists(WORDS, max_size=4).map(tuple).map(str),
    st.lists(WORDS, max_size=4).map(json.dumps),
    st.lists(WORDS, max_size=4).map(",".join),
    st.text("[](){},'\" ab1.:\\|", max_size=12),
)


@settings(max_examples=600, deadline=None)
@example(text="a, ", separator=", ")
@given(text=TEXTS, separator=st.sampled_from([",", "|", " ", ", "]))
def test_an_exports_own_code_reads_texts_as_training_does(text: str, separator: str) -> None:
    try:
        expected = list_words(text, separator)
    except NotAList:
        with pytest.raises(ValueError, match="must be a list of ids"):
            encode.list_words(text, separator)
        return
    assert encode.list_words(text, separator) == expected


@settings(max_examples=300, deadline=None)
@given(words=st.lists(PLAIN, min_size=1, max_size=4))
def test_lists_shown_by_python_and_json_give_back_their_words(words: list[str]) -> None:
    assert list_words(str(words), ",") == words
    assert list_words(json.dumps(words, ensure_ascii=False), ",") == words


def test_the_case_of_pandas(tmp_path: Path) -> None:
    """Lists in a DataFrame, to a CSV file and back."""
    values = lists(300)
    stream = io.StringIO()
    frame(300).assign(seen=values).to_csv(stream, index=False)
    (tmp_path / "rows.csv").write_text(stream.getvalue())
    assert next(
        row for row in csv.DictReader(io.StringIO(stream.getvalue())) if "," in row["seen"]
    )["seen"].startswith("[")
    store = prepare(
        load_dataset(dataset(tmp_path, features=[*FEATURES, feature()])), data_dir=tmp_path / "data"
    )
    texts = [",".join(map(str, ids)) for ids in values]
    typed = prepared(
        tmp_path / "typed", frame(300).assign(seen=texts), features=[*FEATURES, feature()]
    )
    assert store.schema == typed.schema
    assert pd.Series(read_back(store)).equals(pd.Series(read_back(typed)))
