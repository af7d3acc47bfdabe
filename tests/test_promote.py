"""Promoting a run: the best of several by validation, with its provenance; and what is shipped says
where it comes from.
"""

import runpy

import pytest

from automtl import Architecture
from automtl.errors import ArtifactError
from automtl.spaces.architecture import shipped_architectures
from tests.house import ROOT
from tests.phases.test_compare import model, seeds
from tests.reports.architectures import searched

TOLD = {"dataset", "data_hash", "split_hash", "search_seed", "retrain_seeds", "scores", "cost"}


def test_the_best_by_validation_is_written_with_its_provenance(tmp_path):
    script = runpy.run_path(str(ROOT / "scripts/promote.py"))
    runs = [
        model(tmp_path, f"s{i}", "selected", seeds(loss), searched=i, data="clicks")
        for i, loss in enumerate((0.31, 0.30, 0.32))
    ]
    for i, run in enumerate(runs):
        searched(2, 3, seed=i, blocks=2).save(run / "search" / "architecture.json")
        manifest = {
            "state": "done",
            "seed": i,
            "data": {"name": "clicks", "hash": "h", "split_hash": "p"},
            "decisions": [{"choice": "interaction.0", "seed": i}],
        }
        script["files"].write_json(run / "search" / "manifest.json", manifest)
        for cost in run.glob("retrain/*/cost.json"):
            script["files"].write_json(
                cost, {"samples": 1000, "seconds": 2.0, "model": {"flops_per_row": 77}}
            )
    script["main"]([*map(str, runs), "--tag", "best", "--folder", str(tmp_path)])
    [path] = tmp_path.glob("*__clicks__best.json")
    made = Architecture.load(path)
    assert made == Architecture.load(runs[1] / "search" / "architecture.json")
    told = made.provenance
    assert (
        set(told) >= TOLD
        and told["search_seed"] == 1
        and told["chosen"].startswith("best of 3")
        and told["data_hash"] == "h"
        and list(told["decisions"]) == [{"choice": "interaction.0", "seed": 1}]
    )
    assert told["scores"]["validation"]["MTL-Loss"]["mean"] == pytest.approx(0.30, abs=1e-3)
    assert (
        told["cost"]["model"]["flops_per_row"] == 77 and told["cost"]["search"]["samples"] == 5000
    )
    with pytest.raises(ArtifactError, match="must not exist yet"):
        script["main"]([*map(str, runs), "--tag", "best", "--folder", str(tmp_path)])


def test_every_shipped_searched_architecture_says_where_it_comes_from():
    for name in (name for name in shipped_architectures() if "__" in name):
        made = Architecture.load(name)
        _, dataset, _ = name.split("__")
        assert (
            set(made.provenance) >= TOLD
            and made.provenance["dataset"] == dataset
            and made.name == name
            and not made.is_template
        )
        assert "decisions" in made.provenance or "decides nothing" in made.provenance["source"]
