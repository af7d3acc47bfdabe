"""The benchmark of the metrics runs and its contenders agree; how fast they are it says, not
this.
"""

import runpy
from pathlib import Path

from automtl.files import read_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_metrics.py"


def test_all_contenders_give_the_same_number(tmp_path, capsys):
    runpy.run_path(str(SCRIPT))["main"](
        ["--rows", "20000", "--pairs", "2", "--json", str(tmp_path / "figures.json")]
    )
    results = read_json(tmp_path / "figures.json")["results"]
    assert [r["case"].split(",")[0] for r in results] == ["AUC"] * 4 + [
        "AUC with weights",
        "AUC from batches",
        "grouped AUC",
    ]
    assert all(
        r["difference"] < 1e-12 and len(r["ratios"]) == 2 and r["ratio"] > 0 for r in results
    )
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(results)
