"""The study in its storage: claiming trials so that none is run twice, reporting, ending - by
Optuna's public storage interface.

A trial is made in one transaction, already running and with all its values, while the study's
folder is locked; whoever runs it holds a lock on the trial's folder until it ends. So a trial that
says "running" and whose folder is free was left by a process that is gone: it is taken up again
under its own number, with its own values, before any new one is made. Nothing of a sampler is kept:
a fresh one is seeded by (seed, trial number), so a study that was stopped suggests what an
uninterrupted one would have.

A database has no checksums: what a trial was asked and how it ended carry one each, and are
compared whenever trials are read.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from automtl import files
from automtl.config_tune import Value
from automtl.errors import ArtifactError, InUse
from automtl.phases.tune.storage import Storage, storage_faults
from automtl.runs import checksums

SUMS = ("asked", "ended")  # notes of a trial: the sums of its values, and of how it ended
_VERDICT = "automtl:verdict"  # of the pruner, kept with a trial


@dataclass(frozen=True)
class Claim:
    """A trial that this process runs.

    Args:
        number: counted from 0.
        values: name -> value.
        folder: its own; held until `release` is called.
        release: lets go of the folder.
    """

    number: int
    values: dict[str, Value]
    folder: Path
    release: Callable[[], None]


class Study:
    """A study in a folder.

    Args:
        folder: holds the trials' folders and, by default, the storage.
        storage: where it is kept.
        distributions: name -> what it may be.
        fixed: values of the first trials.
        objectives: 1 (loss), or 2 (loss and cost).
        sampler: "tpe" or "random".
        pruner: of trials that report; None for none.
        seed: of the suggestions.

    Raises:
        ArtifactError: the storage was opened before, and is not what it was.
        EnvironmentFault: it cannot be read and written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        storage: Storage,
        distributions: Mapping[str, BaseDistribution],
        fixed: Sequence[Mapping[str, Value]],
        objectives: Literal[1, 2],
        sampler: Literal["tpe", "random"],
        pruner: optuna.pruners.BasePruner | None,
        seed: int,
    ) -> None:
        self.folder, self.distributions = folder, distributions
        self._fixed, self._seed = fixed, seed
        self._sampler = sampler
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.where = storage.where(folder)
        # two workers that begin at once would both make the tables
        with files.locked(folder, wait=True), storage_faults(self.where):
            self.storage = storage.open(folder)
            self.study = optuna.create_study(
                storage=self.storage,
                study_name=storage.name,
                directions=["minimize"] * objectives,
                pruner=pruner or optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
            self._id = self.storage.get_study_id_from_name(self.study.study_name)
            count, begun = len(self.trials()), len(list(folder.glob("trials/*")))
        if count < begun:
            rule = "must hold the trials that were begun"
            raise ArtifactError(
                self.where,
                rule,
                f"{count} of {begun}",
                "restore it, or start anew in another folder",
            )

    def claim(self, most: int) -> Claim | None:
        """The next trial to run: one that a dead process left, else a new one while there are fewer
        than `most`; None for neither.
        """
        with files.locked(self.folder, wait=True):
            trials = self.trials()
            for trial in trials:
                if (
                    trial.state == TrialState.RUNNING
                    and (release := self._hold(trial.number)) is not None
                ):
                    # not ended between the look and the lock
                    if self._trial(trial.number).state == TrialState.RUNNING:
                        return Claim(
                            trial.number, dict(trial.params), self.home(trial.number), release
                        )
                    release()
            if len(trials) >= most:
                return None
            number = len(trials)
            values = (
                dict(self._fixed[number]) if number < len(self._fixed) else self._suggest(number)
            )
            notes = {SUMS[0]: _asked(number, values)}
            self.study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params=values,
                    distributions=dict(self.distributions),
                    user_attrs=notes,
                )
            )
            release = self._hold(number)
            assert release is not None, "a new trial's folder is free"
            return Claim(number, values, self.home(number), release)

    def home(self, number: int) -> Path:
        """A trial's folder, laid out like a run's."""
        return self.folder / "trials" / f"{number:04d}"

    def _hold(self, number: int) -> Callable[[], None] | None:
        """Lock a trial's folder, made if need be; None where another process holds it."""
        stack = contextlib.ExitStack()
        try:
            stack.enter_context(files.locked(self.home(number)))
        except InUse:
            return None
        return stack.close

    def _suggest(self, number: int) -> dict[str, Value]:
        """The suggestion of a fresh sampler for a trial of that number, given the trials that have
        ended.
        """
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1, np.uint32)[0])
        sampler = (
            optuna.samplers.TPESampler(seed=seed)
            if self._sampler == "tpe"
            else optuna.samplers.RandomSampler(seed=seed)
        )
        # in memory: what it notes is not kept
        past = optuna.create_study(directions=self.study.directions, sampler=sampler)
        past.add_trials([trial for trial in self.trials() if trial.state.is_finished()])
        return dict(past.ask(dict(self.distributions)).params)

    def report(self, number: int, value: float, step: int) -> bool:
        """Note an intermediate value; whether the pruner would stop the trial here.

        It is asked once per step and what it said is kept, since some pruners count how often they
        are asked: a step that is run again after a kill hears the same.
        """
        self.storage.set_trial_intermediate_value(self._ident(number), step, value)
        trial = self._trial(number)
        judged, stopped = _verdict(trial)
        if step > judged:
            # numpy's own, of some pruners
            judged, stopped = step, bool(self.study.pruner.prune(self.study, trial))
            self.storage.set_trial_system_attr(self._ident(number), _VERDICT, [step, stopped])
        return stopped and step == judged

    def pruned(self, number: int, before: float) -> bool:
        """Whether the pruner has stopped a trial at a step before `before`."""
        judged, stopped = _verdict(self._trial(number))
        return stopped and judged < before

    def note(self, number: int, facts: Mapping[str, Any]) -> None:
        """Keep facts beside a trial's values, as JSON."""
        for name, value in facts.items():
            self.storage.set_trial_user_attr(self._ident(number), name, value)

    def end(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        """A trial has ended: complete with its values, pruned, or failed."""
        given = values if state == TrialState.COMPLETE else None
        self.note(number, {SUMS[1]: _ended(self._trial(number), state, given)})
        self.study.tell(number, given, state=state)

    def _ident(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def _trial(self, number: int) -> FrozenTrial:
        return self.storage.get_trial(self._ident(number))

    def trials(self) -> list[FrozenTrial]:
        """All of them, by number.

        Raises:
            ArtifactError: one is not as it was written.
        """
        trials = self.study.get_trials(deepcopy=False)
        for trial in trials:
            values = trial.values if trial.state == TrialState.COMPLETE else None
            known = {
                SUMS[0]: _asked(trial.number, trial.params),
                SUMS[1]: _ended(trial, trial.state, values),
            }
            if trial.state == TrialState.RUNNING:
                del known[SUMS[1]]
            # older studies have none
            if any(trial.user_attrs.get(name, right) != right for name, right in known.items()):
                raise ArtifactError(
                    self.where,
                    f"trial {trial.number} must be as it was written",
                    "another content",
                    "restore it",
                )
            # a stranger's sums are right
            if strange := self._strange(trial):
                raise ArtifactError(
                    self.where,
                    f"trial {trial.number} must be of the study's settings",
                    strange,
                    "start anew",
                )
        return trials

    def _strange(self, trial: FrozenTrial) -> str:
        """The part of a trial that cannot be of this study: what it varies, or its notes; empty for
        none.
        """
        if trial.distributions != self.distributions:
            spreads = [f"{name} in {spread}" for name, spread in trial.distributions.items()]
            return f"{', '.join(spreads) or 'nothing'} varied"[:300]
        judged, cost = trial.system_attrs.get(_VERDICT, [0, False]), trial.user_attrs.get("cost", 0)
        pair = isinstance(judged, list) and [type(part) for part in judged] == [int, bool]
        notes = [] if pair else [f"{_VERDICT} {judged!r}"]
        notes += [] if type(cost) in (int, float) else [f"cost {cost!r}"]
        return ", ".join(notes)[:300]


def _asked(number: int, values: Mapping[str, Value]) -> str:
    # as they come back
    plain = {
        name: float(value) if isinstance(value, int | float) else value
        for name, value in values.items()
    }
    return checksums.of_values({"number": number, "values": plain})


def _ended(trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> str:
    notes = {name: value for name, value in trial.user_attrs.items() if name not in SUMS}
    ending = {
        "state": state.name,
        "loss": values,
        "steps": sorted(trial.intermediate_values.items()),
        "notes": notes,
    }
    return checksums.of_values(ending)


def _verdict(trial: FrozenTrial) -> tuple[int, bool]:
    """The last step that the pruner judged, and whether it stopped the trial there."""
    step, stopped = trial.system_attrs.get(_VERDICT, (-1, False))
    return int(step), bool(stopped)
