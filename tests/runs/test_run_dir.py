"""A phase folder's places, however its path is written."""

from pathlib import Path

import pytest

from automtl.runs.run_dir import PhaseDir


@pytest.mark.parametrize("name", ["mmoe-s0", ".", "search", "retrain/mmoe-s0"])
def test_a_relative_phase_folder_has_a_run(name):
    assert PhaseDir(Path(name)).run == Path()
