"""The order of a race's trainings, computed from the results so far: rungs, then the finals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from automtl.phases.race.entrants import Entrant
from automtl.phases.race.results import Result, Stage, by_a, of_rung

FACTOR = 3  # from one rung to the next: as many times the rows, for a third of the candidates


@dataclass(frozen=True)
class Schedule:
    """How far a race trains how many.

    Args:
        count: of all who start.
        finalists: how many are trained again with fresh seeds.
        halving: whether rungs stop the worse two thirds early; else each has a whole training.
    """

    count: int
    finalists: int
    halving: bool

    @cached_property
    def sizes(self) -> list[int]:
        """The number of entrants at each rung; the last is that of the finals."""
        counts = [self.count]
        while counts[-1] > self.finalists:
            fewer = math.ceil(counts[-1] / FACTOR) if self.halving else self.finalists
            counts.append(max(self.finalists, fewer))
        return counts

    @property
    def rungs(self) -> int:
        """The number of rungs before the finals."""
        return len(self.sizes) - 1

    @property
    def _shares(self) -> list[float]:
        """Of a whole training, where each rung ends, and the finals."""
        return [
            float(FACTOR ** (r - self.rungs)) if self.halving else 1.0
            for r in range(self.rungs + 1)
        ]

    def end(self, rung: int, steps: int) -> int:
        """The steps at which a rung, or after the last the finals, is judged."""
        return max(1, round(steps * self._shares[rung]))

    @property
    def least_steps(self) -> int:
        """Steps of a whole training with which every rung has one of its own."""
        return int(FACTOR**self.rungs) if self.halving else 1

    def planned_steps(self, seeds: int, steps: int) -> int:
        """Steps of all rungs and finals, at most.

        Args:
            seeds: of each finalist, and of a rival beside them.
            steps: of a whole training.
        """
        ends = [self.end(rung, steps) for rung in range(self.rungs)]
        starts = [0, *ends]
        rungs = sum(
            size * (end - start) for size, end, start in zip(self.sizes, ends, starts, strict=False)
        )
        return rungs + (self.sizes[-1] + 1) * seeds * steps


@dataclass(frozen=True)
class Job:
    """One training.

    Args:
        stage: of the race.
        rung: to which it goes.
        entrant: who.
        seed: number of the seed within the stage.
        start, end: steps; from above 0 it goes on from the rung before.
    """

    stage: Stage
    rung: int
    entrant: Entrant
    seed: int
    start: int
    end: int


class Course:
    """A race's rungs and finals.

    Args:
        entrants: all who start.
        finalists: how many are trained again with fresh seeds, the best rival beside them where it
            is not among them.
        halving: whether the worse are stopped early.
        seeds: of each finalist.
        steps: of a whole training.
    """

    def __init__(
        self,
        entrants: Sequence[Entrant],
        *,
        finalists: int,
        seeds: int,
        steps: int,
        halving: bool = False,
    ) -> None:
        self.entrants, self.halving = entrants, halving
        self.seeds, self.steps = seeds, steps
        self.by_id = {entrant.id: entrant for entrant in entrants}
        self.schedule = Schedule(len(self.by_id), finalists, halving)
        self.rungs = self.schedule.rungs

    def end(self, rung: int) -> int:
        """The steps at which a rung is judged; the finals are one more."""
        return self.schedule.end(rung, self.steps)

    def standing(self, results: Sequence[Result], rung: int) -> list[Entrant] | None:
        """Who runs at a rung (past the last: in the finals), in the order of the start; None while
        the rung before is not whole.
        """
        if rung == 0:
            return list(self.by_id.values())
        before, judged = self.standing(results, rung - 1), of_rung(results, rung - 1)
        if before is None or any(entrant.id not in judged for entrant in before):
            return None
        ordered = by_a([judged[entrant.id] for entrant in before])
        advancing = {r.candidate for r in ordered[: self.schedule.sizes[rung]] if r.a is not None}
        return [entrant for entrant in before if entrant.id in advancing]

    def in_finals(self, results: Sequence[Result]) -> list[Entrant] | None:
        """The finalists, and the best rival; None while the rungs are not whole."""
        last = self.standing(results, self.rungs)
        if last is None or any(entrant.kind == "rival" for entrant in last):
            return last
        # the furthest, then the least loss there
        for rung in range(self.rungs - 1, -1, -1):
            there = [r for r in of_rung(results, rung).values() if r.kind == "rival"]
            if there and (best := by_a(there)[0]).a is not None:
                return [*last, self.by_id[best.candidate]]
        return last

    def next(self, results: Sequence[Result]) -> Job | None:
        """The next training; None after the finals."""
        for rung in range(self.rungs):
            done = of_rung(results, rung)
            for entrant in self.standing(results, rung) or ():
                if entrant.id not in done:
                    start = self.end(rung - 1) if rung else 0
                    return Job("rung", rung, entrant, 0, start, max(self.end(rung), start))
        done_finals = {(r.candidate, r.seed) for r in results if r.stage == "final"}
        for seed in range(self.seeds):
            for entrant in self.in_finals(results) or ():
                if (entrant.id, seed) not in done_finals:
                    return Job("final", self.rungs, entrant, seed, 0, self.steps)
        return None

    def whole_rungs(self, results: Sequence[Result]) -> int:
        """The number of whole rungs; where there are no rungs, the first fresh seed of all
        finalists counts as one.
        """
        whole = 0
        while whole < self.rungs and self.standing(results, whole + 1) is not None:
            whole += 1
        if not self.rungs:
            finals = {r.candidate for r in results if r.stage == "final" and r.seed == 0}
            return int(all(e.id in finals for e in self.entrants))
        return whole

    def order(self, results: Sequence[Result]) -> list[str]:
        """All who ran a rung, by id: the furthest first, then the least loss on A rows there."""
        return [
            result.candidate
            for rung in range(self.rungs - 1, -1, -1)
            for result in by_a(list(of_rung(results, rung).values()))
        ]

    def leader(self, results: Sequence[Result]) -> Entrant:
        """The leader on A rows at the last whole rung."""
        if not self.rungs:
            done = [r for r in results if r.stage == "final" and r.seed == 0]
            return self.by_id[by_a(done)[0].candidate]
        judged = of_rung(results, self.whole_rungs(results) - 1)
        return self.by_id[by_a(list(judged.values()))[0].candidate]

    @property
    def planned_steps(self) -> int:
        """Steps of all rungs and finals, at most."""
        return self.schedule.planned_steps(self.seeds, self.steps)
