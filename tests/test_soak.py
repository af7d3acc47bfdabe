"""The soak: its samples are of the real process, and what piles up is told from what does not."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest


@pytest.fixture
def soak(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))
    import soak

    yield soak
    for name in ("soak", "small"):
        sys.modules.pop(name)


def test_a_short_soak_samples_what_leaks(soak, tmp_path, monkeypatch):
    honest, leaked = soak.evaluate_runs, []

    def leaking(runs):
        leaked.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(50))
        return honest(runs)

    monkeypatch.setenv("AUTOMTL_DATA_DIR", "")  # put back when the soak has set its own
    monkeypatch.setattr(soak, "evaluate_runs", leaking)
    try:
        samples = soak.soak(tmp_path, seconds=600, every_s=0, rows=200, batch_size=32, epochs=3)
        assert (
            samples[-1].epochs == 2
            and samples[-1].steps == len(samples)
            and samples[-1].checkpoints == 2
        )
        files = {sample.epochs: sample.files for sample in samples}
        assert 40 < files[2] - files[1] < 60, "fifty are left open per epoch"
        assert 10 < samples[-1].heap_mb < samples[-1].rss_mb
        assert 50 < samples[-1].rss_mb <= samples[-1].peak_mb and samples[-1].folder_mb > 0
        assert not soak.judge(samples, soak.LIMITS)["files"]["holds"]
        assert not (tmp_path / "other").exists(), "the models beside are thrown away"
    finally:
        for number in leaked:
            os.close(number)


def test_a_slope_counts_from_two_errors_above_its_limit(soak):
    flat = soak.Sample(0.0, 100.0, 300.0, 310.0, 9, 4, 2, 0.1, 0, 0)
    hour = [replace(flat, seconds=36.0 * i, rss_mb=300 + (i % 7)) for i in range(100)]
    found = soak.judge(hour, soak.LIMITS)
    assert (
        all(f["holds"] for f in found.values())
        and abs(found["rss_mb"]["per_hour"]) < 2 * found["rss_mb"]["error"] + 1
    )
    growing = [
        replace(s, rss_mb=200 + s.seconds / 3600 * 30, files=9 + i // 20)
        for i, s in enumerate(hour)
    ]
    found = soak.judge(growing, soak.LIMITS)
    assert [name for name, f in found.items() if not f["holds"]] == ["rss_mb", "files"]
    assert found["rss_mb"]["per_hour"] == pytest.approx(30) and found["rss_mb"][
        "error"
    ] == pytest.approx(0, abs=1e-6)
    with pytest.raises(SystemExit, match="too few for a line"):
        soak.judge(hour[:3], soak.LIMITS)
