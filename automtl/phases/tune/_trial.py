"""The reporter of a running trial: it reports every epoch to the study, and stops the trial when it
should be pruned.
"""

from collections.abc import Callable
from typing import Any

import optuna

from automtl.phases.run.reporter import Reporter
from automtl.runs.epoch_line import judged
from automtl.training.early_stopping import Monitor
from automtl.training.loop import StepEvent


class OutOfTime(KeyboardInterrupt):
    """The study's time is over; the trial can be taken up again where it stopped."""


class TrialReporter:
    """Passes on what one phase of a trial tells, and stops it between two epochs.

    An epoch that cannot be the best, such as one in which DSelect-k's gates still select, is not
    reported: it says nothing of what will be kept. The reporter keeps nothing that a killed process
    would lose: what the pruner said of the epochs before is asked anew at the phase's first step.

    Args:
        outer: told what people should see.
        report: takes (validation figure, less being better; step) and says whether the trial should
            be pruned.
        verdict: takes a step, and says whether the trial should be pruned by what was reported of
            the steps before it.
        late: whether the study's time is over.
        first: the step that the phase's first epoch is. A search's epochs are steps from 0, a
            retrain's go on from the most epochs of any trial's search, so that trials of other
            lengths are compared like with like; where weights begin anew, epochs count from there.
            None: the phase does not report.
        monitor: which figure.
        task: whose net reports where each task has its own, since the others count their epochs
            anew.
    """

    def __init__(
        self,
        outer: Reporter,
        *,
        report: Callable[[float, int], bool],
        verdict: Callable[[float], bool],
        late: Callable[[], bool],
        first: int | None,
        monitor: Monitor,
        task: str,
    ) -> None:
        self._outer, self._first = outer, first
        self._report, self._verdict = report, verdict
        self._late = late
        self._monitor, self._task = monitor, task
        self._asked = False
        self._stop: BaseException | None = None

    def say(self, text: str) -> None:
        """Passed on, as of an inner phase."""
        self._outer.say(f"  {text}")

    def step(self, event: StepEvent, epochs: int) -> None:
        """Passed on; an epoch's checkpoint is made by now, so this is where to stop."""
        if not self._asked:
            self._asked = True
            if self._verdict(float("inf") if self._first is None else self._first + event.epoch):
                self._stop = optuna.TrialPruned()
        if self._stop is not None:
            raise self._stop
        self._outer.step(event, epochs)

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """Report the epoch; a stop comes with the next step."""
        if self._late():
            self._stop = OutOfTime()
        if (
            self._first is None
            or self._task not in line.get("part", [self._task])
            or not line.get("judged", True)
        ):
            return
        figures = judged(line)[1]
        cost = self._monitor.cost(figures) if figures else None
        if cost is not None and self._report(
            cost, self._first + line["epoch"] - line.get("anew_from", 0)
        ):
            self._stop = optuna.TrialPruned()
