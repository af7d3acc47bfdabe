import pytest

from automtl.errors import ConfigError
from automtl.strict import load_yaml, parse_yaml


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
