"""What is said of the rows: label rates that chance does not explain, drift, tasks without
labels.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from automtl.data.describe import describe
from automtl.data.prepare import placed
from automtl.data.prepare._copies import Copies
from automtl.data.prepare._digest import ROLES, Digester
from automtl.data.prepare.remarks import remarks
from automtl.data.prepare.rows import RowReader
from automtl.data.raw.sources import find_sources
from automtl.data.spec.dataset import default_data_dir, load_dataset
from automtl.data.spec.sections import Split
from tests.data.drawn import alarms, configured, digested, few_values, parts_by_seed
from tests.data.tables import TASKS, everything, frame, prepared
from tests.data.test_kuairand import REAL as KUAIRAND


@pytest.mark.parametrize("columns", [1, 2, 3, 5])
def test_a_random_split_raises_an_alarm_once_in_a_thousand(tmp_path: Path, columns: int) -> None:
    table, _ = few_values(columns)
    config = configured(tmp_path, table)
    batch = digested(config, table)
    assert (
        sum(
            bool(alarms(config, batch, parts)) for parts in parts_by_seed(config, batch, range(100))
        )
        <= 1
    )


def test_labels_that_decide_the_part_raise_an_alarm(tmp_path: Path) -> None:
    table, _ = few_values(2)
    # as every random split once was: case A1
    config = configured(tmp_path, table, split={"duplicates": "together"})
    batch = digested(config, table)
    assert (
        sum(bool(alarms(config, batch, parts)) for parts in parts_by_seed(config, batch, range(20)))
        == 20
    )


def test_a_split_by_time_is_told_as_drift(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    table = frame(4000).assign(
        is_click=(g.random(4000) < np.linspace(0.2, 0.8, 4000)).astype(int),
        time=1_700_000_000 + np.arange(4000),
    )
    found = describe(prepared(tmp_path, table, split={"kind": "time", "column": "time"}))
    [remark] = found["remarks"]
    assert remark.startswith(
        "drift: the labels of the parts differ, as they may in this split (time, column time): "
        "click (positive: "
    )
    click = found["tasks"][0]
    assert click["p"] < 1e-9 and list(click["rates"]["positive"]) == [
        "fit",
        "alpha",
        "validation",
        "test",
    ]
    rates = (
        everything(prepared(tmp_path, table, split={"kind": "time", "column": "time"}))
        .groupby("part")["click"]
        .mean()
    )
    told = click["rates"]["positive"]
    assert [told[part] for part in ("fit", "alpha", "validation", "test")] == pytest.approx(
        [rates[part] for part in ("train", "alpha", "validation", "test")]
    )


@pytest.mark.parametrize(
    ("split", "how"),
    [
        ({"duplicates": "together"}, "in this split (random, copies together): click"),
        ({"column": "user"}, "in this split (random, column user): click"),
        ({"kind": "by_user", "column": "user"}, "in this split (by_user, column user): click"),
    ],
)
def test_rows_that_go_together_are_no_alarm(
    tmp_path: Path, split: dict[str, object], how: str
) -> None:
    g = np.random.default_rng(0)
    table = pd.DataFrame({"user": g.integers(0, 60, 20_000)}).assign(x0=lambda t: t["user"] % 5)
    rates = g.random(60)[table["user"]]
    table = table.assign(
        is_click=(g.random(20_000) < rates).astype(int), is_buy=g.integers(0, 2, 20_000)
    )
    features = [{"name": "user", "kind": "categorical"}, {"name": "x0", "kind": "categorical"}]
    found = describe(prepared(tmp_path, table, features=features, split=split))["remarks"]
    assert how in found[-1] and not any("WARNING" in remark for remark in found)


def test_an_unlucky_random_split_is_an_alarm() -> None:
    """What is said where a random split's label rates are further apart than chance explains."""
    rates = {"fit": 0.437, "alpha": 0.309, "validation": 0.532, "test": None}
    task = {
        "counted": {"validation": 9, "test": 9},
        "classes": None,
        "rates": {"positive": rates, "other": dict.fromkeys(rates, 0.5)},
        "p": 2e-7,
    }
    summary = {
        "notes": [],
        "split": Split().model_dump(),
        "copies": {"rows": 0},
        "tasks": {"click": task, "buy": {**task, "p": 0.5}},
    }
    told = "click (positive: fit 0.437, alpha 0.309, validation 0.532; p 2e-07)"
    head = "WARNING: the labels of the parts differ by more than chance"
    assert remarks(summary) == [
        f"{head}: {told}. One random split in 1,000 does so; choose another split.seed"
    ]


def test_tasks_of_every_kind_are_compared(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    table = frame(5000).assign(
        kind=g.choice(["a", "b", "c"], 5000),
        spend=g.lognormal(3, 2, 5000),
        time=1_700_000_000 + np.arange(5000),
    )
    table.loc[table.index > 4400, "spend"] *= 1.5
    table.loc[table.index > 4400, "kind"] = "a"
    tasks = [
        {"name": "kind", "label": "kind", "kind": "multiclass"},
        {"name": "spend", "label": "spend", "kind": "regression"},
    ]
    found = describe(
        prepared(tmp_path / "time", table, tasks=tasks, split={"kind": "time", "column": "time"})
    )
    kind, spend = found["tasks"]
    raw = [
        table["spend"][slice(*ends)]
        for ends in ((0, 3200), (3200, 4000), (4000, 4500), (4500, 5000))
    ]
    assert spend["p"] == pytest.approx(stats.kruskal(*raw).pvalue, rel=1e-9)
    assert list(spend["rates"]["mean"].values()) == pytest.approx([part.mean() for part in raw])
    classes = [
        table["kind"][slice(*ends)]
        for ends in ((0, 3200), (3200, 4000), (4000, 4500), (4500, 5000))
    ]
    counts = np.array([[int((part == word).sum()) for word in "abc"] for part in classes])
    assert kind["p"] == pytest.approx(stats.chi2_contingency(counts).pvalue, rel=1e-9, abs=1e-300)
    assert kind["rates"]["class b"]["test"] == counts[3, 1] / 500
    chance = describe(prepared(tmp_path / "random", table, tasks=tasks))
    assert all(task["p"] > 0.001 for task in chance["tasks"])
    assert chance["remarks"] == ["task 'kind' is multiclass, of 3 classes: 'a', 'b' and 'c'"]


def test_a_task_without_labels_to_judge_by_is_told(tmp_path: Path) -> None:
    table = frame(1000).assign(time=1_700_000_000 + np.arange(1000), weight=1.0)
    table.loc[table.index >= 800, "is_buy"] = np.nan
    table.loc[table.index >= 900, "weight"] = 0.0
    tasks = [{**TASKS[0], "sample_weight": "weight"}, TASKS[1]]
    found = describe(
        prepared(tmp_path, table, tasks=tasks, split={"kind": "time", "column": "time"})
    )["remarks"]
    assert (
        "task 'buy' has no validation row with a label (and a weight above 0): there is no "
        "MTL-Loss of the validation rows; " in found[1]
    )
    tasks_and_parts = [
        "task 'click' has no test",
        "task 'buy' has no validation",
        "task 'buy' has no test",
    ]
    assert [line.split(" row ")[0] for line in found] == tasks_and_parts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["census_income", "kuairand_pure"])
def test_real_rows_raise_one_alarm_in_a_hundred_seeds_at_most(name: str, tmp_path: Path) -> None:
    raw = KUAIRAND if name == "kuairand_pure" else default_data_dir() / "raw" / name
    if not raw.is_dir():
        pytest.skip(f"{name} is not at {raw}")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).symlink_to(raw)
    config = placed(load_dataset(name), tmp_path)
    random = config.model_copy(update={"split": Split()})
    sources, digester = find_sources(config), Digester(random)
    read = RowReader(random, sources, digester.readings, print)
    files = [source.path for source in sources if source.role in ROLES]
    digests = list[pa.RecordBatch](digester(piece, "train") for piece in read(files))
    columns = ["role", "hash", *(f"y:{task.name}" for task in config.tasks)]
    [batch] = pa.Table.from_batches(digests).select(columns).combine_chunks().to_batches()
    copies = Copies.among(batch.column("hash").to_numpy().copy(), together=False)
    batch = next(copies.with_draws(iter([batch])))
    assert (
        sum(
            bool(alarms(random, batch, parts)) for parts in parts_by_seed(random, batch, range(100))
        )
        <= 1
    )
