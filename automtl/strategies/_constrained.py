"""The best architecture within hard limits of cost: operations and experts chosen together.

The score is sum log softmax(alpha) over the blocks of used experts and of the interaction, plus sum
log softmax(beta) over the chosen experts; an expert that no task uses costs and scores nothing.
With binary variables

    z[b, o]  block b is used and takes candidate o        u[e]  expert e is used
    y[t, e]  task t takes expert e                        x[g, o]  tied blocks g take candidate o

all of it is linear: sum_o z[b, o] = u[e(b)], or 1 for the interaction; y[t, e] <= u[e] <= sum_t
y[t, e]; sum_e y[t, e] = c; z[b, o] <= x[g(b), o] and sum_o x[g, o] <= 1; fixed + costs . z <=
limits. SciPy's mixed-integer solver (HiGHS) finds the optimum and proves it.

Legend: N experts, T tasks, c chosen, k costs, V variables.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

_SCALE = 1e5  # of the scores: the solver stops within 1e-6 of the optimum
_INFEASIBLE = 2  # a status of milp
_EARLIER = 1e-9  # by which of two candidates or experts as good the earlier one is better


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
    """The choice to be made.

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
    """The best.

    Args:
        picks: per block of a used expert or of the interaction, its candidate.
        chosen: per task its experts; None without beta.
        score: what was maximised.
    """

    picks: dict[str, int]
    chosen: tuple[tuple[int, ...], ...] | None
    score: float


def best_within(problem: Problem) -> Choice | None:
    """The best choice within the limits; None where none is."""
    if not (problem.fixed <= problem.limits).all():
        return None
    program = _Program(problem)
    while (solution := program.solve()) is not None:
        choice, costs = program.read(solution)
        if (costs <= problem.limits).all():
            return choice
        program.exclude(solution)  # beyond a limit by less than the solver's tolerance
    return None


class _Program:
    """The mixed-integer linear program of a problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self._scores = problem, list[float]()
        self._rows: list[Mapping[int, float]] = []
        self._lows, self._highs = list[float](), list[float]()
        always = problem.beta is None  # all experts are used
        self.used = [] if always else [self._variable() for _ in problem.experts]
        self.taken = [
            [self._variable(value - _EARLIER * e) for e, value in enumerate(row)]
            for row in ([] if problem.beta is None else problem.beta)
        ]
        self.picks: list[tuple[Block, list[int]]] = []
        for block in problem.common:
            self._add_block(block, None)
        for e, blocks in enumerate(problem.experts):
            for block in blocks:
                self._add_block(block, None if always else self.used[e])
        self._add_experts()
        self._add_ties()
        for k, room in enumerate(problem.limits - problem.fixed):
            unit = max(float(room), 1.0)  # in shares of the room: the tolerance is absolute
            row = {v: float(b.costs[o, k]) / unit for b, vs in self.picks for o, v in enumerate(vs)}
            self._constrain(row, -np.inf, float(room) / unit)

    def _variable(self, score: float = 0.0) -> int:
        self._scores.append(score)
        return len(self._scores) - 1

    def _constrain(self, row: Mapping[int, float], low: float, high: float) -> None:
        self._rows.append(row)
        self._lows.append(low)
        self._highs.append(high)

    def _add_block(self, block: Block, used: int | None) -> None:
        variables = [self._variable(s - _EARLIER * o) for o, s in enumerate(block.scores)]
        self.picks.append((block, variables))
        one = dict.fromkeys(variables, 1.0)
        if used is None:
            self._constrain(one, 1, 1)
        else:
            self._constrain({**one, used: -1.0}, 0, 0)

    def _add_experts(self) -> None:
        for row in self.taken:
            self._constrain(dict.fromkeys(row, 1.0), self.problem.count, self.problem.count)
            for taken, used in zip(row, self.used, strict=True):
                self._constrain({taken: 1.0, used: -1.0}, -np.inf, 0)
        for e, used in enumerate(self.used):
            tasks = {row[e]: -1.0 for row in self.taken}
            self._constrain({used: 1.0, **tasks}, -np.inf, 0)

    def _add_ties(self) -> None:
        groups: dict[object, list[list[int]]] = defaultdict(list)
        for block, variables in self.picks:
            groups[block.tie].append(variables)
        for group in groups.values():
            if len(group) == 1:
                continue
            shared = [self._variable() for _ in group[0]]
            self._constrain(dict.fromkeys(shared, 1.0), -np.inf, 1)
            for variables in group:
                for own, common in zip(variables, shared, strict=True):
                    self._constrain({own: 1.0, common: -1.0}, -np.inf, 0)

    def solve(self) -> np.ndarray | None:
        """The best values. Shape: (V,) of 0 and 1; None where none are within the limits."""
        # of 32 bits: not every SciPy's solver takes more
        numbers = np.array([i for i, row in enumerate(self._rows) for _ in row], np.int32)
        variables = np.array([v for row in self._rows for v in row], np.int32)
        factors = [factor for row in self._rows for factor in row.values()]
        shape = (len(self._rows), len(self._scores))
        matrix = coo_array((factors, (numbers, variables)), shape=shape).tocsc()
        result: Any = milp(
            -_SCALE * np.array(self._scores),
            integrality=1,
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, self._lows, self._highs),
            options={"mip_rel_gap": 0},
        )
        if result.status == _INFEASIBLE:
            return None
        assert result.status == 0, f"the solver stopped: {result.message}"
        solution: np.ndarray = result.x.round().astype(int)
        return solution

    def exclude(self, solution: np.ndarray) -> None:
        """Leave out just this choice of operations."""
        ones = [v for _, variables in self.picks for v in variables if solution[v]]
        self._constrain(dict.fromkeys(ones, 1.0), -np.inf, len(ones) - 1)

    def read(self, solution: np.ndarray) -> tuple[Choice, np.ndarray]:
        """The choice, and its costs. Shape: (k,)."""
        costs = self.problem.fixed.copy()
        score = 0.0
        picks = {}
        for block, variables in self.picks:
            if solution[variables].any():
                picks[block.name] = pick = int(solution[variables].argmax())
                costs, score = costs + block.costs[pick], score + float(block.scores[pick])
        if self.problem.beta is None:
            return Choice(picks, None, score), costs
        chosen = tuple(_ones(solution[row]) for row in self.taken)
        experts = zip(self.problem.beta, chosen, strict=True)
        score += sum(float(row[list(task)].sum()) for row, task in experts)
        return Choice(picks, chosen, score), costs


def _ones(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.flatnonzero(values))
