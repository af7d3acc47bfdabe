"""Forecasts how much of a command is left."""

from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automtl.training.loop import StepEvent


class Pace:
    """The pace of a part: the time of its steps, and of what comes between two epochs."""

    def __init__(self) -> None:
        self._epoch, self._first = -1, 0
        self._since, self._last = 0.0, 0.0
        self._before: float | None = None  # seconds of a step in the epoch before
        self._gap: float | None = None  # between the last step of an epoch and the next one's first

    def left(self, event: "StepEvent", horizon: int, now: float) -> float | None:
        """Take a finished step; the seconds to the horizon, None where nothing is known yet."""
        if event.epoch != self._epoch:
            if self._epoch >= 0:
                self._gap = now - self._last
            self._epoch, self._first = event.epoch, event.step
            self._since = now
        done = event.step - self._first
        step = (now - self._since) / done if done else None
        if step is None or done < event.steps // 10:  # too few to judge by
            step = step if self._before is None else self._before
        if event.step + 1 == event.steps:
            self._before = step
        self._last = now
        if step is None:
            return None
        judging = 0.0 if self._gap is None else max(0.0, self._gap - step)
        steps = (horizon - event.epoch) * event.steps - event.step - 1
        return step * steps + judging * (horizon - event.epoch)

    @property
    def judged(self) -> bool:
        """Whether the time of an evaluation is known."""
        return self._gap is not None


class Forecast:
    """The progress of a command and the rest of it: parts of a training, one after the other, and
    trainings alike.

    A training that stops early is taken to stop as soon as its patience is over, so that what is
    left is the least if nothing gets better.
    """

    def __init__(self, now: float) -> None:
        self.start = now
        self.number, self.count = 0, 1
        self._share = 0.0
        self._place: tuple[int, int, int] | None = None  # part, epoch, step
        self._stage = ""
        self._part_since = now
        self._parts: list[float] = []  # seconds of those that have ended
        self._trainings: list[float] = []
        self._training_since = now
        self._pace = Pace()
        self._rows = 0
        self._steps_since: float | None = None  # the first step, whose own time nobody knows

    def training(self, number: int, now: float) -> None:
        """Training `number`, from 0, begins."""
        if number > self.number:
            self._trainings.append(now - self._training_since)
        self.number, self._training_since = number, now
        self._begin_part(now)
        self._parts, self._place = [], None

    def _begin_part(self, now: float) -> None:
        self._part_since, self._pace = now, Pace()
        self._rows, self._steps_since = 0, None

    def step(self, event: "StepEvent", epochs: int, now: float) -> tuple[float, float | None]:
        """Take a finished step of a phase that plans `epochs`; the share of all that is done, and
        the seconds left.
        """
        place = (event.part, event.epoch, event.step)
        if self._place is not None:
            if event.part > self._place[0]:
                self._parts.append(now - self._part_since)
            if event.part > self._place[0] or place <= self._place or event.stage != self._stage:
                self._begin_part(now)  # the next part, or another phase
        self._place, self._stage = place, event.stage
        if self._steps_since is None:
            self._steps_since = now
        else:
            self._rows += event.rows
        horizon = max(event.horizon or epochs, event.epoch + 1)
        done = event.epoch + (event.step + 1) / event.steps
        share = (self.number + (event.part + done / horizon) / event.parts) / self.count
        self._share = max(self._share, share)  # a better epoch moves the horizon, not the bar
        here = self._pace.left(event, horizon, now)
        return self._share, None if here is None else self._left(event, here, now)

    def _left(self, event: "StepEvent", here: float, now: float) -> float:
        part = fmean(self._parts) if self._parts else now - self._part_since + here
        rest = here + part * (event.parts - event.part - 1)
        whole = now - self._training_since + rest
        each = fmean(self._trainings) if self._trainings else whole
        return rest + each * (self.count - self.number - 1)

    def rate(self, now: float) -> float | None:
        """Rows a second of the running part, its evaluations included."""
        seconds = 0.0 if self._steps_since is None else now - self._steps_since
        return self._rows / seconds if seconds > 0 else None

    @property
    def judged(self) -> bool:
        """Whether the time of an evaluation is in what is left."""
        return self._pace.judged
