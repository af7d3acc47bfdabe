"""The gates' panel: weights level by level, and what DSelect-k has settled on."""

from dataclasses import replace

import pytest

from automtl.reports.load import load_runs
from automtl.reports.panels._training import gates_panel
from tests.reports.runs import write_run


def panel(tmp_path, **recorded):
    (run,) = load_runs([write_run(tmp_path / "run")])
    lines = [
        {**line, "sharing": {**line.get("sharing", {}), **recorded}}
        for line in run.retrains[0].lines
    ]
    phases = [
        replace(phase, lines=lines) if phase is run.retrains[0] else phase for phase in run.phases
    ]
    return gates_panel([replace(run, phases=phases)])


@pytest.mark.parametrize(
    ("step", "told"), [(1412, "Binary since step 1,412."), (None, "Not binary yet in that epoch.")]
)
def test_the_experts_that_dselect_k_selects_and_since_when(tmp_path, step, told):
    made = panel(tmp_path, experts={"<click>": [0, 3], "buy": [1]}, binary_step=step)
    assert f"Experts with weight, &lt;click&gt;: 0, 3; buy: 1. {told}" in made
    assert "<svg" in made


def test_other_kinds_have_their_weights_only(tmp_path):
    made = panel(tmp_path)
    assert "<svg" in made
    assert "Experts with weight" not in made
