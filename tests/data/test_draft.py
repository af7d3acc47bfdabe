"""Drafts of data sets: accepted by `prepare` once the tasks are named, with leaks flagged; and FuxiCTR's files."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from automtl.cli.data import app
from automtl.data.dataset import load_dataset
from automtl.data.draft import draft
from automtl.data.fuxictr import from_fuxictr
from automtl.data.prepare import prepare
from automtl.errors import ConfigError, DataError
from tests.data import test_census as census
from tests.data import test_kuairand as kuairand


def drafted(table: Path, folder: Path, tasks: list[dict[str, str]] | None = None) -> tuple[str, dict]:
    """The draft's text and content, after prepare has accepted it; `tasks` where the draft has none."""
    text = draft(table)
    content = yaml.safe_load(text)
    names = {task["label"] for task in tasks or ()}
    if tasks:
        content["tasks"] = tasks
        content["features"] = [feature for feature in content["features"] if feature["name"] not in names]
    (folder / "draft.yaml").write_text(json.dumps(content) if tasks else text)
    assert len(prepare(load_dataset(folder / "draft.yaml"), data_dir=folder / "data").rows("train")) > 0
    return text, content


def kinds(content: dict) -> dict[str, str]:
    return {feature["name"]: feature["kind"] for feature in content["features"]}


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if f'"name": "{name}"' in line)


def test_the_census_file_has_no_header(tmp_path: Path) -> None:
    census.write(tmp_path, "census-income.data", census.rows(600, 0))
    text, content = drafted(tmp_path / "raw/census_income/census-income.data", tmp_path)
    assert content["csv"]["columns"] == [f"c{i}" for i in range(1, 43)]
    assert content["tasks"] == [{"name": "c42", "label": "c42", "kind": "multiclass"}]
    assert kinds(content)["c5"] == "categorical"
    assert kinds(content)["c17"] == "numeric"


def test_the_kuairand_log(tmp_path: Path) -> None:
    log = kuairand.write(tmp_path, rows=2000)
    log["play_time_ms"] = np.where(log["long_view"] == 1, 20_000, 0) + log["play_time_ms"]
    log.to_csv(tmp_path / "log.csv", index=False)
    text, content = drafted(tmp_path / "log.csv", tmp_path)
    assert {task["label"] for task in content["tasks"]} == set(kuairand.LABELS)
    assert kinds(content) == {**dict.fromkeys(("user_id", "video_id", "tab"), "categorical"), "duration_ms": "numeric"}
    assert content["split"]["column"] == "time_ms"
    assert "LEAK? it alone tells long_view (AUC 1.000)" in line_of(text, "play_time_ms")
    assert "one value only" in line_of(text, "is_rand")


def test_parquet_with_lists_and_times(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    table = pd.DataFrame({"uid": g.integers(0, 99, 500), "seen": [[1, 2], [3]] * 250, "price": g.random(500)})
    table = table.assign(at=pd.date_range("2024-01-01", periods=500, freq="min"), bought=g.integers(0, 2, 500))
    table.to_parquet(tmp_path / "a b.parquet")
    _, content = drafted(tmp_path / "a b.parquet", tmp_path)
    assert kinds(content) == {"uid": "categorical", "seen": "multi", "price": "numeric"}
    assert (content["name"], content["split"]["column"]) == ("a_b", "at")
    assert content["tasks"][0]["label"] == "bought"


def test_tabs_lists_in_text_and_no_label(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    table = pd.DataFrame({"item_id": g.integers(0, 2000, 500), "tags": g.choice(["1|2", "3", "2|3|1"], 500)})
    table = table.assign(stars=g.integers(1, 6, 500))
    table.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    text, content = drafted(tmp_path / "t.tsv", tmp_path, [{"name": "stars", "label": "stars", "kind": "regression"}])
    assert kinds(content) == {"item_id": "categorical", "tags": "multi"}
    assert content["features"][1]["separator"] == "|"
    assert "no column looked like a label" in text


def test_semicolons_without_a_header(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    times = g.integers(1_650_000_000, 1_650_900_000, 500)
    table = pd.DataFrame({0: g.choice(["x", "y", "z"], 500), 1: g.random(500), 2: times, 3: g.integers(0, 2, 500)})
    table.to_csv(tmp_path / "s.csv.gz", index=False, header=False, sep=";")
    _, content = drafted(tmp_path / "s.csv.gz", tmp_path)
    assert content["csv"] == {"delimiter": ";", "columns": ["c1", "c2", "c3", "c4"]}
    assert kinds(content) == {"c1": "categorical", "c2": "numeric"}
    assert content["tasks"] == [{"name": "c4", "label": "c4", "kind": "binary"}]


def test_nothing_to_draft(tmp_path: Path) -> None:
    for name, content in (("empty.csv", ""), ("head.csv", "a,b\n")):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match="must have rows"):
            draft(tmp_path / name)


def test_the_commands_write_new_files_only(tmp_path: Path) -> None:
    kuairand.write(tmp_path, rows=300).to_csv(tmp_path / "log.csv", index=False)
    runner, arguments = CliRunner(), ["describe", str(tmp_path / "log.csv"), "--draft", str(tmp_path / "d.yaml")]
    assert runner.invoke(app, arguments).exit_code == 0
    assert load_dataset(tmp_path / "d.yaml").name == "log"
    again = runner.invoke(app, arguments)
    assert isinstance(again.exception, ConfigError)
    assert "must not exist yet" in str(again.exception)
    assert runner.invoke(app, arguments[:2]).stdout == (tmp_path / "d.yaml").read_text()


FUXICTR = """
tiny:
    data_root: ../data/
    data_format: csv
    train_data: ./rows.csv
    min_categr_count: 2
    feature_cols:
        - {name: [user, item], active: True, dtype: str, type: categorical}
        - {name: unused, active: False, dtype: str, type: categorical}
        - {name: seen, active: True, dtype: str, type: sequence, splitter: "^", max_len: 5, share_embedding: item}
        - {name: price, active: True, dtype: float, type: numeric, normalizer: MinMaxScaler}
        - {name: hour, active: True, dtype: str, type: meta}
    label_col: [{name: clk, dtype: float}, {name: buy, dtype: float}]
other: {train_data: x.csv}
"""


def test_fuxictr(tmp_path: Path) -> None:
    (tmp_path / "dataset_config.yaml").write_text(FUXICTR)
    g = np.random.default_rng(0)
    table = pd.DataFrame({"user": g.integers(0, 9, 300), "item": g.integers(0, 9, 300), "seen": "1^2^3", "price": g.random(300)})
    table.assign(hour=1, clk=g.integers(0, 2, 300), buy=g.integers(0, 2, 300)).to_csv(tmp_path / "rows.csv", index=False)
    text = from_fuxictr(tmp_path / "dataset_config.yaml", "tiny")
    (tmp_path / "mine.yaml").write_text(text)
    schema = prepare(load_dataset(tmp_path / "mine.yaml"), data_dir=tmp_path / "data").schema
    assert [(f.name, f.kind, f.shares) for f in schema.fields] == [
        ("user", "categorical", ""),
        ("item", "categorical", ""),
        ("seen", "sequence", "item"),
        ("price", "numeric", ""),
    ]
    assert [task.name for task in schema.tasks] == ["clk", "buy"]
    assert "# left out: price: normalizer 'MinMaxScaler'" in text
    assert "# left out: hour: type meta" in text
    with pytest.raises(ConfigError, match="must name one of the file's data sets, got 2 of them; choose from tiny, other"):
        from_fuxictr(tmp_path / "dataset_config.yaml")
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        from_fuxictr(tmp_path / "dataset_config.yaml", "tinny")
    with pytest.raises(ConfigError, match="features"):
        from_fuxictr(tmp_path / "dataset_config.yaml", "other")
