"""Claims: nothing run twice, what a dead process left goes first, and suggestions that do not depend on stops."""

import multiprocessing
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from automtl.errors import ConfigError
from automtl.phases.tune_storage import Storage
from automtl.phases.tune_study import Study
from automtl.runs.manifest import without_password

SPREADS = {"x": FloatDistribution(-5.0, 5.0), "n": IntDistribution(1, 8)}
FIXED = [{"x": 1.0, "n": 4}]


def study(folder, *, seed=0, sampler="tpe", pruner=None):
    return Study(
        Path(folder), storage=Storage(), distributions=SPREADS, fixed=FIXED, objectives=1, sampler=sampler, pruner=pruner, seed=seed
    )


def loss(values):
    return (values["x"] - 2.0) ** 2 + values["n"]


def work_off(folder, most, *, kill_after=()):
    """Run a study; after the numbers in `kill_after` have been claimed, their process 'dies' before it reports."""
    seen, killed, s = [], set(), study(folder)
    while True:
        claim = s.claim(most)
        if claim is None:
            return seen
        if claim.number in kill_after and claim.number not in killed:
            killed.add(claim.number)
            claim.release()  # as the system does when a process ends
            s = study(folder)
            continue
        seen.append((claim.number, claim.values))
        s.end(claim.number, TrialState.COMPLETE, [loss(claim.values)])
        claim.release()


def test_the_first_trial_has_the_fixed_values_and_numbers_count_up(tmp_path):
    seen = work_off(tmp_path, 4)
    assert [number for number, _ in seen] == [0, 1, 2, 3]
    assert seen[0][1] == FIXED[0]


def test_a_study_that_was_killed_suggests_what_an_uninterrupted_one_does(tmp_path):
    whole = work_off(tmp_path / "whole", 16)
    stopped = work_off(tmp_path / "stopped", 16, kill_after=(0, 11, 13))
    assert stopped == whole
    assert len({tuple(values.items()) for _, values in whole}) == 16  # and they do differ among themselves


def test_suggestions_follow_the_seed(tmp_path):
    first = study(tmp_path / "a", seed=1)._suggest(5)
    assert first == study(tmp_path / "b", seed=1)._suggest(5)
    assert first != study(tmp_path / "c", seed=2)._suggest(5)


def test_tpe_learns_from_the_trials_before(tmp_path):
    s = study(tmp_path)
    for _ in range(30):
        claim = s.claim(30)
        s.end(claim.number, TrialState.COMPLETE, [loss(claim.values)])
        claim.release()
    late = [t.params["x"] for t in s.trials()[20:]]
    assert sum(abs(x - 2.0) for x in late) / len(late) < 2.0  # a random draw is 2.9 away on average


def test_a_trial_at_work_is_not_taken_by_another_process(tmp_path):
    first, second = study(tmp_path), study(tmp_path)
    mine, other = first.claim(9), second.claim(9)
    assert (mine.number, other.number) == (0, 1)
    mine.release()
    assert second.claim(9).number == 0


def _worker(folder, most, queue):
    s = study(folder)
    while (claim := s.claim(most)) is not None:
        queue.put(claim.number)
        s.end(claim.number, TrialState.COMPLETE, [loss(claim.values)])
        claim.release()


def test_two_processes_at_once_never_run_one_trial_twice(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    workers = [context.Process(target=_worker, args=(tmp_path, 12, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(queue.get() for _ in range(12)) == list(range(12))
    assert queue.empty()


def test_the_studys_limit_counts_every_start(tmp_path):
    work_off(tmp_path, 3)
    assert study(tmp_path).claim(3) is None
    assert study(tmp_path).claim(4).number == 3


def test_the_median_pruner_stops_what_is_worse_than_the_median(tmp_path):
    s = study(tmp_path, pruner=optuna.pruners.MedianPruner(n_startup_trials=2))
    for value in (1.0, 2.0):
        claim = s.claim(9)
        assert not s.report(claim.number, value, 0)
        s.end(claim.number, TrialState.COMPLETE, [value])
        claim.release()
    assert not s.report(s.claim(9).number, 1.4, 0)
    assert s.report(s.claim(9).number, 1.6, 0)


@pytest.mark.parametrize("pruner", [optuna.pruners.MedianPruner(n_startup_trials=1), optuna.pruners.HyperbandPruner(max_resource=9)])
def test_what_the_pruner_stopped_stays_stopped_where_its_process_was_killed(tmp_path, pruner):
    s = study(tmp_path, pruner=pruner)
    for value in range(9):
        claim = s.claim(99)
        assert (claim.stopped, claim.steps) == (False, frozenset())
        for step in range(9):
            if stopped := s.report(claim.number, float(value), step):
                break
        if stopped:
            break
        s.end(claim.number, TrialState.COMPLETE, [float(value)])
        claim.release()
    assert stopped, "each trial is worse than those before it"
    claim.release()  # as the system does when a process ends
    again = study(tmp_path, pruner=pruner).claim(99)
    assert (again.number, again.stopped, again.steps) == (claim.number, True, frozenset(range(step + 1)))


def test_a_storage_that_does_not_open_is_told(tmp_path):
    with pytest.raises(ConfigError, match="--storage: must be a database that opens"):
        Storage.begin(tmp_path, "sqlite:////nowhere/at/all/study.db")
    with pytest.raises(ConfigError, match="--storage: must be a database that opens"):
        Storage.begin(tmp_path, "not a url")
    with pytest.raises(ConfigError, match="--storage: needs MySQLdb, got no such library; for PostgreSQL: pip install"):
        Storage.begin(tmp_path, "mysql://user:s3cret@host/name")


@pytest.mark.parametrize("url", ["postgresql://user:s3cret@host/name", "postgresql+psycopg://u:s3:cr/e@t@h:1/n", "x://h/n?password=s3cret&a=b"])
def test_a_password_is_not_shown(url):
    shown = Storage(url).shown
    assert "***" in shown and "s3" not in shown and "cret" not in shown
    assert without_password(f"--storage={url}") == f"--storage={shown}"
    assert without_password("a/path:with@signs https://host/x@y") == "a/path:with@signs https://host/x@y"


def test_a_database_has_one_study_of_a_folder(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    place = Storage.begin(tmp_path / "s", url)
    Study(tmp_path / "s", storage=place, distributions=SPREADS, fixed=FIXED, objectives=1, sampler="tpe", pruner=None, seed=0)
    with pytest.raises(ConfigError, match="--storage: must not hold a study of this folder yet, got automtl-.*; choose another --out"):
        Storage.begin(tmp_path / "s", url)
    assert Storage.begin(tmp_path / "other", url) != place


def test_optuna_itself_reads_the_study(tmp_path):
    work_off(tmp_path, 3)
    read = optuna.load_study(study_name="automtl", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert [t.state for t in read.trials] == [TrialState.COMPLETE] * 3
    assert read.best_value == min(loss(t.params) for t in read.trials)
