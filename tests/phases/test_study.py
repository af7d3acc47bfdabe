"""Claims: nothing run twice, what a dead process left goes first, and suggestions that do not
depend on stops.
"""

import contextlib
import multiprocessing
import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from automtl.errors import ArtifactError, ConfigError
from automtl.phases.tune._study import Study
from automtl.phases.tune.storage import Storage
from automtl.runs.manifest import without_password
from automtl.runs.run_dir import PhaseDir

SPREADS = {"x": FloatDistribution(-5.0, 5.0), "n": IntDistribution(1, 8)}
FIXED = [{"x": 1.0, "n": 4}]


def study(folder, *, seed=0, sampler="tpe", pruner=None):
    return Study(
        Path(folder),
        storage=Storage(),
        distributions=SPREADS,
        fixed=FIXED,
        objectives=1,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
    )


def loss(values):
    return (values["x"] - 2.0) ** 2 + values["n"]


def work_off(folder, most, *, kill_after=()):
    """Run a study; after the numbers in `kill_after` have been claimed, their process 'dies' before
    it reports.
    """
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
    # and they do differ among themselves
    assert len({tuple(values.items()) for _, values in whole}) == 16


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
    for value, stopped in ((1.4, False), (1.6, True)):
        claim = s.claim(9)
        assert s.report(claim.number, value, 0) == stopped
        s.end(claim.number, TrialState.PRUNED)
        claim.release()


class Once(optuna.pruners.BasePruner):
    """Stops a trial at its second value, and only when it is asked for the first time, as
    successive halving does.
    """

    def __init__(self):
        self.asked = set()

    def prune(self, study, trial):
        new = (trial.number, trial.last_step) not in self.asked
        self.asked.add((trial.number, trial.last_step))
        return new and trial.last_step == 1


def test_a_trial_that_is_taken_up_again_hears_what_the_pruner_said_before(tmp_path):
    pruner = Once()
    s = study(tmp_path, pruner=pruner)
    number = s.claim(9).number
    assert not s.pruned(number, 9)
    assert [s.report(number, 1.0, step) for step in (0, 1)] == [False, True]
    again = study(tmp_path, pruner=pruner)
    assert not again.pruned(number, 1), (
        "an epoch that is run again reports again before it is stopped"
    )
    assert [again.report(number, 1.0, step) for step in (0, 1)] == [False, True]
    assert again.pruned(number, 2)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE trial_values SET value = value + 1e-9",
        "UPDATE trial_params SET param_value = param_value + 1 WHERE param_name = 'n'",
        "UPDATE trial_intermediate_values SET intermediate_value = 0.5",
        "UPDATE trial_user_attributes SET value_json = '3' WHERE key = 'cost'",
        "UPDATE trials SET state = 'FAIL'",
    ],
)
def test_a_trial_that_somebody_changed_is_noticed(change, tmp_path):
    s = study(tmp_path)
    claim = s.claim(9)
    s.report(claim.number, 0.25, 0)
    s.note(claim.number, {"cost": 2})
    s.end(claim.number, TrialState.COMPLETE, [0.1 + 0.2])
    assert [t.number for t in study(tmp_path).trials()] == [0]
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as held:
        assert held.execute(change).rowcount == 1
        held.commit()
    with pytest.raises(ArtifactError, match=r"study\.db: trial 0 must be as it was written"):
        study(tmp_path).trials()


def test_a_storage_that_does_not_open_is_told(tmp_path):
    for url, told in (
        ("sqlite:////nowhere/at/all/study.db", "must be a database that opens"),
        ("not a url", "must be a database that opens"),
        (
            "mysql://user:s3cret@host/name",
            "needs MySQLdb, got no such library; for PostgreSQL: pip install",
        ),
    ):
        with pytest.raises(ConfigError, match=f"--storage: {told}"):
            Storage.of(PhaseDir(tmp_path), url, resume=False)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@host/name",
        "postgresql+psycopg://u:s3:cr/e@t@h:1/n",
        "x://h/n?password=s3cret&a=b",
    ],
)
def test_a_password_is_not_shown(url):
    shown = Storage(url).shown
    assert "***" in shown and "s3" not in shown and "cret" not in shown
    assert without_password(f"--storage={url}") == f"--storage={shown}"
    assert (
        without_password("a/path:with@signs https://host/x@y")
        == "a/path:with@signs https://host/x@y"
    )


def test_a_database_has_one_study_of_a_folder(tmp_path):
    url, folder = f"sqlite:///{tmp_path / 'shared.db'}", PhaseDir(tmp_path / "s")
    place = Storage.of(folder, url, resume=False)
    Study(
        folder.path,
        storage=place,
        distributions=SPREADS,
        fixed=FIXED,
        objectives=1,
        sampler="tpe",
        pruner=None,
        seed=0,
    )
    with pytest.raises(
        ConfigError,
        match="--storage: must not hold a study of this folder yet, got automtl-.*; choose "
        "another --out",
    ):
        Storage.of(folder, url, resume=False)
    assert Storage.of(folder, url, resume=True) == place, "killed before it had a manifest"
    assert Storage.of(PhaseDir(tmp_path / "other"), url, resume=False) != place


def test_optuna_itself_reads_the_study(tmp_path):
    work_off(tmp_path, 3)
    read = optuna.load_study(study_name="automtl", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert [t.state for t in read.trials] == [TrialState.COMPLETE] * 3
    assert read.best_value == min(loss(t.params) for t in read.trials)


@pytest.mark.parametrize(
    "spreads",
    [
        {"data.source": FloatDistribution(0.0, 2.0)},
        {**SPREADS, "x": FloatDistribution(-5.0, 100.0)},
    ],
)
def test_a_strangers_trial_of_other_settings_is_refused_though_its_sums_are_right(
    spreads, tmp_path
):
    theirs = Study(
        tmp_path,
        storage=Storage(),
        distributions=spreads,
        fixed=[],
        objectives=1,
        sampler="random",
        pruner=None,
        seed=0,
    )
    theirs.claim(1).release()
    with pytest.raises(ArtifactError, match="study.db: trial 0 must be of the study's settings"):
        study(tmp_path).claim(2)


@pytest.mark.parametrize(
    "note",
    [("set_trial_user_attr", "cost", "low"), ("set_trial_system_attr", "automtl:verdict", "never")],
)
def test_notes_of_other_types_are_refused(note, tmp_path):
    s = study(tmp_path)
    s.claim(1).release()
    name, key, value = note
    getattr(s.storage, name)(s._ident(0), key, value)
    with pytest.raises(ArtifactError, match="study.db: trial 0 must be of the study's settings"):
        study(tmp_path).claim(2)
