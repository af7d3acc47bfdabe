import pytest
from scipy import stats

from automtl.reports._verdict import verdict
from automtl.reports.load import load_run
from automtl.statistics import seeds_needed
from tests.reports.architectures import hand_made, searched
from tests.reports.runs import write_json, write_retrain, write_run, write_search
from tests.reports.test_panel_search import race
from tests.reports.test_tables import judge


def said(*folders):
    return verdict([load_run(folder) for folder in folders])


def words(*folders):
    return " ".join(sentence.text for sentence in said(*folders))


def two_models(tmp_path, ours, theirs):
    for run, losses in (("ours", ours), ("theirs", theirs)):
        for seed, loss in enumerate(losses):
            command = {"command": f"automtl retrain mmoe --data d.yaml --out {tmp_path / run}"}
            folder = write_retrain(tmp_path / run, searched(1, 2), seed=seed, label=run, **command)
            judge(folder, loss, 0.8)
    return tmp_path / "ours", tmp_path / "theirs"


def test_a_difference_is_shown_only_where_it_is_tested(tmp_path):
    clear = words(*two_models(tmp_path / "clear", (0.300, 0.301, 0.302), (0.400, 0.401, 0.402)))
    assert "ours is better than the other model on the test rows of clicks" in clear
    assert "theirs less ours: +0.10000 (+33.22%)" in clear and "does not contain 0" in clear
    blurred = words(*two_models(tmp_path / "blurred", (0.30, 0.40, 0.35), (0.31, 0.41, 0.36)))
    assert "No difference is shown between ours and theirs" in blurred and "contains 0" in blurred
    assert "No 100 seeds would show so small a difference." in blurred


def test_one_seed_is_never_best(tmp_path):
    [first, *rest] = said(*two_models(tmp_path, (0.30,), (0.40,)))
    assert first.tone == "main" and first.text == (
        "No difference is shown between ours and theirs on the test rows of clicks."
    )
    assert not any("better" in s.text for s in rest if s.tone == "main")
    [more] = [s for s in rest if s.command]
    assert more.text == "5 seeds of each may tell these two apart."
    one, other = more.command.split(" && ")
    assert one == f"automtl retrain mmoe --data d.yaml --out {tmp_path}/ours --seeds 0..4 --resume"
    assert other.endswith(f"--out {tmp_path}/theirs --seeds 0..4 --resume")


def test_the_seeds_that_would_tell_two_apart_are_those_of_the_power(tmp_path):
    ours, theirs = (0.300, 0.310, 0.305), (0.306, 0.316, 0.311)
    told = said(*two_models(tmp_path, ours, theirs))
    [more] = [s for s in told if s.command]
    needed = seeds_needed(0.006, (0.005, 0.005))
    assert 3 < needed < 20
    assert more.text.startswith(f"{needed} seeds") and f"0..{needed - 1}" in more.command


def test_what_differs_is_said_with_its_factors(tmp_path):
    folders = two_models(tmp_path, (0.30,), (0.40,))
    for folder, megabytes, flops in zip(folders, (4.3, 1.0), (309_000, 1_112_400), strict=True):
        cost = {"seconds": 3.0, "samples": 10}
        cost["model"] = {"stored": {"tables": megabytes}, "flops_per_row": flops}
        write_json(folder / "retrain" / f"{folder.name}-s0" / "cost.json", cost)
    told = words(*folders)
    assert (
        "What does differ: theirs is 4.3 times smaller than ours (1 MB for 4.3 MB) and has 3.6 "
        "times more FLOPs per row (1.1M for 309k)."
    ) in told


def test_many_comparisons_are_corrected(tmp_path):
    """Each p is .021: alone it shows a difference, one of three does not (Holm)."""
    losses = {"a": (0.300, 0.302, 0.304)}
    losses |= dict.fromkeys(("b", "c", "d"), (0.306, 0.308, 0.31))
    for run, values in losses.items():
        for seed, loss in enumerate(values):
            judge(write_retrain(tmp_path / run, searched(1, 2), seed=seed, label=run), loss, 0.8)
    p = stats.ttest_ind(losses["a"], losses["b"], equal_var=False).pvalue
    assert 0.05 / 3 < p < 0.05
    assert "a is better than the other model" in words(tmp_path / "a", tmp_path / "b")
    told = words(*(tmp_path / run for run in losses))
    assert "No difference is shown between a and b, c, d" in told
    assert "corrected for 3 comparisons (Holm)" in told


def test_those_that_are_shown_to_be_worse_are_named(tmp_path):
    losses = {"a": (0.300, 0.302, 0.304), "b": (0.301, 0.303, 0.305), "c": (0.5, 0.502, 0.504)}
    for run, values in losses.items():
        for seed, loss in enumerate(values):
            judge(write_retrain(tmp_path / run, searched(1, 2), seed=seed, label=run), loss, 0.8)
    told = words(*(tmp_path / run for run in losses))
    assert "No difference is shown between a and b on" in told
    assert "Shown to be worse than a: c 0.50200 ± 0.00497 (3 seeds)." in told


def test_a_model_without_an_mtl_loss_is_beaten_by_none(tmp_path):
    for run, loss in (("ours", 0.3), ("theirs", None)):
        for seed in (0, 1):
            folder = write_retrain(tmp_path / run, searched(1, 2), seed=seed, label=run)
            judge(folder, loss, 0.8)
    told = words(tmp_path / "ours", tmp_path / "theirs")
    assert "ours reaches MTL-Loss 0.30000" in told and "better" not in told.split("Not compared")[0]
    assert "theirs has no MTL-Loss to judge by." in told and "no other model" not in told


def test_runs_of_other_data_are_not_compared(tmp_path):
    one = write_run(tmp_path / "one", seeds=(0,))
    write_retrain(
        tmp_path / "two", searched(2, 4), data={"name": "other", "hash": "zz", "split_hash": "bb"}
    )
    assert "which cannot be compared" in words(one, tmp_path / "two")


def test_validation_figures_and_second_readings_are_admitted(tmp_path):
    write_retrain(tmp_path / "a", searched(1, 2), test=False)
    [main, *_] = said(tmp_path / "a")
    assert main.tone == "main" and "validation rows" in main.text
    assert any(s.command == f"automtl evaluate {tmp_path / 'a'}" for s in said(tmp_path / "a"))
    write_retrain(tmp_path / "b", searched(1, 2), test_reads=3)
    assert "read up to 3 times" in words(tmp_path / "b")


@pytest.mark.parametrize(
    ("architecture", "other"),
    [(searched(2, 2), "shared_bottom"), (hand_made(2, 1, "shared_bottom"), "mmoe")],
)
def test_one_model_is_to_be_compared_with_another(tmp_path, architecture, other):
    """A hand-made winner of a race was to be compared with itself."""
    write_retrain(tmp_path / "run", architecture)
    [command] = [s.command for s in said(tmp_path / "run") if "no other model" in s.text]
    assert command.startswith(f"automtl retrain {other} --data ")


def test_nothing_trained_says_what_to_do_next(tmp_path):
    write_search(tmp_path / "run")
    [decided, advice, first, *_] = said(tmp_path / "run")
    assert "search.selection=race" in advice.text
    assert "nothing is decided" in decided.text and decided.tone == "main"
    assert (
        "not trained yet" in first.text and first.command == f"automtl retrain {tmp_path / 'run'}"
    )


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("running", "run: search is not finished: 2 of 5 epochs are done"),
        ("interrupted", "run: search was interrupted after 2 of 5 epochs"),
        ("failed", "run: search failed after 2 of 5 epochs: disk full"),
        ("time_limited", "run: search reached its time limit after 2 of 5 epochs"),
        ("strange", "its manifest tells no state"),
    ],
)
def test_a_search_that_did_not_end_well_says_what_it_is(tmp_path, state, told):
    write_search(tmp_path / "run", state=state, finished=2, error="disk full")
    assert told in words(tmp_path / "run")
    commands = [s.command for s in said(tmp_path / "run") if s.tone == "warning"]
    resume = f"automtl search clicks.yaml --out {tmp_path / 'run'} --resume"
    expected = {
        "running": [resume],
        "interrupted": [resume],
        "failed": [""],
        "time_limited": [],
        "strange": ["", ""],
    }
    assert commands == expected[state]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("running", "run: search is not finished: its race goes on"),
        ("interrupted", "run: search was interrupted in its race"),
    ],
)
def test_a_race_over_draws_is_not_told_of_by_epochs(tmp_path, state, told):
    write_search(tmp_path / "run", state=state, epochs=1)
    race(tmp_path / "run", "several")
    assert told in words(tmp_path / "run")


def test_a_failed_retrain_stands_beside_the_finished_ones(tmp_path):
    architecture = searched(1, 2)
    judge(write_retrain(tmp_path / "run", architecture, seed=0), 0.4, 0.8)
    write_retrain(tmp_path / "run", architecture, seed=1, state="failed", error="NaN in task click")
    assert "MTL-Loss 0.40000 (one seed)" in words(tmp_path / "run")
    assert "run: selected-s1 failed after 4 of 50 epochs: NaN in task click" in words(
        tmp_path / "run"
    )
