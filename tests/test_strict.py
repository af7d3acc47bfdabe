import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from automtl.config import RunConfig
from automtl.errors import ConfigError
from automtl.spaces.space import SearchSpace
from automtl.strict import build, load_yaml, parse_yaml, to_yaml

LETTERS = st.text(st.characters(exclude_categories=["Cs"]))  # half a letter is no text
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | LETTERS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "the key 'a' is given twice"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: [1", "must be YAML"),
        ("!!python/object/apply:os.system [ls]", "must be YAML"),
        ("[" * 100_000, "must be YAML"),
        ("? [a]\n: 1", "must be YAML"),
    ],
)
def test_yaml_that_repeats_aliases_or_executes_is_refused(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    assert message in str(caught.value) and "f.yaml" in str(caught.value)


def test_absent_huge_and_non_utf8_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_yaml(tmp_path / "absent.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"a: " + b"x" * 2**21)
    with pytest.raises(ConfigError, match="at most 2 MiB"):
        load_yaml(tmp_path / "huge.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_yaml(tmp_path / "latin.yaml")


INF = float("inf")
MEANT = {
    "1e-3": 0.001,
    "1E5": 100000.0,
    "-2.5e+3": -2500.0,
    "1.e2": 100.0,
    ".5": 0.5,
    "+.5e1": 5.0,
    "1.": 1.0,
    "0.001": 0.001,
    ".inf": INF,
}
MEANT |= {
    "-.INF": -INF,
    "0": 0,
    "-0": 0,
    "+12": 12,
    "0x1F": 31,
    "0o17": 15,
    "0.0": 0.0,
    "0e3": 0.0,
    "true": True,
    "False": False,
}
MEANT |= dict.fromkeys(["null", "Null", "~", ""])
TEXTS = (
    "109_14 010 -010 00 12:30 1:2:3 1:30.5 0b11 01.5 1_000.5 1e e5 1e-3s . = << nil 2024-05-01 "
    "yes no on off y tRue".split()
)
TEXTS += ["inf", "nan", "Infinity", "2024-05-01 12:00:00"]


@pytest.mark.parametrize(("text", "value"), [*MEANT.items(), *((text, text) for text in TEXTS)])
def test_words_mean_what_yaml_1_2_says(text, value):
    """The oracle is the core schema of YAML 1.2.2, section 10.3, but that a number with a 0 too
    many in front is a text.
    """
    held = parse_yaml(f"a: {text}", "f.yaml")["a"]
    assert held == value and type(held) is type(value)


@given(
    st.recursive(
        PLAIN, lambda inner: st.lists(inner) | st.dictionaries(LETTERS, inner), max_leaves=8
    )
)
@example(
    [
        "1e-3",
        "010",
        "12:30",
        "109_14",
        "yes",
        "2024-05-01",
        "~",
        "",
        "0x1F",
        "<<",
        "=",
        ".inf",
        "1.",
        "\u2028",
    ]
)
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_back_as_it_was(value):
    held = parse_yaml(to_yaml(value), "f.yaml")
    assert held == value and repr(held) == repr(value)


@pytest.mark.parametrize(
    ("settings_of_a_run", "message"),
    [
        ({"search": None}, "search must be a mapping of settings, got None"),
        ({"search": 3}, "search must be a mapping of settings, got 3"),
        ({"sharing": [1]}, r"sharing must be a mapping, got \[1\]"),
        ({"search": {1: 2}}, "search.1 must be a word, as every key, got 1"),
    ],
)
def test_a_message_names_no_class_of_ours(settings_of_a_run, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(RunConfig, settings_of_a_run, "run.yaml")
    assert "Section" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interaction": []}, "interaction must have at least 1 item, got []"),
        ({"interaction": "skip"}, "interaction must be a list, got 'skip'"),
        ({"interaction": [["skip"]]}, "interaction.0 should be a valid string, got ['skip']"),
        ({"towers": [8] * 17}, "towers must have at most 16 items, got 17"),
    ],
)
def test_a_list_of_a_space_is_spoken_of_as_a_list(change, message):
    plain = {"name": "a", "source": "b", "interaction": ["skip"], "expert": ["skip"]}
    with pytest.raises(ConfigError) as caught:
        build(SearchSpace, plain | change, "space.yaml")
    assert str(caught.value) == f"space.yaml: {message}"
