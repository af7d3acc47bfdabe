"""What a study hears of a running trial: every epoch's validation loss, and when to stop."""

from collections.abc import Callable
from typing import Any

import optuna

from automtl.phases.session import Reporter
from automtl.phases.tune_study import Claim
from automtl.training.loop import StepEvent


class OutOfTime(KeyboardInterrupt):
    """The study's time is over; the trial can be taken up again where it stopped."""


class TrialReporter:
    """Passes on what a trial's phases tell, and stops them between two epochs.

    Args:
        outer: told what people should see.
        report: takes (validation MTL-Loss, step) and says whether the trial should be pruned. A search's epochs are steps from 0,
            a retrain's go on from `most_epochs`, so that trials of other lengths are compared like with like. Of several retrain
            seeds only the first reports.
        late: whether the study's time is over.
        most_epochs: of any trial's search.
        claim: what a process before this one has reported of the trial is not reported anew.
    """

    def __init__(
        self, outer: Reporter, report: Callable[[float, int], bool], late: Callable[[], bool], most_epochs: int, claim: Claim
    ) -> None:
        self._outer, self._report, self._late, self._offset = outer, report, late, most_epochs
        self._retrained = max((step - most_epochs for step in claim.steps), default=-1)
        self._stop: BaseException | None = optuna.TrialPruned() if claim.stopped else None

    def ended(self) -> None:
        """Heed a stop by the pruner that came with the last epoch; an end of time is none any more.

        Raises:
            TrialPruned: it came.
        """
        if isinstance(self._stop, optuna.TrialPruned):
            raise self._stop

    def say(self, text: str) -> None:
        """Passed on, as of an inner phase."""
        self._outer.say(f"  {text}")

    def step(self, event: StepEvent, epochs: int) -> None:
        """Passed on; an epoch's checkpoint is made by now, so this is where to stop."""
        if self._stop is not None:
            stop, self._stop = self._stop, None
            raise stop
        self._outer.step(event, epochs)

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """Report the epoch; a stop comes with the next step."""
        if self._late():
            self._stop = OutOfTime()
        loss = (line.get("validation") or {}).get("loss")
        if loss is None or not self._new(phase, line["epoch"]):
            return
        if self._report(float(loss), line["epoch"] + (self._offset if phase == "retrain" else 0)):
            self._stop = optuna.TrialPruned()

    def _new(self, phase: str, epoch: int) -> bool:
        """Whether no epoch of that number has reported: other seeds and the parts of single_task count their epochs anew."""
        if phase == "search":
            return True
        new = epoch > self._retrained
        self._retrained = max(self._retrained, epoch)
        return new
