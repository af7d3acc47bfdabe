"""The rule by which what a search calls decided is judged."""

import json

import numpy as np
import pytest
from scipy.stats import binom

from scripts import judge_decisions
from scripts.judge_decisions import clustered_limit, exact_limit, generate, judged, redrawn


def line(*taken, verdict="decided", choice="level0.task0.0.block.0"):
    return {"decisions": [{"choice": choice, "taken": t, "verdict": verdict} for t in taken]}


@pytest.mark.parametrize(("right", "count", "enough"), [(59, 59, True), (58, 58, False)])
def test_the_exact_limit_passes_59_of_59_and_not_58_of_58(right, count, enough):
    assert (exact_limit(right, count) >= 0.95) == enough


@pytest.mark.parametrize(("right", "count"), [(92, 93), (30, 40)])
def test_the_exact_limit_is_where_so_many_right_are_a_chance_of_one_in_twenty(right, count):
    limit = exact_limit(right, count)
    assert binom.sf(right - 1, count, limit) == pytest.approx(0.05)


def test_searches_are_resampled_whole():
    right, count = np.array([3] * 19 + [0]), np.array([3] * 20)
    assert clustered_limit(right, count) == pytest.approx(0.85, abs=0.06)
    assert clustered_limit(count, count) == 1.0


def test_noise_and_twins_are_judged_by_what_is_decided():
    nothing, something = line("skip", verdict="not decided"), line("skip")
    assert judged("noise", [nothing] * 17 + [something] * 3)[0]
    assert not judged("noise", [nothing] * 16 + [something] * 4)[0]
    experts = line("0, 1", choice="experts of click", verdict="not decided")
    twins = [line(*["mlp_a"] * 9, verdict="not decided")] * 2 + [line("mlp_a")] + [experts] * 9
    assert not judged("twins", twins)[0], "1 of 19 is above a twentieth: experts are no twins"
    assert judged("twins", [*twins, line("mlp_b", verdict="tied")])[0]


def test_planted_needs_right_ones_and_enough_of_them():
    whole = [line(*[judge_decisions.TRUE] * 3)] * 20
    assert judged("planted", whole)[0]
    assert not judged("planted", [*whole[1:], line("skip", *[judge_decisions.TRUE] * 2)] * 1)[0]
    assert not judged("planted", [line(judge_decisions.TRUE)] * 19)[0], "19 of 57 are below half"
    assert not judged("planted", [line()] * 20)[0]


def test_a_field_alone_tells_nothing_of_what_is_planted():
    frame = generate("planted", 40_000, 0)
    for task in range(judge_decisions.PLANTED_TASKS):
        label, pair = frame[f"y{task}"], [f"f{2 * task}", f"f{2 * task + 1}"]
        alone = max(
            label.groupby(frame[name]).mean().sub(label.mean()).abs().max() for name in pair
        )
        together = label.groupby([frame[name] for name in pair]).mean().sub(label.mean())
        assert together.abs().max() > 0.25 > 0.12 > alone


def test_a_twin_is_the_same_module_from_other_draws():
    import torch

    torch.manual_seed(0)
    one = judge_decisions.mlp(width_in=4)
    torch.manual_seed(0)
    two = redrawn(judge_decisions.mlp)(width_in=4)
    assert str(one) == str(two)
    assert not torch.equal(one.inner.weight, two.inner.weight)


@pytest.mark.slow
def test_it_runs_and_goes_on(tmp_path, monkeypatch, capsys):
    words = ["judge", "--out", str(tmp_path), "--fast", "--seeds", "1", "--parts", "noise"]
    monkeypatch.setattr("sys.argv", [*words, "--strategies", "random_search"])
    monkeypatch.setattr(judge_decisions, "register_twins", lambda: None)
    judge_decisions.main()
    record = tmp_path / "decisions.jsonl"
    assert json.loads(record.read_text())["part"] == "noise"
    judge_decisions.main()
    assert len(record.read_text().splitlines()) == 1
    said = capsys.readouterr().out
    assert said.count("1 of 20 searches of commit ") == said.count(": holds: ") == 2
