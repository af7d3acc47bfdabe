"""Comparison of runs: the statistics against scipy and by hand, and what is said of made-up
runs.
"""

import json

import numpy as np
import pytest
from scipy import stats

from automtl.errors import ArtifactError
from automtl.phases.finished._paired import compare_paired, corrected, least_p
from automtl.phases.finished.compare import LOSS, compare
from automtl.statistics import holm


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


def test_paired_figures_are_scipys_own():
    mine, theirs = seeds(0.3), seeds(0.3005)
    made = compare_paired(LOSS, "x", mine, theirs, better=False)
    a, b = list(mine.values()), list(theirs.values())
    assert made.t == pytest.approx(stats.ttest_rel(a, b).pvalue) and made.wilcoxon == pytest.approx(
        stats.wilcoxon(a, b).pvalue
    )
    gaps = np.subtract(a, b)
    half = stats.t.ppf(0.975, 5) * gaps.std(ddof=1) / np.sqrt(6)
    assert made.interval == pytest.approx((gaps.mean() - half, gaps.mean() + half))


def test_only_common_seeds_are_paired_and_one_is_not_tested():
    made = compare_paired(
        LOSS, "x", {0: 1.0, 1: 2.0, 5: 9.0}, {0: 0.5, 1: 2.5, 7: 0.0}, better=False
    )
    assert made.seeds == (0, 1) and made.difference == 0.0
    one = compare_paired(LOSS, "x", {0: 1.0}, {0: 0.5}, better=False)
    assert one.t is None and one.words == "not tested against x: one seed in common"
    assert (
        compare_paired(LOSS, "x", {0: 1.0}, {1: 0.5}, better=False).words
        == "no seed in common with x"
    )


def test_six_seeds_is_what_wilcoxon_needs(tmp_path):
    for n in range(2, 9):
        assert least_p(n) == pytest.approx(stats.wilcoxon(np.arange(1.0, n + 1)).pvalue)
        assert (least_p(n) < 0.05) == (n >= 6)
    few = compare(
        [
            model(tmp_path, "a", "mmoe", seeds(0.3, count=5)),
            model(tmp_path, "b", "ple", seeds(0.31)),
        ]
    )
    note = (
        "fewer than 6 seeds, with which Wilcoxon's test cannot reach 5% (with 5 its least p is "
        "0.0625); take --seeds 0..5: a: mmoe"
    )
    assert note in few.notes


def test_equal_gaps_are_no_division_by_zero():
    same = dict.fromkeys(range(4), 0.5)
    assert compare_paired(LOSS, "x", same, same, better=False).t == 1.0
    shifted = compare_paired(LOSS, "x", dict.fromkeys(range(4), 0.25), same, better=False)
    assert shifted.t == 0.0 and shifted.wilcoxon == stats.wilcoxon([-0.25] * 4).pvalue
    assert corrected([shifted])[0].shown == "better"


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
    assert found.verdict(by_name["good: selected"]).startswith("better than mmoe: mmoe by 0.00975")
    assert found.verdict(by_name["ple: ple"]).startswith("worse than mmoe: mmoe")
    marked = by_name["same: selected"]
    assert "no difference to mmoe: mmoe shown" in found.verdict(marked)
    assert found.negative_transfer["ple: ple"] == {"click": "shown", "time": "shown"}
    assert found.negative_transfer["good: selected"] == {"click": "no", "time": "no"}
    family = [t for tests in found.tests.values() for t in tests if t.reference == "mmoe: mmoe"]
    assert [t.holm for t in family] == pytest.approx(holm([t.t for t in family]))
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


def test_what_several_searches_found_is_told_together(tmp_path):
    from tests.report.architectures import searched as made

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


def test_the_command_prints_every_figure_and_the_verdict(tmp_path):
    from typer.testing import CliRunner

    from automtl.cli._app import app

    model(tmp_path, "a", "mmoe", seeds(0.3))
    model(tmp_path, "b", "selected", seeds(0.3001), searched=0)
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    shown = CliRunner().invoke(app, ["compare", *paths], env={"COLUMNS": "300"})
    assert (
        shown.exit_code == 0
        and "no difference to a: mmoe shown" in shown.output
        and "95% interval" in shown.output
    )
    told = json.loads(CliRunner().invoke(app, ["compare", "--json", *paths]).stdout)
    assert told["agreement"] == {} and "found" not in told["entries"][0]
    assert told["best_hand_made"] == "a: mmoe" and set(told["verdicts"]) == {
        "a: mmoe",
        "b: selected",
    }


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
