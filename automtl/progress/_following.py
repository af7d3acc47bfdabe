"""A command's progress in words: where it is, how fast, what is left, and the losses beside the
constant.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automtl.progress._forecast import Forecast
from automtl.runs.epoch_line import judged

if TYPE_CHECKING:
    from automtl.training.loop import StepEvent

_LOSS_EVERY_S = 1.0  # a look at a loss makes a device finish its step


@dataclass(frozen=True)
class View:
    """The state of a command after a step.

    Args:
        place: where it is, in words.
        share: of all that is done, 0 to 1.
        rate: rows a second of the running part, in words; empty while unknown.
        elapsed: since its begin, in words.
        left: likewise; "-:--" while unknown.
        losses: of training, of the rows that judge, and the constant's, in words.
        patience: when a training stops that gains nothing more, in words; empty where none does.
    """

    place: str
    share: float
    rate: str
    elapsed: str
    left: str
    losses: str
    patience: str

    @property
    def is_timed(self) -> bool:
        """Whether anything is known of what is left."""
        return self.left != UNKNOWN


UNKNOWN = "-:--"


class Following:
    """Follows a command's trainings, epochs and steps."""

    def __init__(self) -> None:
        now = time.monotonic()
        self._forecast, self._looked = Forecast(now), now - _LOSS_EVERY_S
        self._losses: dict[str, float] = {}

    def training(self, number: int, count: int) -> None:
        """The training `number`, from 0, of `count` alike begins; what is left is told of all."""
        self._forecast.count, self._losses = count, {}
        self._forecast.training(number, time.monotonic())

    def step(self, event: "StepEvent", epochs: int, *, look: bool) -> View:
        """Take a finished step.

        Args:
            event: the step.
            epochs: that its phase plans.
            look: whether the batch's loss is looked at, now and then.
        """
        now = time.monotonic()
        share, left = self._forecast.step(event, epochs, now)
        if look and event.losses is not None and now - self._looked >= _LOSS_EVERY_S:
            self._looked = now
            self._losses["batch"] = float(event.losses.total.detach())
        more = 0 if event.horizon is None else event.horizon - event.epoch
        patience = f"stops after {more} more epoch{'s'[: more > 1]} without gain" if more else ""
        return View(
            place=self._place(event, epochs),
            share=share,
            rate=_rate(self._forecast.rate(now)),
            elapsed=_clock(now - self._forecast.start),
            left=UNKNOWN if left is None else self._least(left, event),
            losses=", ".join(f"{name} {value:.4f}" for name, value in self._losses.items()),
            patience=patience,
        )

    def epoch(self, line: dict[str, Any]) -> None:
        """Keep an epoch's losses."""
        rows, figures = judged(line)
        losses = {
            "train": line["loss"].get("total"),
            f"{rows} rows" if rows == "B" else rows: figures.get("loss"),
            "constant": figures.get("constant"),
        }
        self._losses |= {
            name: float(value) for name, value in losses.items() if isinstance(value, int | float)
        }

    def _place(self, event: "StepEvent", epochs: int) -> str:
        count = self._forecast.count
        words = [f"training {self._forecast.number + 1} of {count}"] if count > 1 else []
        words += [event.stage] if event.stage else []
        if event.horizon is None and epochs > 1:
            words.append(f"epoch {event.epoch + 1} of {epochs}")
        elif event.horizon is not None:
            words.append(f"epoch {event.epoch + 1}")
        return ", ".join(words)

    def _least(self, left: float, event: "StepEvent") -> str:
        """The least time that is left, before an evaluation was timed; all of it where there will
        be none.
        """
        is_known = event.losses is None or self._forecast.judged
        return f"{'' if is_known else '>'}{_clock(left)}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _rate(rows: float | None) -> str:
    return "" if rows is None else f"{rows:,.0f} rows/s"
