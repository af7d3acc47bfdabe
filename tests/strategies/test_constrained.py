"""The best feasible architecture against brute force over whole small spaces."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from automtl.strategies._constrained import Block, Problem, best_within


def problem(
    seed, *, tasks=2, experts=3, blocks=1, candidates=3, count=2, costs=1, tie=False, beta=True
):
    rng = np.random.default_rng(seed)

    def block(name, key):
        own = np.random.default_rng([seed, sum(map(ord, str(key)))]) if tie else rng
        scores = np.log(own.dirichlet(np.ones(candidates)))
        return Block(name, scores, own.integers(0, 12, (candidates, costs)), key)

    common = [block("i", ("i",))]
    pool = [
        [block(f"{e}.{j}", ("b", j) if tie else ("b", e, j)) for j in range(blocks)]
        for e in range(experts)
    ]
    table = np.log(rng.dirichlet(np.ones(experts), tasks)) if beta else None
    top = 12 * (1 + experts * blocks)
    return Problem(
        common, pool, table, count, np.full(costs, 3), rng.integers(top // 8, top // 2, costs)
    )


def brute_force(p):
    """Every candidate of every block, every c experts of every task; unused experts score and cost
    nothing.
    """
    best = -np.inf
    count = len(p.experts)
    sets = (
        [None]
        if p.beta is None
        else list(
            itertools.product(itertools.combinations(range(count), p.count), repeat=len(p.beta))
        )
    )
    for chosen in sets:
        used = range(count) if chosen is None else sorted({i for task in chosen for i in task})
        blocks = [*p.common, *(b for i in used for b in p.experts[i])]
        ties = list(dict.fromkeys(b.tie for b in blocks))
        beta = (
            0.0
            if chosen is None
            else sum(p.beta[t, i] for t, task in enumerate(chosen) for i in task)
        )
        for picks in itertools.product(range(len(p.common[0].scores)), repeat=len(ties)):
            of = dict(zip(ties, picks, strict=True))
            cost = p.fixed + sum(b.costs[of[b.tie]] for b in blocks)
            if (cost <= p.limits).all():
                best = max(best, beta + sum(b.scores[of[b.tie]] for b in blocks))
    return best


def check(p, found):
    """What was found is within the limits and scores what it says."""
    blocks = {b.name: b for b in [*p.common, *(b for e in p.experts for b in e)]}
    cost = p.fixed + sum(blocks[name].costs[pick] for name, pick in found.picks.items())
    assert (cost <= p.limits).all()
    score = sum(blocks[name].scores[pick] for name, pick in found.picks.items())
    if found.chosen is not None:
        score += sum(p.beta[t, i] for t, task in enumerate(found.chosen) for i in task)
        used = {i for task in found.chosen for i in task}
        assert {name.split(".")[0] for name in found.picks} == {"i", *map(str, used)}
    assert score == pytest.approx(found.score)


@pytest.mark.parametrize("costs", [1, 2])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"blocks": 2, "candidates": 2},
        {"experts": 4, "count": 2, "candidates": 2},
        {"experts": 4, "count": 1, "tasks": 3, "candidates": 2},
        {"tie": True, "blocks": 2},
        {"beta": False, "blocks": 2},
    ],
)
def test_the_choice_is_the_true_optimum(shape, costs):
    feasible = 0
    for seed in range(24):
        p = problem(seed, costs=costs, **shape)
        expected, found = brute_force(p), best_within(p)
        if found is None:
            assert expected == -np.inf
            continue
        feasible += 1
        check(p, found)
        assert found.score == pytest.approx(expected)
    assert feasible > 3


def test_sixty_four_experts_are_solved_too():
    """Against the bound that drops the limits, and against many draws within them."""
    p = problem(3, experts=64, blocks=3, candidates=7, count=8, tasks=3)
    found = best_within(p)
    check(p, found)
    rng, free = np.random.default_rng(0), best_within(replace(p, limits=p.limits * 1000))
    assert found.score <= free.score
    for _ in range(2000):
        chosen = [sorted(rng.choice(64, 8, replace=False)) for _ in p.beta]
        blocks = [*p.common, *(b for i in {i for t in chosen for i in t} for b in p.experts[i])]
        picks = [int(rng.integers(len(b.scores))) for b in blocks]
        cost = p.fixed + sum(b.costs[pick] for b, pick in zip(blocks, picks, strict=True))
        score = sum(float(b.scores[pick]) for b, pick in zip(blocks, picks, strict=True))
        score += sum(float(p.beta[t, i]) for t, task in enumerate(chosen) for i in task)
        assert score <= found.score or (cost > p.limits).any()


def test_of_two_as_good_the_earlier_is_taken():
    even = np.log([0.5, 0.5])
    block = Block("i", even, np.array([[3], [3]]), "i")
    experts = [[Block(f"{e}.0", even, np.array([[1], [1]]), e)] for e in range(4)]
    beta = np.log(np.full((2, 4), 0.25))
    p = Problem([block], experts, beta, 2, np.array([0]), np.array([100]))
    found = best_within(p)
    assert found.chosen == ((0, 1), (0, 1)) and set(found.picks.values()) == {0}


@pytest.mark.parametrize("over", [0, 1])
def test_a_limit_holds_to_the_last_flop(over):
    """One of 10^12 beyond the limit is beyond it, though the solver's tolerance is wider."""
    block = Block("i", np.log([0.1, 0.9]), np.array([[5], [10**12]]), "i")
    p = Problem([block], [], None, 0, np.array([0]), np.array([10**12 - over]))
    assert best_within(p).picks == {"i": 1 - over}
