"""The benchmark of a retrain's tables runs, and times every optimiser at both sizes."""

import runpy
from pathlib import Path

from automtl.files import read_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_retrain_tables.py"


def test_every_optimiser_is_timed_at_both_sizes(tmp_path, capsys):
    main = runpy.run_path(str(SCRIPT))["main"]
    small = ["--batch", "16", "--rounds", "2", "--small", "20", "--large", "50"]
    main([*small, "--json", str(tmp_path / "figures.json")])
    rows = read_json(tmp_path / "figures.json")["rows"]
    assert [row["embedding_optimizer"] for row in rows] == ["adam", "sgd", "lazy_adam"]
    for row in rows:
        low, high = row["range"]
        assert 0 < low <= row["ratio"] <= high and min(row["small_ms"], row["large_ms"]) > 0
    assert len(capsys.readouterr().out.splitlines()) == 4
