"""The verdict of a race, computed from its results alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from automtl.errors import NumericalError
from automtl.phases.race._answer import answer, better, task_losses, words_of_better
from automtl.phases.race._compare import Table, Units
from automtl.phases.race._finals import finals
from automtl.phases.race._trials import Trials
from automtl.phases.race._verdicts import Grounds, of_a_stopped_race
from automtl.phases.race.course import Course, Job
from automtl.phases.race.entrants import Entrant
from automtl.phases.race.judge import Judge
from automtl.phases.race.results import Result
from automtl.phases.run.session import Session
from automtl.spaces.architecture import Architecture
from automtl.spaces.decisions import Decision
from automtl.strategies.encoding import SpaceEncoding
from automtl.strategies.protocol import Strategy


class Outcome(NamedTuple):
    """What came of a race.

    Attributes:
        architecture: that is handed over.
        decisions: on its choices.
        summary: the race as plain data, with words.
        beside: other models as they raced, where there are: "hand_made", the best such one beside
            the winner, and "better", a changed copy that is shown to be better than the winner.
    """

    architecture: Architecture
    decisions: list[Decision]
    summary: dict[str, Any]
    beside: dict[str, Architecture]


class Judgement:
    """Reads a race's results.

    Args:
        session: data and settings.
        course: rungs and finals.
        encoding: of the space.
        strategy: whose search is over.
        judge: A and B rows.
        seed: of drawn patterns of experts.
    """

    def __init__(
        self,
        session: Session,
        course: Course,
        encoding: SpaceEncoding,
        strategy: Strategy,
        judge: Judge,
        *,
        seed: int,
    ) -> None:
        self._session, self._course = session, course
        self._encoding, self._strategy = encoding, strategy
        self._judge, self._seed = judge, seed
        self._trials: Trials | None = None

    def next_check(self, results: Sequence[Result], units: Units) -> Job | None:
        """The next training that checks the winner's choices, once the finals are over."""
        entrant = self._trials_of(results, units).next(self._table(results, units))
        if entrant is None:
            return None
        seed = sum(r.stage == "check" and r.candidate == entrant.id for r in results)
        return Job("check", self._course.rungs, entrant, seed, 0, self._course.steps)

    def outcome(self, results: Sequence[Result], units: Units) -> Outcome:
        """The architecture, its decisions, and the race in plain words; of a race that was stopped,
        who leads on A rows, and no decision.
        """
        if self._course.next(results) is not None:
            leader = self._course.leader(results)
            words = f"the race was stopped before its finals were over: {leader.name} led on A rows"
            summary: dict[str, Any] = {"winner": leader.name, "kind": leader.kind, "words": [words]}
            decisions = of_a_stopped_race(leader, self._believed(leader), words)
            return Outcome(leader.architecture, decisions, summary, {})
        table = self._table(results, units)
        grounds = self._grounds(results, units)
        checks, patterns, all_checked, all_tried = self._trials_of(results, units).judged(table)
        summary = answer(
            grounds.finals,
            table,
            results,
            self._course.rungs,
            beats=grounds.beats_constant,
            tasks=task_losses(
                grounds.finals.winner, results, self._judge, self._session.schema.tasks
            ),
            grouped=bool(self._session.schema.group),
            search=self._session.config.search,
        )
        decisions = grounds.decisions(checks, patterns, all_checked, all_tried)
        beside = {}
        if (rival := grounds.finals.rival) is not None:
            beside["hand_made"] = rival.architecture
        if (copy := better(checks, patterns)) is not None:
            beside["better"] = copy.entrant.architecture
            summary["better"] = copy.entrant.name
            summary["words"].append(words_of_better(copy))
        return Outcome(grounds.finals.winner.architecture, decisions, summary, beside)

    def _table(self, results: Sequence[Result], units: Units) -> Table:
        return Table(results, units, self._judge.equal_units)

    def _believed(self, entrant: Entrant) -> Sequence[Decision]:
        """The strategy's own view; it has none of a hand-made model."""
        return () if entrant.kind == "rival" else self._strategy.decisions(entrant.architecture)

    def _grounds(self, results: Sequence[Result], units: Units) -> Grounds:
        done = [r for r in results if r.stage != "check"]
        final = self._table(done, {key: u for key, u in units.items() if key[0] == "final"})
        finalists = self._course.in_finals(done)
        if not finalists or not final.losses:
            fix = "lower retrain.lr, or look at the rows"
            raise NumericalError("race", "a candidate's losses must be finite", "none", fix)
        outcome = finals(finalists, final)
        constant = self._judge.constant
        beats = constant is not None and final.beats(
            ("final", outcome.winner.id), constant, among=len(finalists)
        )
        seeds = self._session.config.search.race_seeds
        ordered = [*(e.id for e in outcome.ordered), *self._course.order(done)]
        raced = [e for name in ordered if (e := self._course.by_id[name]).kind != "rival"]
        architectures = [entrant.architecture for entrant in raced]
        return Grounds(
            outcome,
            architectures,
            self._believed(outcome.winner),
            self._encoding,
            beats,
            seeds,
            final.lone,
        )

    def _trials_of(self, results: Sequence[Result], units: Units) -> Trials:
        if self._trials is None:
            self._trials = Trials(self._grounds(results, units), self._session, self._seed)
        return self._trials
