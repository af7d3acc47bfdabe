import pytest

from automtl.reports._verdict import verdict
from automtl.reports.load import load_run
from tests.reports.architectures import searched
from tests.reports.runs import write_retrain, write_run, write_search
from tests.reports.test_tables import judge


def said(*folders):
    return verdict([load_run(folder) for folder in folders])


def words(*folders):
    return " ".join(sentence.text for sentence in said(*folders))


def two_models(tmp_path, ours, theirs):
    for run, losses in (("ours", ours), ("theirs", theirs)):
        for seed, loss in enumerate(losses):
            judge(write_retrain(tmp_path / run, searched(1, 2), seed=seed, label=run), loss, 0.8)
    return tmp_path / "ours", tmp_path / "theirs"


def test_a_difference_is_shown_only_where_the_interval_leaves_zero_out(tmp_path):
    clear = words(*two_models(tmp_path / "clear", (0.300, 0.301, 0.302), (0.400, 0.401, 0.402)))
    assert (
        "Best of 2 models on the test rows of clicks: ours of ours, with MTL-Loss 0.3010" in clear
    )
    assert "33.22% higher" in clear and "it leaves 0 out" in clear
    blurred = words(*two_models(tmp_path / "blurred", (0.30, 0.40, 0.35), (0.31, 0.41, 0.36)))
    assert "it holds 0, so no difference is shown" in blurred
    single = words(*two_models(tmp_path / "single", (0.30,), (0.40,)))
    assert "One seed is not enough to tell them apart; train at least two of each." in single


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


def test_a_failed_retrain_stands_beside_the_finished_ones(tmp_path):
    architecture = searched(1, 2)
    judge(write_retrain(tmp_path / "run", architecture, seed=0), 0.4, 0.8)
    write_retrain(tmp_path / "run", architecture, seed=1, state="failed", error="NaN in task click")
    assert "MTL-Loss 0.4000 (one seed)" in words(tmp_path / "run")
    assert "run: selected-s1 failed after 4 of 50 epochs: NaN in task click" in words(
        tmp_path / "run"
    )
