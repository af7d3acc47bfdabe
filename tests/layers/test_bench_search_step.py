"""The benchmark of the search step: every variant takes a step, and the table says what its
processes said.
"""

import io
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from automtl.files import read_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_search_step.py"
SMALL = [
    "--batch",
    "32",
    "--experts",
    "1",
    "--blocks",
    "1",
    "--fields",
    "2",
    "--threads",
    "1",
    "--rounds",
    "2",
]


@pytest.fixture
def script():
    return runpy.run_path(str(SCRIPT))


def test_every_variant_takes_a_step(script):
    for variant in dict.fromkeys(
        name for names in script["COMPARISONS"].values() for name in names if "1e7" not in name
    ):
        assert script["stepper"](script["options_of"](SMALL), variant)() > 0


def test_words_of_a_variant_act(script):
    options = script["options_of"](SMALL)
    changed = script["in_words"](options, ["fused", "t8", "rows1e4"])
    assert (changed.tasks, changed.vocabulary) == (8, 5000) and (
        options.tasks,
        options.vocabulary,
    ) == (2, 1000)
    nets = [script["supernet_of"](options, words) for words in (["fused"], ["fused", "nested"])]
    assert [net.space.widths for net in nets] == ["full", "nested"]
    assert not torch.equal(*(script["batch_of"](options, seed).inputs.ids for seed in (0, 1)))


def test_ratios_are_to_the_first_variant_round_by_round(script, tmp_path, capsys):
    # the first round warms up
    answers = {"plain": "9 500\n6 1000\n8 1000\n", "fused-keep": "1 100\n3 400\n2 400\n"}

    def start(_: list[str], variant: str) -> SimpleNamespace:
        return SimpleNamespace(
            stdin=io.StringIO(), stdout=io.StringIO(answers[variant]), communicate=lambda: None
        )

    script["measure"].__globals__["start"] = start
    threads = torch.get_num_threads()
    script["main"]([*SMALL, "--variants", *answers, "--json", str(tmp_path / "figures.json")])
    torch.set_num_threads(threads)
    plain, fused = read_json(tmp_path / "figures.json")["results"]
    assert (plain["ratios"], plain["step_s"]) == ([1, 1], 7)
    assert (
        fused["ratios"],
        fused["ratio"],
        fused["step_s"],
        fused["memory_ratio"],
        fused["needed"],
    ) == ([2, 4], 3, 2.5, 0.4, 1.8)
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("fast", [False, True])
def test_bfloat16_is_left_out_where_the_processor_has_none(script, capsys, monkeypatch, fast):
    monkeypatch.setitem(script["compared"].__globals__, "fast_bfloat16", lambda device: fast)
    found = script["compared"]("forms")
    assert any("bf16" in variant for variant in found) == fast
    assert ("left out: plain-keep-bf16, fused-keep-bf16: " in capsys.readouterr().out) != fast
    assert found[0] == "straightforward"
    if not fast:
        with pytest.raises(SystemExit, match="nothing is left"):
            script["compared"]("nested-bf16")
