"""The script that judges strategies, on a generated table as a file."""

import json

import numpy as np
import pytest

from automtl.benchmarks import load, tables
from automtl.errors import ConfigError, DataError
from scripts.judge_strategies import main
from tests.benchmarks.tables import ROWS, frame

EFFECTS = np.random.default_rng(1).permutation(np.linspace(0, 0.05, 72))
OPEN = [i for i in range(72) if (i // 4) % 3 != 2]
STRATA = ("a", "b", "c", "d")
BEST = [f"a{i:03}" for i in sorted(OPEN, key=EFFECTS.__getitem__)[:8]]
RANDOM = [f"a{i:03}" for i in OPEN[10:18]]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return written(tmp_path_factory.mktemp("table") / "shop.parquet", EFFECTS)


def written(path, effects):
    groups = {"best": BEST, "random": RANDOM}
    table = frame(effects, noise=0.001, strata=STRATA, groups=groups, sealed=True)
    tables.write(path, table.to_dict("records"), {"rows": ROWS, "groups": groups})
    return path


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def scores(strategy, noise, effects=EFFECTS, seeds=3):
    return [
        {
            "strategy": strategy,
            "seed": s,
            "scores": {f"a{i:03}": 0.7 + e + noise * g.normal() for i, e in enumerate(effects)},
        }
        for s in range(seeds)
        for g in [np.random.default_rng(s)]
    ]


def test_every_part_is_judged_and_told(path, tmp_path, capsys):
    given = lines(tmp_path / "s", [*scores("good", 0.003), *scores("blind", 9.0)])
    made = [{"strategy": "good", "seed": s, "losses": {"2": 0.501, "3": 0.502}} for s in range(10)]
    made += [{"strategy": "poor", "seed": s, "losses": {"2": 0.53}} for s in range(10)]
    made += [{"strategy": "few", "seed": s, "losses": {"4": 0.501}} for s in range(9)]
    out = tmp_path / "told.json"
    arguments = ["--scores", given, "--derived", lines(tmp_path / "d", made), "--json", str(out)]
    main([str(path), *arguments, "--resamples", "50", "--order-resamples", "200"])
    said, told = capsys.readouterr().out, json.loads(out.read_text())
    assert [(r["strategy"], r["passed"]) for r in told["order"]] == [
        ("good", True),
        ("blind", False),
    ]
    assert [(r["strategy"], r["passed"]) for r in told["gain"]] == [
        ("good", True),
        ("poor", False),
        ("few", False),
    ]
    assert told["gate"] and "order: good: passed: tau +0." in said
    assert (
        "G: few: NOT passed: G 1." in said and "over 9 searches, where the rule asks for 10" in said
    )
    assert "order: blind: NOT passed" in said and "NOT shown to order" in said
    draws = [(r["strategy"], r["draws"]) for r in told["replay"]]
    assert draws == [(n, d) for n in ("random", "halving", "tpe") for d in (8, 16, 32, 48)]
    whole = next(r for r in told["replay"] if r["draws"] == 48)
    assert whole["G"] == pytest.approx(1.0, abs=0.1), "all trained: the best is known"
    first, last = (next(r for r in told["replay"] if r["draws"] == d) for d in (8, 48))
    assert all(r["limit"] <= r["G"] for r in told["replay"]) and ", limit 0." in said
    assert first["G"] < last["G"] and first["cost"] < last["cost"]


def test_two_supernets_are_too_few_and_a_budget_sets_the_draws(path, tmp_path, capsys):
    given = lines(tmp_path / "s", scores("good", 0.003, seeds=2))
    budget = 12 * 140 * (3 * 3 * ROWS["fit"])
    main([str(path), "--scores", given, "--budget", str(budget), "--resamples", "20"])
    said = capsys.readouterr().out
    assert "order: good: NOT passed: tau" in said and "(the rule asks for 3)" in said
    [random] = [line for line in said.splitlines() if line.startswith("replay: random")]
    [halving] = [line for line in said.splitlines() if line.startswith("replay: halving")]
    number = [int(line.split(", ")[1].split()[0]) for line in (random, halving)]
    assert 9 <= number[0] <= 13 < number[1]
    main([str(path), "--budget", "1", "--resamples", "20"])
    assert "replay: random: not one draw is within the budget" in capsys.readouterr().out


def test_the_sealed_are_judged_alone(path, tmp_path, capsys):
    turned = EFFECTS.copy()
    turned[OPEN] *= -1  # wrong of the open ones, right of the sealed ones
    given = lines(tmp_path / "s", scores("good", 0.0, turned))
    main([str(path), "--scores", given, "--sealed", "--order-resamples", "100"])
    said = capsys.readouterr().out
    assert "over 24 architectures" in said and "tau +0.9" in said
    assert "replay: " not in said and "G: " not in said
    assert len(load(path)["architecture"].unique()) == 48
    with pytest.raises(ConfigError, match="--derived: must not be given with --sealed"):
        main([str(path), "--sealed", "--derived", given])


def test_a_table_behind_the_gate_judges_nothing(tmp_path, capsys):
    blind = written(tmp_path / "noise.parquet", np.zeros(72))
    given = lines(tmp_path / "s", scores("good", 0.0))
    out = tmp_path / "told.json"
    main([str(blind), "--scores", given, "--json", str(out)])
    said = capsys.readouterr().out
    assert "CANNOT rank" in said and "nothing else is judged" in said and "order" not in said
    assert json.loads(out.read_text()) == {"gate": False}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: must be JSON with strategy, seed and scores"),
        ('{"strategy": "x", "seed": 0}', "line 2: must be JSON"),
        ("[]", "line 2: must be JSON"),
        ('{"strategy": "x", "seed": 0, "scores": 5}', "line 2: must be JSON"),
        ('{"strategy": "good", "seed": 0, "scores": {}}', "line 2: must hold each seed once"),
        ('{"strategy": "x", "seed": 0, "scores": {}}', "must be finite and of every"),
    ],
)
def test_lines_that_say_something_else_are_refused(path, tmp_path, line, message):
    given = tmp_path / "s"
    given.write_text(json.dumps(scores("good", 0.0)[0]) + "\n" + line + "\n")
    with pytest.raises(DataError, match=message):
        main([str(path), "--scores", str(given), "--order-resamples", "20"])


def test_losses_are_told_by_training_seed(path, tmp_path):
    given = lines(tmp_path / "d", [{"strategy": "x", "seed": 0, "losses": [0.5]}])
    with pytest.raises(DataError, match="line 1: must be JSON with strategy, seed and losses"):
        main([str(path), "--derived", given, "--resamples", "1"])
