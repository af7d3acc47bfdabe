"""What a strategy says of its own choices. A strategy that trained no candidate alone has decided
nothing; it says what each choice rests on.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from automtl.spaces.architecture import Architecture
from automtl.spaces.decisions import EXPERTS_OF, Decision, Motion
from automtl.spaces.equivalence import form
from automtl.strategies.encoding import Genome, SpaceEncoding

ONE_SUPERNET = "one supernet's belief"
# L_JSD and the start alone can set a pattern, and so can a draw: only a check tells
BY_BETA = "not known to come from the data; scripts/relabel_check.py tries that"
BY_START = "set by the start alone: the search ended in its warm-up, before beta was trained"


class Ground(NamedTuple):
    """The ground of a choice.

    Attributes:
        runner_up: what came next; None where nothing did.
        evidence: for people.
        alpha: whether alpha still moves; None where none is trained.
    """

    runner_up: str | None
    evidence: str
    alpha: Motion | None = None


def undecided(
    encoding: SpaceEncoding, architecture: Architecture, ground: Callable[[str, str], Ground]
) -> tuple[Decision, ...]:
    """Every choice of an architecture as not decided.

    Args:
        encoding: of the space.
        architecture: of that space.
        ground: takes a choice's name and what was taken.
    """
    decisions = []
    for choice, taken in encoding.taken(encoding.genome(architecture)).items():
        runner_up, evidence, alpha = ground(choice, taken)
        decisions.append(Decision(choice, taken, runner_up, "not decided", evidence, alpha=alpha))
    return tuple(decisions)


def next_by_weight(weights: Mapping[str, float], taken: str) -> str | None:
    """The heaviest candidate that was not taken."""
    return max((name for name in weights if name != taken), key=weights.__getitem__, default=None)


def next_experts(architecture: Architecture, task: int) -> str | None:
    """The experts of a task with the last of them changed for the best one outside; None where none
    is outside or there is no ranking.
    """
    if architecture.ranking is None or architecture.chosen is None:
        return None
    chosen = architecture.chosen[task]
    order = [ranked.expert for ranked in architecture.ranking[task]]
    outside = next((expert for expert in order if expert not in chosen), None)
    if outside is None:
        return None
    last = max(chosen, key=order.index)
    return words_of(sorted({*chosen, outside} - {last}))


def words_of(experts: Iterable[int]) -> str:
    """A task's experts as a decision names them."""
    return ", ".join(map(str, experts))


def by_scores(
    encoding: SpaceEncoding,
    scored: Iterable[tuple[Genome, float]],
    architecture: Architecture,
    what: str,
) -> tuple[Decision, ...]:
    """The decisions of the best-scored architecture: beside each choice, the best-scored
    architecture that differs in it.

    Args:
        encoding: of the space.
        scored: architectures and their losses on A rows.
        architecture: the best of them.
        what: the scores are, for people.
    """
    ordered = [
        (encoding.taken(genome), loss) for genome, loss in sorted(scored, key=lambda s: s[1])
    ]
    best = f"{ordered[0][1]:.5f}" if ordered else "none"

    def ground(choice: str, taken: str) -> Ground:
        for values, loss in ordered:
            if values[choice] != taken:
                evidence = (
                    f"{what}: {best} on A rows, {loss:.5f} the best with another choice here "
                    "(and maybe elsewhere)"
                )
                return Ground(values[choice], evidence)
        return Ground(None, f"{what}: nothing else was tried here")

    return undecided(encoding, architecture, ground)


def is_experts(choice: str) -> bool:
    """Whether a choice is which experts a task takes."""
    return choice.startswith(EXPERTS_OF)


def distinct(architectures: Iterable[Architecture], count: int) -> list[Architecture]:
    """The first so many architectures, no two equal up to the order of experts and to experts that
    no task uses.
    """
    firsts: dict[object, Architecture] = {}
    for architecture in architectures:
        firsts.setdefault(form(architecture), architecture)
        if len(firsts) == count:
            break
    return list(firsts.values())
