"""The ablation tables: every variant of every system is what its settings say, trained by the
ordinary code.
"""

import runpy

import pytest

from automtl.files import read_json
from automtl.models.derived import build_model
from automtl.phases.retrain.plan import plug
from automtl.spaces.architecture import Architecture
from tests.house import ROOT
from tests.support import small_schema, write_dataset

script = runpy.run_path(str(ROOT / "scripts/reproduce_ablations.py"))


@pytest.mark.parametrize("system", script["ABLATIONS"])
def test_one_row_per_variant_with_scores_costs_and_what_was_recorded(system, tmp_path, capsys):
    yaml, figures = write_dataset(tmp_path / "data", rows=200), tmp_path / "figures.json"
    given = [
        "--system",
        system,
        "--data",
        str(yaml),
        "--data-dir",
        str(tmp_path / "prepared"),
        "--out",
        str(tmp_path / "runs"),
    ]
    script["main"](
        [
            *given,
            "--seeds",
            "0",
            "--json",
            str(figures),
            "--set",
            "retrain.epochs=1",
            "--set",
            "retrain.batch_size=64",
        ]
    )
    rows, printed = read_json(figures), capsys.readouterr().out.splitlines()
    assert [row["variant"] for row in rows] == list(script["ABLATIONS"][system].variants) and len(
        printed
    ) == 2 + len(rows)
    assert all(line.count("|") == printed[0].count("|") for line in printed)
    for row in rows:
        assert all(0 <= row["scores"][f"{task} auc"]["mean"] <= 1 for task in ("click", "buy"))
        assert row["cost"]["other_parameters"] > 0 and set(row["recorded"]) == set(
            script["ABLATIONS"][system].recorded
        )


def test_mome_variants_are_those_of_fig_3a():
    phases = {
        "base": [],
        "n": ["neuron masks"],
        "w": ["weight masks"],
        "full": ["neuron masks", "weight masks"],
    }
    for name, sets in script["ABLATIONS"]["mome"].variants.items():
        settings = {item.split(".")[1].split("=")[0]: int(item.split("=")[1]) for item in sets}
        made = plug(Architecture.load("mome"), kind=None, settings=settings, chosen_experts=None)
        net = build_model(made, small_schema())
        assert [stage.name for stage in net.sharing.stages()][:-1] == phases.pop(name.split()[0])
    assert not phases


def test_mssm_variants_are_those_of_table_2():
    made = {}
    for name, sets in script["ABLATIONS"]["mssm"].variants.items():
        settings = {item.split(".")[1].split("=")[0]: item.endswith("true") for item in sets}
        told = plug(
            Architecture.load("mssm"), kind=None, settings=settings, chosen_experts=None
        ).sharing.all_settings
        made[name.split()[0]] = (told["fields"], told["cells"])
    assert made == {
        "basic": (False, False),
        "a": (False, True),
        "b": (True, False),
        "full": (True, True),
    }
