"""The verdict of a race on every choice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from automtl.errors import counted
from automtl.phases.race._align import aligned, unused
from automtl.phases.race._checks import Check
from automtl.phases.race._finals import Finals
from automtl.phases.race._patterns import Pattern, least
from automtl.phases.race.entrants import Entrant
from automtl.runs.decided import MODEL, NO_BETTER, ONE_UNIT
from automtl.spaces.architecture import Architecture
from automtl.spaces.decisions import EXPERTS_OF, Decision, Reason, Verdict
from automtl.strategies.decisions import is_experts, words_of
from automtl.strategies.encoding import SpaceEncoding


@dataclass(frozen=True)
class Dissent:
    """A finalist not told apart from the winner that has another value at a choice.

    Args:
        finalist: its id.
        value: what it has there.
        alone: whether the two differ in nothing else.
    """

    finalist: str
    value: str
    alone: bool


@dataclass(frozen=True)
class Grounds:
    """The evidence that verdicts rest on.

    Args:
        finals: who won, and who is not told apart.
        raced: all architectures of the space that were trained, the best first.
        believed: the strategy's own view of the winner's choices: runners-up and alphas.
        encoding: of the space.
        beats_constant: whether the winner is shown to be better than the base rates.
        seeds: of each training that is compared.
        lone: whether the B rows are one row, or one group, so that nothing can be shown.
    """

    finals: Finals
    raced: Sequence[Architecture]
    believed: Sequence[Decision]
    encoding: SpaceEncoding
    beats_constant: bool
    seeds: int
    lone: bool = False

    def agreed(self) -> dict[str, str]:
        """The choices that every finalist not told apart from the winner has too, so that only a
        check can tell, with their runners-up; none where no check could decide them.
        """
        if not self.beats_constant or self.finals.winner.kind == "rival":
            return {}
        winner = self.finals.winner.architecture
        idle, dissent = unused(self.encoding, winner), self._dissent()
        raced = [aligned(self.encoding, winner, other) for other in self.raced]
        runners_up = {}
        for decision in self.believed:
            name = decision.choice
            names = [str(o) for o in self.encoding.operations(name)]
            others = [other for other in names if other != decision.taken]
            if not is_experts(name) and others and name not in idle and name not in dissent:
                # a draw believes nothing: the best that was trained with another value tells more
                # than the order of the space's list
                trained = [told[name] for told in raced if told[name] in others]
                runners_up[name] = decision.runner_up or [*trained, *others][0]
        return runners_up

    @property
    def agreed_on_experts(self) -> bool:
        """Whether only a check can tell if it matters which tasks share experts: there is a choice,
        and every finalist not told apart from the winner makes the same.
        """
        if not self.beats_constant or self.finals.winner.kind == "rival":
            return False
        dissent = self._dissent()
        experts = [d.choice for d in self.believed if is_experts(d.choice)]
        return bool(experts) and not any(name in dissent for name in experts)

    def _dissent(self) -> dict[str, Dissent]:
        """Per choice the nearest finalist not told apart that has another value there. A hand-made
        one has no such choices.
        """
        winner = self.finals.winner.architecture
        own = self.encoding.taken(self.encoding.genome(winner))
        dissent: dict[str, Dissent] = {}
        for entrant in self.finals.level:
            if entrant.kind == "rival":
                continue
            told = aligned(self.encoding, winner, entrant.architecture)
            others = [choice for choice, value in told.items() if value != own[choice]]
            for choice in others:
                alone = len(others) == 1
                dissent.setdefault(choice, Dissent(entrant.id, told[choice], alone))
        return dissent

    def decisions(
        self,
        checks: Sequence[Check],
        patterns: Sequence[Pattern],
        all_checked: bool,
        all_tried: bool,
    ) -> list[Decision]:
        """Every choice of the winner; of a hand-made one the model as a whole.

        Args:
            checks: groups of choices that were changed.
            patterns: of experts that were tried.
            all_checked: whether no group is left to change.
            all_tried: whether no pattern is left to try.
        """
        if self.finals.winner.kind == "rival":
            return [self._whole()]
        idle = unused(self.encoding, self.finals.winner.architecture)
        dissent = self._dissent()
        checked: dict[str, list[Check]] = {}
        for check in checks:
            for name in check.choices:
                checked.setdefault(name, []).append(check)
        return [
            self._shared(decision, dissent, patterns, all_tried)
            if is_experts(decision.choice)
            else self._decision(decision, idle, dissent, checked, all_checked)
            for decision in self.believed
        ]

    def _decision(
        self,
        believed: Decision,
        idle: set[str],
        dissent: dict[str, Dissent],
        checked: dict[str, list[Check]],
        all_checked: bool,
    ) -> Decision:
        name = believed.choice
        if name in idle:
            words = "no task uses this expert, so nothing depends on it"
            return replace(believed, evidence=words, reason="idle")
        if not self.beats_constant:
            return self._no_better(believed)
        if name in dissent:
            return self._dissented(believed, dissent[name])
        if name in checked:
            return _checked(believed, checked[name], self._trained, all_checked)
        words = "all finalists not told apart have it, and it was not checked"
        return _open(believed, words, _unchecked(all_checked))

    def _dissented(self, believed: Decision, other: Dissent) -> Decision:
        gap = self.finals.gaps[other.finalist]
        more = "" if other.alone else " (and other differences)"
        words = f"a finalist with {other.value} here{more} is not told apart"
        decision = replace(believed, runner_up=other.value, evidence=f"{words}; {self._trained}")
        verdict = _tied(gap.tied and other.alone)
        return _measured(decision, gap.difference, gap.low, gap.high, verdict)

    def _shared(
        self,
        believed: Decision,
        dissent: dict[str, Dissent],
        patterns: Sequence[Pattern],
        all_tried: bool,
    ) -> Decision:
        """The experts of a task. Which tasks share experts was checked for all tasks as one."""
        if not self.beats_constant:
            return self._no_better(believed)
        if believed.choice in dissent:
            return self._dissented(believed, dissent[believed.choice])
        if any(is_experts(name) for name in dissent):
            words = "a finalist in which another task has other experts is not told apart"
            return replace(believed, evidence=f"{words}; {self._trained}")
        if not all_tried:
            words = f"{believed.evidence}; not all other patterns were tried"
            return _open(believed, words, "stopped")
        if not patterns:
            words = "no other pattern was trained (search.race_patterns), or none differs"
            return replace(believed, evidence=f"{believed.evidence}; {words}")
        return _patterned(believed, self._task(believed), patterns, self._trained)

    def _task(self, decision: Decision) -> int:
        """The number of the task whose experts a decision names."""
        names = [task.name for task in self.encoding.schema.tasks]
        return names.index(decision.choice.removeprefix(EXPERTS_OF))

    @property
    def _trained(self) -> str:
        return f"{self.seeds} trainings of each"

    def _no_better(self, decision: Decision) -> Decision:
        if self.lone:
            return replace(decision, evidence=ONE_UNIT, reason="one unit")
        return replace(decision, evidence=NO_BETTER, reason="no better")

    def _whole(self) -> Decision:
        """A hand-made winner beside the best that was searched."""
        winner = self.finals.winner
        searched = [
            e for e in self.finals.ordered if e.kind != "rival" and e.id in self.finals.gaps
        ]
        words = f"hand-made; {self.seeds} trainings of each finalist"
        other = f"searched ({searched[0].name})" if searched else None
        decision = Decision(MODEL, winner.name, other, "not decided", words)
        if not self.beats_constant:
            return self._no_better(decision)
        if not searched:
            return decision
        gap = self.finals.gaps[searched[0].id]
        verdict: Verdict = "decided" if gap.worse else _tied(gap.tied)
        return _measured(decision, gap.difference, gap.low, gap.high, verdict)


def of_a_stopped_race(leader: Entrant, believed: Sequence[Decision], words: str) -> list[Decision]:
    """Every choice of who led when a race was stopped before its finals were over: none decided.

    Args:
        leader: on A rows.
        believed: the strategy's own view of its choices.
        words: why nothing is decided.
    """
    if leader.kind == "rival":
        return [Decision(MODEL, leader.name, None, "not decided", words)]
    return [
        Decision(d.choice, d.taken, d.runner_up, "not decided", words, alpha=d.alpha)
        for d in believed
    ]


def _open(decision: Decision, words: str, reason: Reason) -> Decision:
    """A decision that more trainings could make, with what would have to be done."""
    rest = "before the race was stopped" if reason == "stopped" else "(search.race_checks)"
    return replace(decision, evidence=f"{words} {rest}", reason=reason)


def _unchecked(all_checked: bool) -> Reason:
    return "unchecked" if all_checked else "stopped"


def _tied(tied: bool) -> Verdict:
    return "tied" if tied else "not decided"


def _measured(
    decision: Decision, difference: float, low: float, high: float, verdict: Verdict
) -> Decision:
    return replace(decision, difference=difference, low=low, high=high, verdict=verdict)


def _checked(
    believed: Decision, checks: Sequence[Check], trained: str, all_checked: bool
) -> Decision:
    """A choice that was changed, with others or alone or first the one and then the other."""
    check = checks[-1]
    gap, others = check.gap, len(check.choices) - 1
    believed = replace(believed, runner_up=check.choices[believed.choice])
    together = f" with {others} other choice{'s' * (others > 1)}" if others else ""
    if gap is None:
        return replace(believed, evidence=f"changed{together}, a training was not finite")
    if not others and gap.worse:
        decision = replace(believed, evidence=f"changed alone, the model is worse; {trained}")
        return _measured(decision, gap.difference, gap.low, gap.high, "decided")
    if gap.worse:
        words = f"changed{together}, the model is worse; which of them, was not checked"
        return _open(believed, words, "together" if all_checked else "stopped")
    better = gap.apart and gap.high < 0
    words = "the model is better: search on" if better else "no difference is shown"
    decision = replace(believed, evidence=f"changed{together}, {words}; {trained}")
    if len(checks) > 1:  # its group was worse: what stands in for it there was changed, too
        with_others = counted(len(checks[0].choices) - 1, "other choice")
        words = f"changed alone, {words}; with {with_others} the model is worse; {trained}"
        decision = replace(decision, evidence=words, reason="only together")
        return _measured(decision, gap.difference, gap.low, gap.high, "not decided")
    # of several, gains and losses may cancel: alike as a group says nothing of one
    verdict = _tied(gap.tied and not better and not others)
    return _measured(decision, gap.difference, gap.low, gap.high, verdict)


def _patterned(
    believed: Decision, task: int, patterns: Sequence[Pattern], trained: str
) -> Decision:
    """The experts of a task, by other patterns of all tasks' experts: all of them worse, or the
    last one not.
    """
    decided = all(pattern.worse for pattern in patterns)
    shown = least(patterns) if decided else patterns[-1]
    other = words_of((shown.entrant.architecture.chosen or ())[task])
    believed = replace(believed, runner_up=None if other == believed.taken else other)
    gap, name = shown.gap, shown.entrant.name
    if gap is None:
        return replace(believed, evidence=f"{name}: a training was not finite")
    if decided:
        tried = counted(len(patterns), "other pattern")
        words = f"{tried} of all tasks' experts, first {patterns[0].entrant.name}: each is worse"
    elif gap.apart:
        words = f"{name}: the model is better, search on"
    else:
        words = f"{name}: no difference is shown"
    verdict: Verdict = "decided" if decided else "not decided" if gap.apart else _tied(gap.tied)
    decision = replace(believed, evidence=f"{words}; {trained}")
    return _measured(decision, gap.difference, gap.low, gap.high, verdict)
