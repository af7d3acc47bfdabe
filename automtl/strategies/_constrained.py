"""The best architecture within hard limits of cost: operations and experts chosen together.

The score is sum log softmax(alpha) over the blocks of used experts and of the interaction, plus sum
log softmax(beta) over the chosen experts; an expert that no task uses costs and scores nothing. For
a set U of experts the tasks take their c best inside U, and the operations are a multiple-choice
knapsack, solved by frontiers (`_frontier.py`); sets are enumerated depth first with a bound. That
is exact while no frontier is thinned and N is at most `MOST_ENUMERATED`; beyond, sets are improved
by single exchanges.

Legend: N experts, T tasks, c chosen, k costs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from automtl.strategies._frontier import Frontier

MOST_ENUMERATED = 12


@dataclass(frozen=True)
class Block:
    """One choice block.

    Args:
        name: of the block.
        scores: (n,) log softmax(alpha).
        costs: (n, k).
        tie: blocks with the same tie take the same candidate.
    """

    name: str
    scores: np.ndarray
    costs: np.ndarray
    tie: object


@dataclass(frozen=True)
class Problem:
    """What is to be chosen.

    Args:
        common: blocks that every model has.
        experts: per expert its blocks.
        beta: (T, N) log softmax(beta), or None where all experts are used.
        count: c.
        fixed: (k,) costs beside the blocks.
        limits: (k,).
    """

    common: Sequence[Block]
    experts: Sequence[Sequence[Block]]
    beta: np.ndarray | None
    count: int
    fixed: np.ndarray
    limits: np.ndarray


@dataclass(frozen=True)
class Choice:
    """The best found.

    Args:
        picks: per block of a used expert or of the interaction, its candidate.
        chosen: per task its experts; None without beta.
        score: what was maximised.
        exact: proven to be the best.
    """

    picks: dict[str, int]
    chosen: tuple[tuple[int, ...], ...] | None
    score: float
    exact: bool


def best_within(problem: Problem) -> Choice | None:
    """The best choice within the limits; None where none is."""
    p = problem
    if p.beta is None:
        blocks = [*p.common, *(b for expert in p.experts for b in expert)]
        return _read(p, blocks, _frontier(p, blocks), None, 0.0, True)
    ties = [tuple(b.tie for b in expert) for expert in p.experts]
    tied = len(set(ties)) < len(ties)
    if len(p.experts) > MOST_ENUMERATED:
        return _improved(p)
    best = None
    for used in _tied_sets(p) if tied else _Tree(p).sets():
        found = _solve(p, used, True)
        if found is not None and (best is None or found.score > best.score):
            best = found
    return best


def _solve(p: Problem, used: Sequence[int], exact: bool) -> Choice | None:
    """The best with these experts to choose from."""
    blocks = [*p.common, *(b for i in used for b in p.experts[i])]
    chosen, beta = _chosen(p, used)
    return _read(p, blocks, _frontier(p, blocks), chosen, beta, exact)


def _chosen(p: Problem, used: Sequence[int]) -> tuple[tuple[tuple[int, ...], ...], float]:
    """Per task its c best experts inside `used`, and their sum of log softmax(beta)."""
    assert p.beta is not None
    chosen = [
        sorted(sorted(used, key=lambda i, row=row: (-row[i], i))[: p.count])  # type: ignore[misc]
        for row in p.beta
    ]
    return tuple(map(tuple, chosen)), float(
        sum(row[task].sum() for row, task in zip(p.beta, chosen, strict=True))
    )


def _frontier(p: Problem, blocks: Sequence[Block]) -> Frontier:
    """The frontier over blocks; tied ones are one choice that counts as often as it stands."""
    groups: dict[object, list[Block]] = {}
    for block in blocks:
        groups.setdefault(block.tie, []).append(block)
    frontier = Frontier.start(p.fixed)
    for group in groups.values():
        frontier = frontier.extended(
            len(group) * group[0].costs, len(group) * group[0].scores, p.limits
        )
    return frontier


def _read(
    p: Problem,
    blocks: Sequence[Block],
    frontier: Frontier,
    chosen: tuple[tuple[int, ...], ...] | None,
    beta: float,
    exact: bool,
) -> Choice | None:
    if not len(frontier.scores) or not (p.fixed <= p.limits).all():
        return None
    point = int(frontier.scores.argmax())
    order = list(dict.fromkeys(block.tie for block in blocks))
    picks = {block.name: int(frontier.picks[point][order.index(block.tie)]) for block in blocks}
    return Choice(picks, chosen, float(frontier.scores[point]) + beta, exact and frontier.exact)


def _tied_sets(p: Problem) -> Iterator[list[int]]:
    """Where all experts are alike, only a set's size and its beta matter: the best set of each
    size.
    """
    assert p.beta is not None
    count = len(p.experts)
    by_size: dict[int, tuple[float, list[int]]] = {}
    for bits in range(1, 1 << count):
        used = [i for i in range(count) if bits >> i & 1]
        if len(used) >= p.count:
            value = _chosen(p, used)[1]
            if len(used) not in by_size or value > by_size[len(used)][0]:
                by_size[len(used)] = value, used
    yield from (used for _, used in by_size.values())


class _Tree:
    """Sets of experts depth first, each branch dropped once it cannot beat the best leaf seen."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.best = problem, -np.inf

    def sets(self) -> Iterator[list[int]]:
        """Every set that beat all before it; the last is the best."""
        yield from self._grow([], 0, _frontier(self.problem, self.problem.common))

    def _grow(self, used: list[int], number: int, frontier: Frontier) -> Iterator[list[int]]:
        p = self.problem
        rest = list(range(number, len(p.experts)))
        if (
            len(used) + len(rest) < p.count
            or frontier.best + _chosen(p, used + rest)[1] <= self.best
        ):
            return
        if not rest:
            self.best = frontier.best + _chosen(p, used)[1]
            yield list(used)
            return
        wider = frontier
        for block in p.experts[number]:
            wider = wider.extended(block.costs, block.scores, p.limits)
        if len(wider.scores):
            yield from self._grow([*used, number], number + 1, wider)
        yield from self._grow(used, number + 1, frontier)


def _improved(p: Problem) -> Choice | None:
    """For many experts: from the unconstrained choice of experts and from the c cheapest, by
    dropping, adding or exchanging one.
    """
    assert p.beta is not None
    everyone = range(len(p.experts))
    cheapest = sorted(
        everyone, key=lambda i: (sum(int(b.costs[:, 0].min()) for b in p.experts[i]), i)
    )[: p.count]
    starts = [sorted({i for task in _chosen(p, everyone)[0] for i in task}), sorted(cheapest)]
    found = [(choice, used) for used in starts if (choice := _solve(p, used, False)) is not None]
    if not found:
        return None
    best, used = max(found, key=lambda pair: pair[0].score)
    while True:
        outside = [i for i in everyone if i not in used]
        near = [[i for i in used if i != gone] for gone in used] if len(used) > p.count else []
        near += [sorted([*used, new]) for new in outside]
        near += [sorted([*(i for i in used if i != gone), new]) for gone in used for new in outside]
        better = [
            (choice, n)
            for n in near
            if (choice := _solve(p, n, False)) is not None and choice.score > best.score + 1e-12
        ]
        if not better:
            return best
        best, used = max(better, key=lambda pair: pair[0].score)
