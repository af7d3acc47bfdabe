"""What a data set's YAML may say, and how it is refused."""

from pathlib import Path

import pytest

from automtl.data.spec.dataset import default_data_dir, list_presets, load_dataset
from automtl.errors import ConfigError
from tests.data.tables import FEATURES, TASKS, dataset


def refused(tmp_path: Path, **settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_dataset(dataset(tmp_path, **settings))
    return str(caught.value)


def test_paths_are_relative_to_the_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dataset(tmp_path, files={"train": ["a.csv", "/b/c.csv", "s3://bucket/d.csv"]})
    monkeypatch.chdir(tmp_path)
    assert load_dataset(path.name).files.train == (
        str(tmp_path / "a.csv"),
        "/b/c.csv",
        "s3://bucket/d.csv",
    )


def test_every_preset_loads_and_says_its_source() -> None:
    assert "census_income" in list_presets()
    for name in list_presets():
        config = load_dataset(name)
        assert config.name == name
        assert config.source


def test_a_path_wins_over_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(tmp_path, name="mine").rename(tmp_path / "census_income")
    monkeypatch.chdir(tmp_path)
    assert load_dataset("census_income").name == "mine"


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'census_income'"):
        load_dataset("census_incme")


def test_data_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMTL_DATA_DIR", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert default_data_dir() == Path("/a")
    monkeypatch.delenv("AUTOMTL_DATA_DIR")
    assert default_data_dir() == Path("/b/automtl")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert default_data_dir() == Path("/c/.cache/automtl")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"taskss": []}, "taskss is not a known key (did you mean 'tasks'?)"),
        (
            {"features": [{"name": "a", "kind": "numeric", "min_cout": 2}]},
            "min_cout is not a known key (did you mean 'min_count'?)",
        ),
        ({"features": [{"name": "a", "kind": "wide"}]}, "features.0"),
        ({"features": []}, "features"),
        ({"tasks": []}, "tasks"),
        ({"features": [*FEATURES, FEATURES[0]]}, "features: 'user' is named twice"),
        ({"tasks": [*TASKS, TASKS[1]]}, "tasks: 'buy' is named twice"),
        (
            {"features": [*FEATURES, {"name": "is_buy", "kind": "numeric"}]},
            "'is_buy' is the label of task 'buy' and would leak it",
        ),
        ({"outcome_columns": ["tag"]}, "'tag' is one of outcome_columns and would leak it"),
        ({"split": {"kind": "time"}}, "column must be given where kind is time"),
        ({"split": {"train": 0.5}}, "train + validation + test must be 1"),
        ({"split": {"kind": "files"}}, "files.test must be given where split.kind is files"),
        (
            {"files": {"train": "a", "test": "b"}},
            "split.kind must be files where files.validation or files.test are given",
        ),
        ({"tasks": [{**TASKS[0], "where": "is_buy = 1"}]}, "where must be comparisons"),
        (
            {"tasks": [{**TASKS[0], "transform": "log1p"}]},
            "transform is for regression labels only",
        ),
        ({"tasks": [{**TASKS[0], "weight": -1.0}]}, "tasks.0.weight"),
        ({"name": "../up"}, "name"),
        (
            {"tasks": [{**TASKS[0], "name": "total"}]},
            "tasks.0.name cannot be 'total': that is the sum of all tasks' losses",
        ),
    ],
)
def test_refusals_say_what_is_wrong(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    assert message in refused(tmp_path, **settings)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, nmae="x", split={"kind": "sideways"})
    assert "nmae is not a known key (did you mean 'name'?)" in message
    assert "split.kind" in message


def test_allow_leak_lets_an_outcome_be_a_feature(tmp_path: Path) -> None:
    assert load_dataset(
        dataset(tmp_path, outcome_columns=["tag"], allow_leak=["tag"])
    ).allow_leak == ("tag",)
