"""The benchmark of balancing: every method takes its steps, and ratios are to the first method,
round by round.
"""

import runpy
from pathlib import Path

import pytest

from automtl.files import read_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_balancing.py"
SMALL = ["--batch", "16", "--fields", "2", "--numbers", "1", "--tasks", "2", "--rounds", "2"]


def test_every_method_is_measured_against_the_first(tmp_path, capsys):
    main = runpy.run_path(str(SCRIPT))["main"]
    main([*SMALL, "--models", "mmoe", "--json", str(tmp_path / "figures.json")])
    rows = {row["method"]: row for row in read_json(tmp_path / "figures.json")["rows"]}
    assert next(iter(rows)) == "equal" and rows["equal"]["range"] == [1, 1]
    assert [
        rows[m]["backward_passes"] for m in ("equal", "uncertainty", "gradnorm", "pcgrad", "cagrad")
    ] == [1, 1, 2, 2, 2]
    assert (
        rows["pcgrad"]["extra_mb"] == pytest.approx(2 * rows["gradnorm"]["extra_mb"])
        and rows["equal"]["extra_mb"] == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(rows)


def test_a_supernet_and_tables_left_out(tmp_path):
    main = runpy.run_path(str(SCRIPT))["main"]
    held = []
    for tables in ("true", "false"):
        arguments = [
            *SMALL,
            "--models",
            "supernet",
            "--methods",
            "equal,pcgrad",
            "--tables",
            tables,
            "--rounds",
            "1",
        ]
        main([*arguments, "--json", str(tmp_path / "figures.json")])
        held.append(read_json(tmp_path / "figures.json")["rows"][1]["extra_mb"])
    assert held[0] > held[1] > 0
