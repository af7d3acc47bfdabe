"""What a plan says of memory where lists are long, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automtl.config import resolve
from automtl.errors import AutoMTLError, ConfigError
from automtl.phases.search import search
from automtl.phases.search.plan import as_rows, plan_search
from tests.phases.recommending import planned as planned_retrain
from tests.support import write_dataset

SETS = [
    "search.strategy=darts",
    "search.selection=argmax",
    "search.batch_size=64",
    "search.epochs=2",
    "search.warmup_epochs=0",
    "space.num_experts=2",
    "space.num_blocks=1",
]


def planned(folder: Path, longest: int, monkeypatch: pytest.MonkeyPatch):
    folder.mkdir()
    g = np.random.default_rng(0)
    seen = [" ".join(map(str, g.integers(0, 9, 2))) for _ in range(300)]
    seen[::30] = [" ".join(["1"] * longest)] * 10  # some of them train
    table = pd.DataFrame(
        {"seen": seen, "user": g.integers(0, 9, 300), "click": g.integers(0, 2, 300)}
    )
    table.to_csv(folder / "rows.csv", index=False)
    features = [
        {"name": "user", "kind": "categorical"},
        {"name": "seen", "kind": "multi", "separator": " "},
    ]
    data = {
        "name": "listed",
        "files": {"train": "rows.csv"},
        "features": features,
        "tasks": [{"name": "click", "label": "click"}],
    }
    (folder / "listed.yaml").write_text(json.dumps(data))
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(folder / "cache"))
    return plan_search(
        resolve(source=str(folder / "listed.yaml"), space="automtl_small", sets=SETS, flags={})
    )


def test_a_plan_counts_the_longest_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case C: 87 MB were said, and 1.9 GB taken by one list of 20,000 ids."""
    short, long = (planned(tmp_path / str(n), n, monkeypatch) for n in (2, 5000))
    width = 16
    # rows, ids, and bytes of each: known, place, its vector twice
    grown = 64 * 4998 * (4 + 8 + 8 * width) / 2**20
    assert long.memory_mb - short.memory_mb == pytest.approx(1.33 * grown, rel=0.05)
    assert long.longest_lists == {"seen": 5000}
    assert (
        "with the longest list of each field in one batch (ids: seen 5,000; max_length cuts them)"
        in dict(as_rows(long))["memory"]
    )


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ("search.rivals=[nosuch]", "nosuch: must be an architecture file or a shipped name"),
        ("search.rivals=[mmoe, mmoe]", "search.rivals: must name each model once"),
        ("retrain.warmup_epochs=4", "retrain.warmup_epochs: must be below search.race_epochs = 3"),
        ("retrain.monitor={click: rmse}", "retrain.monitor"),
    ],
)
def test_a_plan_refuses_what_the_search_does(tmp_path: Path, given: str, refusal: str) -> None:
    dataset = write_dataset(tmp_path / "data")
    made = resolve(source=str(dataset), space="automtl_small", sets=[given], flags={})
    with pytest.raises(AutoMTLError, match=refusal):
        plan_search(made)
    with pytest.raises(AutoMTLError, match=refusal):
        search(made, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_plan_of_a_race_names_no_time_that_it_does_not_tell(tmp_path: Path) -> None:
    sets = ["search.race_epochs=1", "search.rivals=[]"]
    made = resolve(
        source=str(write_dataset(tmp_path / "data")), space="automtl_small", sets=sets, flags={}
    )
    rows = dict(as_rows(plan_search(made)))
    assert "time" not in rows and rows["race"].endswith("steps of single models")


def test_a_retrain_takes_no_time_limit_and_says_what_ends_it(tmp_path: Path) -> None:
    """It would be read and ignored: the stages of a sparse gate cannot be cut anywhere."""
    dataset = write_dataset(tmp_path / "data")
    with pytest.raises(ConfigError, match=r"runtime.time_limit_s: must be left out.*got 5.*epochs"):
        planned_retrain("mmoe", dataset, tmp_path, "runtime.time_limit_s=5")
    one = ("architecture.num_experts=1", "sharing.k=1")
    assert len(planned_retrain("dselect_k", dataset, tmp_path, *one).architecture.experts) == 1
