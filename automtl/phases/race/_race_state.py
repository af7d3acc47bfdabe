"""The state of a race in the search's checkpoint."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch

from automtl.phases.race._compare import Key
from automtl.phases.race.course import Course, Job
from automtl.phases.race.judge import Look
from automtl.phases.race.results import Result
from automtl.training.checkpoint_state import Count, Number, State, parse, require


class _Look(State):
    """The best look at the model in training."""

    step: Count
    a: Number
    b: Number
    units: torch.Tensor
    tasks: tuple[tuple[Number, Number], ...] = ()  # none in version 0.2.0


class RaceState(State):
    """The state of a race; the model in training checks its own."""

    entrants: tuple[str, ...]
    halving: bool = True  # version 0.2.0 knew nothing else
    lines: Count
    sum: str
    units: dict[str, torch.Tensor]
    step: Count
    best: _Look | None = None
    candidate: str | None = None  # in training; 0.2.0 did not tell
    model: Any

    @classmethod
    def of(cls, state: Any, course: Course) -> Self:
        """A state of a race with this course.

        Raises:
            ArtifactError: it is none.
        """
        parsed = parse(cls, state, "race")
        require(
            list(parsed.entrants) == [entrant.id for entrant in course.entrants],
            "race.entrants",
            "must be those that the search proposes",
            ", ".join(parsed.entrants)[:200],
        )
        require(
            parsed.halving == course.halving,
            "race.halving",
            "must be as search.race_halving says; give it as the race began",
            str(parsed.halving).lower(),
        )
        return parsed

    def units_of(self, results: Sequence[Result], count: int) -> dict[Key, np.ndarray]:
        """What every one of `count` units adds, by stage and candidate.

        Raises:
            ArtifactError: it is of other rows, or of other candidates than the results.
        """
        units = _by_key(self.units, count)
        judged = {(r.stage, r.candidate) for r in results if r.stage != "rung" and not r.error}
        require(
            units.keys() == judged,
            "race.units",
            "must be there for every candidate of the finals and the checks",
            ", ".join(self.units)[:200] or "none",
        )
        return units

    def best_of(self, count: int, *, due: bool) -> Look | None:
        """The best look at the model in training.

        Args:
            count: of the units that a look has.
            due: whether the training had one by now.

        Raises:
            ArtifactError: it is not there, of other rows, or of no step so far.
        """
        if (best := self.best) is None:
            require(not due, "race.best", "must be there after a pass", "none")
            return None
        rule = f"must be from 1 to {self.step}"
        require(1 <= best.step <= self.step, "race.best.step", rule, best.step)
        _check_units(best.units, count, "race.best.units", "of a look")
        return Look(best.step, best.a, best.b, best.units.numpy(), best.tasks)

    def check_step(self, job: Job | None) -> None:
        """Refuse a step that is not one of the training that comes next, and a look at no model.

        Raises:
            ArtifactError: it is such.
        """
        require(
            self.model is None or (job is not None and job.start <= self.step <= job.end),
            "race.step",
            "must be one of the training that comes next",
            self.step,
        )
        require(
            self.candidate is None or (job is not None and job.entrant.id == self.candidate),
            "race.candidate",
            "must be the one that is trained next",
            self.candidate,
        )
        require(
            self.best is None or self.model is not None,
            "race.best",
            "must be of a model in training",
            "one without",
        )


def _by_key(units: dict[str, torch.Tensor], count: int) -> dict[Key, np.ndarray]:
    by_key: dict[Key, np.ndarray] = {}
    for name, values in units.items():
        stage, _, candidate = name.partition(":")
        place = f"race.units.{name}"
        require(stage in ("final", "check"), place, "must be of a final or a check", stage)
        _check_units(values, count, place, "of a final or a check")
        by_key["final" if stage == "final" else "check", candidate] = values.numpy()
    return by_key


def _check_units(values: torch.Tensor, count: int, place: str, what: str) -> None:
    legal = values.dtype == torch.float64 and values.shape == (count,)
    require(
        legal and bool(values.isfinite().all()),
        place,
        f"must be {count} finite numbers {what}",
        f"{tuple(values.shape)} {values.dtype}, from {values.min():g} to {values.max():g}"
        if values.numel()
        else "none",
    )
