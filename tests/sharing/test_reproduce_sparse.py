"""The script that judges whether gates become sparse: its limit against scipy, its generated tasks,
and a short run that goes on.
"""

import json

import numpy as np
import pytest
from scipy import stats

from scripts import reproduce_sparse
from scripts.reproduce_sparse import MODELS, generate, main, upper_limit


@pytest.mark.parametrize("sizes", [(5, 5), (5, 3), (2, 4)])
def test_the_limit_is_welchs(sizes):
    rng = np.random.default_rng(sum(sizes))
    one, other = rng.normal(1.01, 0.02, sizes[0]), rng.normal(1.0, 0.005, sizes[1])
    interval = stats.ttest_ind(one, other, equal_var=False, alternative="less").confidence_interval(
        0.95
    )
    assert upper_limit(list(one), list(other)) == pytest.approx(
        interval.high / other.mean(), rel=1e-9
    )
    assert upper_limit([1.0], [1.0, 2.0]) == float("inf"), "one seed shows nothing"


def test_generated_tasks_share_nothing():
    """Given its own three fields a task's rate is far from its mean; of another task's fields it
    knows nothing.
    """
    table = generate(60_000, 0)
    for task in range(3):
        spreads = [table.groupby(f"f{f}")[f"y{task}"].mean().std() for f in range(9)]
        own = spreads[3 * task : 3 * task + 3]
        assert min(own) > 3 * max(set(spreads) - set(own))


def test_a_short_run_makes_the_page_and_goes_on_where_it_was(tmp_path, monkeypatch):
    asked = [
        "--out",
        str(tmp_path),
        "--fast",
        "--threads",
        "1",
        "--data-dir",
        str(tmp_path / "prepared"),
        "--seeds",
        "0",
    ]
    main([*asked, "--models", "dselect_k;mssm"])
    lines = (tmp_path / "trainings.jsonl").read_text().splitlines()
    trained = []
    honest = reproduce_sparse.train
    monkeypatch.setattr(
        reproduce_sparse, "train", lambda *case: trained.append(case[1]) or honest(*case)
    )
    main(asked)
    assert trained == [model for model in MODELS if model not in ("dselect_k", "mssm")], (
        "what was done is not done again"
    )
    rows = [json.loads(line) for line in (tmp_path / "trainings.jsonl").read_text().splitlines()]
    assert [json.dumps(row) for row in rows[:2]] == lines
    assert [row["judged"] for row in rows] == [True] * 5, (
        "what is evaluated is of an epoch that could be the best"
    )
    by_model = {row["model"]: row for row in rows}
    assert by_model["dselect_k"]["binary"] and by_model["dselect_k"]["experts"] <= 2
    assert "cells_off" in by_model["mssm"] and len(by_model["snr_aver"]["cross_off"]) == 2
    page = (tmp_path / "sparse.md").read_text()
    assert "holds: dselect_k on apart" in page and "| apart | mssm, lambda_m 0 | 1 |" in page
