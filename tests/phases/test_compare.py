"""Comparison of runs: the statistics against scipy and by hand, and what is said of made-up
runs.
"""

import json
from dataclasses import fields
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from automtl.errors import ArtifactError, ConfigError
from automtl.phases.finished.compare import LOSS, compare
from automtl.phases.finished.contrasts import Contrast
from automtl.statistics import holm, pooled_deviation


def model(root, run, label, losses, *, searched=None, test=True, data="d", aucs=None, trained=None):
    """A run's files as retrain, evaluate and search leave them."""
    for seed, loss in losses.items():
        folder = root / run / "retrain" / f"{label}-s{seed}"
        folder.mkdir(parents=True)
        auc = (aucs or {}).get(seed, 1 - loss)
        values = {
            "loss": loss,
            "tasks": {"click": {"auc": auc, "logloss": loss}, "time": {"rmse": 10 * loss}},
        }
        (folder / "results.json").write_text(
            json.dumps({"validation": values, **({"test": values} if test else {})})
        )
        manifest = {
            "state": "done",
            "seed": seed,
            "data": {"name": data, "hash": data, "split_hash": data},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "cost.json").write_text(json.dumps({"samples": 1000, "seconds": 2.0}))
        if trained is not None:
            (folder / "config.yaml").write_text(
                json.dumps({"retrain": trained, "runtime": {"precision": "float32"}})
            )
    if searched is not None:
        folder = root / run / "search"
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps({"state": "done", "seed": searched}))
        (folder / "cost.json").write_text(json.dumps({"samples": 5000, "seconds": 7.0}))
        (folder / "config.yaml").write_text(
            "search: {strategy: darts}\nspace: {name: small}\nsharing: {}\n"
        )
    return root / run


def seeds(mean, noise=0.001, count=6, start=0):
    rng = np.random.default_rng(int(mean * 1e6))
    return {start + s: float(mean + noise * rng.normal()) for s in range(count)}


def test_what_is_shown_and_what_is_not(tmp_path):
    base = seeds(0.30)
    paths = [
        model(
            tmp_path,
            "good",
            "selected",
            {s: v - 0.01 + 0.0001 * s for s, v in base.items()},
            searched=0,
        ),
        model(tmp_path, "same", "selected", seeds(0.3001), searched=1),
        model(tmp_path, "mmoe", "mmoe", base),
        model(tmp_path, "ple", "ple", seeds(0.32)),
        model(tmp_path, "alone", "single_task", seeds(0.31)),
    ]
    found = compare(paths)
    assert (
        found.split == "test"
        and found.best_hand_made == "mmoe: mmoe"
        and found.single_task == "alone: single_task"
    )
    assert found.metrics == (LOSS, "click auc", "time rmse")
    by_name = {e.name: e for e in found.entries}
    assert found.verdict(by_name["good: selected"]).startswith(
        "better than mmoe: mmoe by 0.00975 on these rows (p = "
    )
    assert found.verdict(by_name["ple: ple"]).startswith("worse than mmoe: mmoe")
    marked = by_name["same: selected"]
    assert "no difference to mmoe: mmoe shown" in found.verdict(marked)
    assert found.negative_transfer["ple: ple"] == {"click": "shown", "time": "shown"}
    assert found.negative_transfer["good: selected"] == {"click": "no", "time": "no"}
    family = [t for tests in found.tests.values() for t in tests if t.reference == "mmoe: mmoe"]
    for primary in (True, False):
        own = [t for t in family if t.primary == primary]
        assert len(own) == (5 if primary else 10)
        assert [t.holm for t in own] == pytest.approx(holm([t.p for t in own]))
    assert by_name["good: selected"].cost == {
        "search": {"samples": 5000.0, "seconds": 7.0},
        "tune": {"samples": 0, "seconds": 0},
        "retrain": {"samples": 6000.0, "seconds": 12.0},
    }


def test_several_searches_of_one_method_are_marked_and_averaged(tmp_path):
    paths = [
        model(tmp_path, f"s{i}", "selected", seeds(0.3 + 0.01 * i), searched=i) for i in range(3)
    ]
    found = compare(paths)
    marks = {e.name: e.marks for e in found.entries}
    assert (
        marks["s0: selected"] == ("best of 3 searches by validation",)
        and marks["s1: selected"] == ()
    )
    [mean] = [e for e in found.entries if e.marks == ("mean over 3 searches",)]
    assert mean.search_seeds == (0, 1, 2) and mean.mean("test", LOSS) == pytest.approx(
        0.31, abs=0.002
    )
    assert mean.cost["search"]["samples"] == 15000
    assert mean.unit == "searches" and mean.seeds("test") == [0, 1, 2]
    by_name = {e.name: e for e in found.entries}
    for i in range(3):
        own = by_name[f"s{i}: selected"]
        assert own.unit == "retrain seeds"
        assert mean.figures["test"][LOSS][i] == pytest.approx(own.mean("test", LOSS))


def test_what_searches_computed_is_added_up_where_all_of_it_is_known(tmp_path):
    from typer.testing import CliRunner

    from automtl.cli._app import app

    paths = [model(tmp_path, f"s{i}", "selected", seeds(0.3), searched=i) for i in range(2)]
    cost = {"samples": 5000, "seconds": 7.0, "flops_spent": 2_000_000, "reference_seconds": 3.5}
    for known in (1, 2):
        (paths[known - 1] / "search" / "cost.json").write_text(json.dumps(cost))
        by_name = {e.name: e.cost["search"] for e in compare(paths).entries}
        [mean] = [spent for name, spent in by_name.items() if "mean over" in name]
        assert by_name["s0: selected"] == cost
        assert mean.get("flops_spent") == (None if known == 1 else 4_000_000)
        assert mean.get("reference_seconds") == (None if known == 1 else 7.0)
    shown = CliRunner().invoke(app, ["compare", "--full", str(paths[0])], env={"COLUMNS": "200"})
    assert "5,000; 7 s; 2e+06 FLOPs" in shown.output
    cost["flops_spent"] = None
    (paths[0] / "search" / "cost.json").write_text(json.dumps(cost))
    assert "flops_spent" not in compare(paths[:1]).entries[0].cost["search"]


def test_a_method_is_tested_over_its_searches_and_not_over_their_retrains(tmp_path):
    """Three searches with twenty retrains each: three figures, whatever their seeds' numbers."""
    means = (0.29, 0.30, 0.31)
    paths = [
        model(tmp_path, f"s{i}", "selected", seeds(m, count=4 + i, start=10 * i), searched=7)
        for i, m in enumerate(means)
    ]
    mmoe = seeds(0.302)
    found = compare([*paths, model(tmp_path, "m", "mmoe", mmoe)])
    [mean] = [e for e in found.entries if e.unit == "searches"]
    assert mean.seeds("test") == [0, 1, 2], "two searches of one seed stay two"
    [test] = [t for t in found.tests[mean.name] if t.primary]
    own = [fmean(seeds(m, count=4 + i, start=10 * i).values()) for i, m in enumerate(means)]
    expected = stats.ttest_ind(own, list(mmoe.values()), equal_var=False)
    assert test.units == (3, 6) and test.p == pytest.approx(expected.pvalue)
    assert test.rank_sum is None and "3 searches against 6 seeds" in found.verdict(mean)
    [note] = [note for note in found.notes if "the unit is the search" in note]
    assert mean.name in note
    groups = [seeds(m, count=4 + i, start=10 * i) for i, m in enumerate(means)]
    pooled = pooled_deviation([list(g.values()) for g in (mmoe, *groups)])
    assert pooled is not None and pooled[1] == 5 + 3 + 4 + 5
    assert found.margin == pytest.approx(1.5 * pooled[0]), "the mean of searches is none of them"


def test_the_margin_and_where_it_comes_from(tmp_path):
    values = seeds(0.3), seeds(0.301, count=4)
    paths = [model(tmp_path, n, n, v) for n, v in zip(("mmoe", "ple"), values, strict=True)]
    found = compare(paths)
    squares = [np.var(list(v.values()), ddof=1) * (len(v) - 1) for v in values]
    expected = 1.5 * np.sqrt(sum(squares) / (5 + 3))
    assert found.margin == pytest.approx(expected)
    [note] = [note for note in found.notes if note.startswith("the margin is")]
    assert f"1.5 x {expected / 1.5:.5f}" in note and "(8 degrees of freedom)" in note
    assert "give it beforehand by --margin" in note
    given = compare(paths, margin=0.5)
    assert given.margin == 0.5 and "the margin is 0.50000 of MTL-Loss, as given" in given.notes
    [test] = [t for t in given.tests["ple: ple"] if t.primary]
    assert test.noninferior and test.equivalent
    for margin in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="--margin: must be finite and above 0"):
            compare(paths, margin=margin)
    alone = [model(tmp_path, n, n, {0: 0.3}) for n in ("moe", "cgc")]
    single = compare(alone)
    assert single.margin is None and not any("margin" in note for note in single.notes)
    assert any(n.startswith("one seed, with which nothing can be tested") for n in single.notes)


def test_what_several_searches_found_is_told_together(tmp_path):
    from tests.reports.architectures import searched as made

    paths = [
        model(tmp_path, f"s{i}", "selected", seeds(0.3 + 0.01 * i), searched=i) for i in range(3)
    ]
    for i, path in enumerate(paths):
        made(2, 3, seed=i % 2, blocks=2).save(path / "search" / "architecture.json")
    [(name, places)] = compare(paths).agreement.items()
    assert name.endswith("(mean over 3 searches)") and {
        sum(place.counts.values()) for place in places
    } == {3, 9}
    assert compare(paths[:1]).agreement == {}


def test_validation_figures_where_a_model_has_not_seen_the_test_rows(tmp_path):
    found = compare(
        [
            model(tmp_path, "a", "mmoe", seeds(0.3)),
            model(tmp_path, "b", "ple", seeds(0.31), test=False),
        ]
    )
    assert (
        found.split == "validation" and "not evaluated on test rows yet: b: ple" in found.notes[0]
    )
    with pytest.raises(ArtifactError, match="must be of the data and split of the others"):
        compare([tmp_path / "a", model(tmp_path, "c", "mmoe", seeds(0.3), data="other")])


def test_the_command_prints_every_figure_and_the_verdict(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from automtl.cli import console
    from automtl.cli._app import app

    monkeypatch.setattr(console._out, "width", 300)

    model(tmp_path, "a", "mmoe", seeds(0.3))
    model(tmp_path, "b", "selected", seeds(0.3001), searched=0)
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    shown = CliRunner().invoke(app, ["compare", "--full", *paths])
    assert (
        shown.exit_code == 0
        and "no difference to a: mmoe shown" in shown.output
        and "95% interval" in shown.output
        and "MTL-Loss, the primary tests: Welch's test" in shown.output
        and "tasks, the secondary tests: Welch's test" in shown.output
        and "p (rank sum)" in shown.output
    )
    told = json.loads(CliRunner().invoke(app, ["compare", "--json", *paths]).stdout)
    assert told["agreement"] == {} and "found" not in told["entries"][0]
    assert told["margin"] > 0 and "pooled" in told["margin_from"]
    assert told["entries"][0]["unit"] == "retrain seeds"
    assert set(told["tests"]["b: selected"][0]) == {f.name for f in fields(Contrast)}
    margin = ["--margin", "0.25"]
    given = json.loads(CliRunner().invoke(app, ["compare", "--json", *margin, *paths]).stdout)
    assert given["margin"] == 0.25 and given["tests"]["b: selected"][0]["equivalent"] is True
    assert told["best_hand_made"] == "a: mmoe" and set(told["verdicts"]) == {
        "a: mmoe",
        "b: selected",
    }


def edited(run, change):
    """The run's results as `change` leaves them."""
    for path in run.glob("retrain/*/results.json"):
        results = json.loads(path.read_text())
        change(results)
        path.write_text(json.dumps(results))
    return run


def test_secondary_tests_name_the_metric_also_where_there_is_but_one(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from automtl.cli import console
    from automtl.cli._app import app

    monkeypatch.setattr(console._out, "width", 300)

    def of_one_task(results):
        for part in results.values():
            del part["tasks"]["time"]

    runs = [edited(model(tmp_path, n, "mmoe", seeds(0.3)), of_one_task) for n in ("a", "b")]
    shown = CliRunner().invoke(app, ["compare", "--full", *map(str, runs)])
    secondary = shown.output.partition("the secondary tests")[2].partition("cost (")[0]
    assert "metric" in secondary and "click auc" in secondary


def test_of_several_single_task_models_the_reference_is_chosen_by_validation(tmp_path):
    def lucky(results):
        results["validation"]["loss"] += 0.1

    good = model(tmp_path, "good", "single_task", seeds(0.31))
    luck = edited(model(tmp_path, "luck", "single_task", seeds(0.30)), lucky)
    assert compare([good, luck]).single_task == "good: single_task"


def test_settings_of_training_that_differ_are_listed(tmp_path):
    runs = [
        model(tmp_path, "one", "mmoe", seeds(0.5), trained={"lr": 0.001, "batch_size": 1024}),
        model(
            tmp_path,
            "two",
            "mssm",
            seeds(0.6),
            trained={"lr": 0.0001, "batch_size": 256, "optimizer": "adam", "recommended": True},
        ),
        model(
            tmp_path,
            "three",
            "ple",
            seeds(0.7),
            trained={"optimizer": "sgd", "group_lr": {"tables": 0.1}, "recommended": False},
        ),
    ]
    found = compare(runs)
    names = {e.label: e.name for e in found.entries}
    told = {
        name: {label: values[names[label]] for label in names}
        for name, values in found.trainings.items()
    }
    assert told == {
        "retrain.lr": {"mmoe": "0.001", "mssm": "0.0001", "ple": "0.001"},
        "retrain.batch_size": {"mmoe": "1024", "mssm": "256", "ple": "1024"},
        "retrain.optimizer": {"mmoe": "adam", "mssm": "adam", "ple": "sgd"},
        "retrain.betas": {"mmoe": "[0.9, 0.999]", "mssm": "[0.9, 0.999]", "ple": "none"},
        "retrain.momentum": {"mmoe": "none", "mssm": "none", "ple": "0.9"},
        "retrain.group_lr": {"mmoe": "none", "mssm": "none", "ple": "tables 0.1"},
    }
    assert any(
        note.startswith("not all models were trained alike") and "retrain.batch_size" in note
        for note in found.notes
    )


def test_what_is_said_and_what_is_a_default_are_the_same_training(tmp_path):
    said = {"lr": 0.001, "optimizer": "adam", "betas": [0.9, 0.999], "chosen_experts": 3}
    found = compare(
        [
            model(tmp_path, "a", "mmoe", seeds(0.5), trained={}),
            model(tmp_path, "b", "ple", seeds(0.6), trained=said),
        ]
    )
    assert found.trainings == {} and not any("trained" in note for note in found.notes)


def test_seeds_of_one_model_trained_otherwise_are_told(tmp_path):
    model(tmp_path, "a", "mmoe", {0: 0.5}, trained={"lr": 0.01})
    found = compare([model(tmp_path, "a", "mmoe", {1: 0.5}, trained={"lr": 0.02})])
    assert list(found.trainings) == ["retrain.lr"] and list(
        found.trainings["retrain.lr"].values()
    ) == ["0.01 | 0.02"]


def test_unknown_trainings_are_told(tmp_path):
    found = compare(
        [
            model(tmp_path, "a", "mmoe", seeds(0.5)),
            model(tmp_path, "b", "ple", seeds(0.6), trained={}),
        ]
    )
    assert any(
        note.startswith("without a config.yaml it is not known") and "a: mmoe" in note
        for note in found.notes
    )
