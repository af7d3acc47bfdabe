"""The settings as they are described: against the models themselves, and the page in docs/."""

import re

import pytest

from automtl.config import RunConfig, resolve
from automtl.config_layers import leaves
from automtl.config_reference import DATASET, RUN
from automtl.data.spec.dataset import list_presets, load_dataset
from automtl.errors import ConfigError
from automtl.strict import parse_yaml
from tests.house import ROOT

ALL = {one.path: one for own in RUN.sections().values() for one in own}


@pytest.mark.parametrize(("page", "reference"), [("settings", RUN), ("data_yaml", DATASET)])
def test_the_page_is_that_of_the_code(page, reference):
    written = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    assert written == reference.page(), "run python -m scripts.settings_page"


def test_every_setting_of_a_resolved_config_is_described():
    config = resolve(source="census_income", flags={})
    values = config.model_dump(mode="json")
    described = tuple(ALL)
    for path in leaves(values):
        whole = {path, *(path[: m.start()] for m in re.finditer(r"\.", path))}
        assert path.startswith("origins") or whole & set(described), path
    assert {path.partition(".")[0] for path in ALL} == set(RunConfig.model_fields) - {"origins"}


def test_defaults_are_those_of_the_config():
    held = RunConfig(data={"source": "x"}).model_dump(mode="json")
    for path, one in ALL.items():
        if path.startswith("space.") or one.default == "required":
            continue
        value = held
        for part in path.split("."):
            value = value[part]
        assert parse_yaml(one.default, path) == value, path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("seed", "whole number, at least 0, below 2,147,483,648"),
        ("runtime.deterministic", "true or false"),
        ("runtime.on_nan", "stop or skip"),
        ("runtime.time_limit_s", "number or null, above 0"),
        ("runtime.loggers", "list of: tensorboard or mlflow"),
        ("space.dropout", "number, at least 0, below 1"),
        (
            "search.strategy",
            "darts or snas or gdas or random_sampling or random_search or evolution",
        ),
        ("sharing", "mapping"),
    ],
)
def test_types_in_words(path, kind):
    assert ALL[path].type == kind


def test_every_setting_has_a_sentence():
    described = [one for own in DATASET.sections().values() for one in own]
    assert [one.path for one in (*ALL.values(), *described) if not one.meaning] == []


def test_an_unknown_section_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'search'"):
        RUN.section("serch")


def test_the_schema_takes_a_part_of_the_settings_and_knows_every_section():
    schema = RUN.json_schema()
    assert set(schema["properties"]) == set(RunConfig.model_fields)
    assert "required" not in str(schema).replace("'required' settings", "")
    assert "base" in schema["$defs"]["SearchSpace"]["properties"]
    search = schema["$defs"]["SearchSection"]["properties"]
    assert search["epochs"]["description"] and search["strategy"]["enum"][0] == "darts"
    assert schema["$defs"]["SearchSection"]["additionalProperties"] is False


def keys(value):
    """Every key of a written file, lists and mappings alike."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


@pytest.mark.parametrize("name", list_presets())
def test_every_key_of_a_shipped_data_set_is_described(name):
    written = load_dataset(name).model_dump(mode="json")
    for mapping in ("times", "recommends"):  # their keys are a user's
        written.pop(mapping)
    known = {
        part for own in DATASET.sections().values() for one in own for part in one.path.split(".")
    }
    assert set(keys(written)) <= {part.removesuffix("[]") for part in known}


def test_a_data_set_s_schema_takes_what_the_reader_takes():
    schema = DATASET.json_schema()
    files = schema["$defs"]["SourceFiles"]["properties"]["train"]
    assert {one["type"] for one in files["anyOf"]} == {"string", "array"}, "one path, or several"
    assert schema["required"] == ["name", "files", "features", "tasks"]
    kinds = schema["properties"]["features"]["items"]["discriminator"]["mapping"]
    assert set(kinds) == {"categorical", "multi", "sequence", "numeric"} <= set(DATASET.sections())
