"""What a word is read as, word by word, and the same by the exports' encoder in plain Python."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from automtl.data.values.forms import (
    MISSING_IDS,
    MISSING_NUMBERS,
    Form,
    FormFinder,
    missing_words,
    normal,
    plain,
)
from automtl.data.values.list_columns import normal_lists, plain_lists
from automtl.exports import encode


def form(*words: str) -> Form:
    finder = FormFinder()
    finder.see(plain(pa.array(words, pa.string()), MISSING_IDS))
    return finder.form


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["1", "22", "-5"], Form("whole")),
        (["7.0", "7", "+7", "-0", ""], Form("whole")),
        (["0", "1"], Form("bit")),
        (["-0", "1.0"], Form("bit")),
        (["0", "1", "2"], Form("whole")),
        (["9007199254740993"], Form("whole")),
        (["02134", "10001"], Form("fixed", 5)),
        (["007", "11"], Form()),
        (["007"], Form("fixed", 3)),
        (["-01"], Form()),
        (["0" * 101], Form()),
        (["True", "false"], Form("truth")),
        (["TRUE"], Form("truth")),
        (["True", "0", "1.0"], Form("truth")),
        (["True", "2"], Form()),
        (["1.5", "2", "2.0", "1e-05", "0.00001", "1e+16"], Form("float")),
        (["1.5", "1.10"], Form()),
        (["1.5", "1e5"], Form()),
        (["1e5"], Form()),
        (["1.5", "007"], Form()),
        (["1.5", "true"], Form()),
        (["1.5", "inf"], Form()),
        (["a", "1"], Form()),
        (["?", "1"], Form()),
        (["", "null"], Form()),
        ([], Form()),
    ],
)
def test_the_form_of_words(words: list[str], expected: Form) -> None:
    assert form(*words) == expected
    finder = FormFinder()
    for word in ["", *words]:  # in batches
        finder.see(plain(pa.array([word, ""], pa.string()), MISSING_IDS))
    assert finder.form == expected


FORMS = WHOLE, FIXED, TRUTH, FLOAT, TEXT, BIT = (
    Form("whole"),
    Form("fixed", 5),
    Form("truth"),
    Form("float"),
    Form(),
    Form("bit"),
)


@pytest.mark.parametrize(
    ("form", "word", "expected"),
    [
        *((WHOLE, word, "7") for word in ("7", "7.0", "7.", "+7", " 7 ", "7.000", "\u00a07")),
        *((WHOLE, word, "0") for word in ("0", "-0", "-0.0", "0.0", "+0")),
        *((BIT, word, "1") for word in ("1", "1.0", "True", "true", " TRUE")),
        *((BIT, word, "0") for word in ("0", "-0", "False")),
        (BIT, "2", "2"),
        (WHOLE, "True", "true"),
        (WHOLE, "-7.0", "-7"),
        (WHOLE, "9007199254740993.0", "9007199254740993"),
        (WHOLE, "007", "007"),
        (WHOLE, "x", "x"),
        *((FIXED, word, "02134") for word in ("02134", "2134", "2134.0", " 2134")),
        (FIXED, "10001", "10001"),
        (FIXED, "123456", "123456"),
        (FIXED, "-2134", "-2134"),
        (FIXED, "", ""),
        *((TRUTH, word, "true") for word in ("True", "TRUE", "true", "1", "1.0", " tRue ")),
        *((TRUTH, word, "false") for word in ("False", "FALSE", "false", "0", "0.0")),
        (TRUTH, "2", "2"),
        *((FLOAT, word, "1.5") for word in ("1.5", "1.50", "+1.5", "15e-1")),
        *((FLOAT, word, "2") for word in ("2", "2.0", "2e0")),
        (FLOAT, "0.00001", "1e-05"),
        (FLOAT, "10000000000000000", "1e+16"),
        (FLOAT, "9007199254740993", "9007199254740993"),
        (FLOAT, "1e999", "1e999"),
        *(
            (TEXT, word, word)
            for word in (
                "007",
                "1.10",
                "1e5",
                "7.0",
                "+7",
                "-0",
                "NA",
                "?",
                "None",
                "nan",
                "-",
                "a b",
                "1,5",
            )
        ),
        *((TEXT, word, "true") for word in ("True", "TRUE", "true")),
        (TEXT, "\u3000a b\t", "a b"),
        *((any_form, word, "") for any_form in FORMS for word in (*MISSING_IDS, " ", " NaN ")),
        *(
            (TEXT, word, "2023-11-14")
            for word in (
                "2023-11-14",
                "2023-11-14 00:00:00",
                "2023-11-14T00:00",
                "2023-11-14 00:00:00.000000",
                "2023-11-14T01:00:00+01:00",
            )
        ),
        *(
            (TEXT, word, "2023-11-14 10:11:12.5")
            for word in (
                "2023-11-14 10:11:12.5",
                "2023-11-14T10:11:12.500Z",
                "2023-11-14 10:11:12.50 UTC",
                "2023-11-14 11:41:12.5+0130",
            )
        ),
        (TEXT, "2023-13-14T10:11:12+01:00", "2023-13-14T10:11:12+01:00"),
    ],
)
def test_a_word_in_a_form(form: Form, word: str, expected: str) -> None:
    assert form.apply(plain(pa.array([word, "x"], pa.string()), MISSING_IDS))[0].as_py() == expected
    assert encode.formed(encode.plain(word, MISSING_IDS), form.kind, form.digits) == expected


WORDS = st.one_of(
    st.text(max_size=6),
    st.from_regex(r"\A[-+]?[0-9]{1,4}(\.[0-9]{0,3})?([eE][-+]?[0-9]{1,3})?\Z"),
    st.from_regex(
        r"\A\s?(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][ "
        r"T][0-2][0-9]:[0-5][0-9](:[0-5]0(\.[0-9]{1,6})?)? ?(Z|UTC|[-+]01:?[03]0)?\Z"
    ),
    st.sampled_from(["true", "TRUE", "False", *MISSING_NUMBERS, "\u00a0", "\x1c", "-0.0"]),
    st.tuples(
        st.sampled_from(["", " ", "\t", "\u2003"]),
        st.integers(-9, 99).map(str),
        st.sampled_from(["", ".0", " "]),
    ).map("".join),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, max_size=12), st.sampled_from(FORMS))
@example(["0001-01-01T00:00+14:00", "2023-11-14T10:11"], TEXT)
@example(["TrUE", "True"], TEXT)  # one of the words for a missing value, in another spelling
def test_words_against_plain_python(words: list[str], form: Form) -> None:
    array = pa.array(words, pa.string())
    for missing in (
        MISSING_IDS,
        MISSING_NUMBERS,
        missing_words(("-1", " none ", "TRUE", "1970-01-01 00:00:00", "a.b")).ids,
    ):
        found = plain(array, missing)
        assert found.to_pylist() == [encode.plain(word, missing) for word in words]
        assert plain(found, missing).equals(found)
        assert normal(found).to_pylist() == [
            encode.normal(encode.plain(word, missing)) for word in words
        ]
        assert form.apply(found).to_pylist() == [
            encode.formed(encode.plain(word, missing), form.kind, form.digits) for word in words
        ]


@settings(deadline=None)
@given(st.lists(st.lists(WORDS, max_size=4), max_size=4), st.sampled_from([",", "|", " "]))
@example([["\x1f1900-00-00T00:00", ""], ["\x1f1", "2,3"], ["1\x1f2", "3"]], ",")
def test_lists_against_plain_python(lists: list[list[str]], separator: str) -> None:
    texts = [separator.join(words) for words in lists]
    column = pa.array(texts, pa.string()).dictionary_encode()
    found = plain_lists(column, separator, MISSING_IDS).to_pylist()
    words = [
        [encode.plain(word, MISSING_IDS) for word in encode.list_words(text, separator)]
        for text in texts
    ]
    assert found == ["\x1f".join(filter(None, some)) for some in words]
    assert normal_lists(pa.array(found, pa.string())).to_pylist() == [
        "\x1f".join(map(encode.normal, filter(None, some))) for some in words
    ]


@pytest.mark.parametrize("word", MISSING_NUMBERS)
def test_missing_words_by_role(word: str) -> None:
    array = pa.array([word], pa.string())
    assert plain(array, MISSING_NUMBERS).to_pylist() == [""]
    assert plain(array, MISSING_IDS).to_pylist() == ["" if word in MISSING_IDS else word]


def test_null_values_of_ones_own() -> None:
    missing = missing_words(("-1", "none"))
    assert plain(
        pa.array(["-1", "-1.0", " none", "", "NaN", "None", "1"]), missing.ids
    ).to_pylist() == ["", "", "", "", "NaN", "None", "1"]
    assert missing.values == {"-1": -1.0}
    assert missing_words(()).ids == ("",)


def test_the_same_array_where_nothing_changes() -> None:
    words = pa.array([str(number) for number in np.arange(50)] + ["a", "b c", "2023-11-14"])
    assert (
        plain(words, MISSING_IDS) is words
        and normal(words) is words
        and Form("whole").apply(words) is words
    )
