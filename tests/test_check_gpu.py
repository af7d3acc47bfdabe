"""The script for machines with a GPU, run on the processor in small sizes."""

import json

import pytest
import torch

from scripts import check_gpu


@pytest.fixture
def brief(monkeypatch):
    """The variants that need no compiler."""
    for group, variants in check_gpu.VARIANTS.items():
        kept = {n: v for n, v in variants.items() if "compiled" not in n and "bfloat16" not in n}
        monkeypatch.setitem(check_gpu.VARIANTS, group, kept)


def test_all_that_can_be_seen_on_a_processor_holds(brief, tmp_path, capsys):
    file = tmp_path / "gpu.json"
    assert check_gpu.main(["--device", "cpu", "--fast", "--json", str(file)]) == 0
    told = json.loads(file.read_text())
    assert set(told["checks"]) == set(check_gpu.CHECKS)
    assert all(check["holds"] for check in told["checks"].values())
    speed = {(row["group"], row["variant"]): row for row in told["speed"]}
    for name in (("search", "fused"), ("mmoe", "plain torch"), ("mmoe", "ours")):
        assert speed[name]["rows_per_s"] > 0 and len(speed[name]["ratios"]) == 2
    assert speed["search", "fused, CUDA graphs"]["reason"].endswith("CUDA alone has graphs")
    printed = capsys.readouterr().out
    assert printed.count("| search | 64 |") == 3 and "holds: resumes: all" in printed


def test_a_check_that_fails_is_told_and_the_others_go_on(brief, monkeypatch, capsys):
    monkeypatch.setitem(check_gpu.CLOSE, "fused", 0.0)
    assert check_gpu.main(["--device", "cpu", "--fast", "--limit", "0"]) == 1
    told = capsys.readouterr().out
    assert "FAILS: fused: AssertionError: largest difference" in told
    assert "holds: repeats" in told and told.count("the time was up") >= 4
    assert not torch.are_deterministic_algorithms_enabled()


def test_bits_that_differ_are_seen():
    with pytest.raises(AssertionError, match="1 of 2 tensors differ"):
        check_gpu._same([torch.zeros(1), torch.ones(1)], [torch.zeros(1), torch.zeros(1)])
