"""The table of all hand-made models on a tiny data set: every kind trains by the ordinary code,
with no flag of its own.
"""

import runpy
from pathlib import Path

import pytest

from automtl.files import read_json
from automtl.spaces.architecture import Architecture, shipped_architectures
from automtl.spaces.catalogue import SHARING
from tests.support import write_dataset

SCRIPT = Path(__file__).parents[2] / "scripts" / "reproduce_baselines.py"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Its lines and its figures."""
    folder = tmp_path_factory.mktemp("baselines")
    yaml = write_dataset(folder / "data", rows=240)
    figures = folder / "figures.json"
    given = [
        "--data",
        str(yaml),
        "--data-dir",
        str(folder / "prepared"),
        "--out",
        str(folder / "runs"),
        "--json",
        str(figures),
        "--quick",
    ]
    given += ["--set", "retrain.batch_size=64"]
    script = runpy.run_path(str(SCRIPT))
    script["main"](given)
    rows = read_json(figures)
    return script["lines"](rows), rows


def test_one_row_per_shipped_model_and_every_kind_among_them(table):
    lines, rows = table
    assert [row["model"] for row in rows] == sorted(
        n for n in shipped_architectures() if Architecture.load(n).is_template
    )
    assert {Architecture.load(row["model"]).sharing.kind for row in rows} == set(SHARING) - {
        "selected"
    }
    assert len(lines) == 1 + len(rows) and lines[0].split()[:5] == [
        "model",
        "click",
        "auc",
        "buy",
        "auc",
    ]


def test_scores_and_costs_are_there(table):
    for row in table[1]:
        assert all(0 <= row["scores"][f"{task} auc"]["mean"] <= 1 for task in ("click", "buy")), (
            row["model"]
        )
        assert row["scores"]["MTL-Loss"]["mean"] > 0
        cost, rate = row["cost"], row["samples_per_s"]
        assert rate > 0
        parts = 2 if row["model"] == "single_task" else 1
        assert cost["table_parameters"] == parts * (21 + 16) * 16, (
            "20 and 15 ids, and an unknown one each"
        )
        assert cost["other_parameters"] > 0 and cost["flops_per_row"] > 0
        assert cost["megabytes"] == pytest.approx(
            4 * (cost["table_parameters"] + cost["other_parameters"]) / 2**20
        )
