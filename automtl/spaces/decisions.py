"""What a search decided, choice by choice, and what that rests on."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["decided", "tied", "not decided"]
Motion = Literal["moving", "settled", "unknown"]
Reason = Literal[
    "idle", "one unit", "no better", "unchecked", "together", "only together", "stopped"
]

EXPERTS_OF = "experts of "


@dataclass(frozen=True)
class Decision:
    """One choice of a search.

    Args:
        choice: a choice block, such as "interaction.0", or "experts of <task>".
        taken: what the architecture has there.
        runner_up: the candidate that came next; None where there is none.
        verdict: "decided" where trainings show that what was taken is better, "tied" where they
            show that the two are equal but for a margin, else "not decided".
        evidence: what that rests on, for people.
        difference: loss on B rows with the runner-up less the loss with what was taken; None where
            nothing was measured.
        low, high: its interval, adjusted for all that was compared; None likewise.
        reason: why it is open, where headline and advice depend on that: "idle" where nothing that
            is computed depends on it, "one unit" where the B rows are one row, or one group, "no
            better" where the winner is not shown to beat the base rates, "unchecked" where no check
            was left for it, "together" where a group that it is in matters and no check was left
            for it alone, "only together" where such a group matters and it alone is not shown to,
            "stopped" where the race ended before; else None.
        alpha: whether the alphas of the two still part, by their gradients' mean over the last
            passes over the A rows; None where no alpha is trained.
    """

    choice: str
    taken: str
    runner_up: str | None
    verdict: Verdict
    evidence: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    reason: Reason | None = None
    alpha: Motion | None = None

    @property
    def plain(self) -> dict[str, Any]:
        """The decision as JSON data."""
        return asdict(self)
