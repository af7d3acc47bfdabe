"""The parts of a race: who runs how far, what is compared how, experts without numbers."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from automtl.config_search import SearchSection
from automtl.errors import ConfigError
from automtl.phases.race._align import aligned, unused
from automtl.phases.race._answer import answer, words_of_length
from automtl.phases.race._checks import Check
from automtl.phases.race._compare import Gap, Table
from automtl.phases.race._finals import Finals, finals
from automtl.phases.race._verdicts import Grounds, _checked
from automtl.phases.race.course import Course
from automtl.phases.race.entrants import Entrant
from automtl.phases.race.results import Result
from automtl.spaces.architecture import Sharing
from automtl.spaces.decisions import Decision
from automtl.statistics import seeds_needed
from automtl.strategies.encoding import Genome, SpaceEncoding
from automtl.training.metrics.evaluation import Predictions, evaluate
from automtl.training.metrics.influence import influence, variance
from tests.support import small_schema, small_space

# -- the course


@dataclass(frozen=True)
class Runner:
    id: str
    kind: str = "proposal"
    price: float = 0.0

    @property
    def name(self):
        return self.id


def walk(course, a_of):
    """All jobs of a course whose losses on A rows are as given."""
    results, jobs = [], []
    while (job := course.next(results)) is not None:
        jobs.append(job)
        a = a_of(job.entrant.id, job.rung)
        held = {"name": "it", "kind": job.entrant.kind, "flops": 1, "parameters": 1}
        results.append(
            Result(
                stage=job.stage,
                rung=job.rung,
                candidate=job.entrant.id,
                seed=job.seed,
                rows=job.end,
                a=a,
                b=a,
                **held,
            )
        )
    return jobs, results


def test_halving_by_three_on_a_then_finals_with_fresh_seeds():
    course = Course(
        [Runner(str(i)) for i in range(15)], finalists=3, halving=True, seeds=3, steps=90
    )
    jobs, results = walk(course, lambda name, rung: float(name))
    rungs = [[j for j in jobs if j.stage == "rung" and j.rung == r] for r in range(2)]
    assert [len(r) for r in rungs] == [15, 5] and course.rungs == 2
    assert {(j.start, j.end) for j in rungs[0]} == {(0, 10)}
    assert {(j.start, j.end) for j in rungs[1]} == {(10, 30)}
    assert {j.entrant.id for j in rungs[1]} == {"0", "1", "2", "3", "4"}
    finals = [(j.entrant.id, j.seed, j.start, j.end) for j in jobs if j.stage == "final"]
    assert finals == [(str(i), s, 0, 90) for s in range(3) for i in range(3)]
    assert len(jobs) == len(rungs[0]) + len(rungs[1]) + 9
    assert [course.whole_rungs(results[:n]) for n in (0, 14, 15, 19, 20, 29)] == [0, 0, 1, 1, 2, 2]
    assert course.leader(results[:17]).id == "0"
    steps = sum(j.end - j.start for j in jobs)
    assert steps <= course.planned_steps <= steps + 3 * 90  # a rival may come beside


def test_the_best_rival_is_in_the_finals_and_who_diverges_is_out():
    runners = [*(Runner(str(i)) for i in range(8)), Runner("90", "rival"), Runner("91", "rival")]
    course = Course(runners, finalists=3, halving=True, seeds=2, steps=9)
    jobs, results = walk(course, lambda name, rung: float(name) if name != "1" else None)
    assert [e.id for e in course.in_finals(results)] == ["0", "2", "3", "90"]
    few = Course(runners[:2], finalists=3, halving=True, seeds=2, steps=9)
    assert few.rungs == 0 and [j.stage for j in walk(few, lambda *_: 1.0)[0]] == ["final"] * 4


def test_without_halving_all_are_trained_to_the_end_before_the_finals():
    course = Course([Runner(str(i)) for i in range(15)], finalists=3, seeds=3, steps=90)
    jobs, results = walk(course, lambda name, rung: float(name))
    rung = [j for j in jobs if j.stage == "rung"]
    assert [j.entrant.id for j in rung] == [str(i) for i in range(15)] and course.rungs == 1
    assert {(j.rung, j.start, j.end) for j in rung} == {(0, 0, 90)}
    assert {j.entrant.id for j in jobs[15:]} == {"0", "1", "2"} and len(jobs) == 15 + 9
    assert [course.whole_rungs(results[:n]) for n in (14, 15)] == [0, 1]
    assert sum(j.end for j in jobs) + 3 * 90 == course.planned_steps


# -- comparing


def result(candidate, seed, b, stage="final", *, rows=1, judged=None):
    return Result(
        stage=stage,
        rung=1,
        candidate=candidate,
        name=candidate,
        kind="proposal",
        seed=seed,
        rows=rows,
        judged=judged,
        a=0.0,
        b=b,
        flops=1,
        parameters=1,
    )


def test_margins_are_of_seeds_and_rows_pooled_and_adjusted():
    rng = np.random.default_rng(0)
    figures = {c: rng.normal(0.5 + 0.02 * i, 0.01, 3) for i, c in enumerate("xyz")}
    units = {("final", c): 3 * rng.normal(0, 1e-4, 200) for c in figures}
    table = Table([result(c, s, b) for c in figures for s, b in enumerate(figures[c])], units)
    pooled = math.sqrt(np.mean([np.var(v, ddof=1) for v in figures.values()]))
    assert table.pooled == pytest.approx((pooled, 6.0)) and table.margin == 1.5 * table.pooled[0]
    p, gaps = {}, table.family([("final", c) for c in "xyz"])
    for one, two in (("x", "y"), ("x", "z"), ("y", "z")):
        rows = np.sum((units["final", one] / 3 - units["final", two] / 3) ** 2) * 200 / 199
        known = pooled**2 * 2 / 3
        error = math.sqrt(known + rows)
        freedom = (known + rows) ** 2 / (known**2 / 6 + rows**2 / 199)
        difference = figures[one].mean() - figures[two].mean()
        p[one, two] = 2 * stats.t.sf(abs(difference) / error, freedom), difference, error, freedom
    order = sorted(p, key=lambda pair: p[pair][0])
    stopped = False
    for rank, pair in enumerate(order):
        value, difference, error, freedom = p[pair]
        stopped = stopped or value * (3 - rank) >= 0.05
        gap = gaps[("final", pair[0]), ("final", pair[1])]
        assert gap.difference == pytest.approx(difference) and gap.apart is not stopped
        if not stopped:
            half = stats.t.ppf(1 - 0.025 / (3 - rank), freedom) * error
            assert (gap.low, gap.high) == pytest.approx((difference - half, difference + half))
        half = stats.t.ppf(0.95, freedom) * error
        assert gap.tied == (abs(difference) + half < table.margin)


def test_seeds_that_would_tell_two_apart_are_of_the_finals_and_of_the_whole_family():
    rng = np.random.default_rng(3)
    figures = {c: list(rng.normal(0.5 + 0.004 * i, 0.01, 3)) for i, c in enumerate("xyz")}
    made = [result(c, s, b) for c in figures for s, b in enumerate(figures[c])]
    table = Table(made, {("final", c): np.zeros(200) for c in figures})
    judged = finals([Runner(c) for c in figures], table)
    second = judged.level[0]
    keys = ("final", second.id), ("final", judged.winner.id)
    counts = [table.seeds_needed(*keys, family) for family in (1, 3)]
    assert counts[0] < counts[1] == judged.needed[second.id]
    gap, deviations = judged.gaps[second.id].difference, (table.pooled[0],) * 2
    found = seeds_needed(gap, deviations, level=1 - 0.05 / 3, extra_freedom=199)
    assert found == counts[1]
    noisy = Table(made, {("final", c): rng.normal(0, 1e-3, 200) for c in figures})
    assert noisy.seeds_needed(*keys, 3) is None  # rows leave it open


@pytest.mark.parametrize(("seeds", "tied"), [(3, False), (5, True)])
def test_a_tie_takes_more_than_three_seeds(seeds, tied):
    """Of four models with equal means, three seeds leave a 90% interval wider than the margin."""
    spread = np.linspace(-0.01, 0.01, seeds)
    figures = [result(c, s, 0.5 + d) for c in "wxyz" for s, d in enumerate(spread)]
    table = Table(figures, {("final", c): np.zeros(100) for c in "wxyz"})
    gaps = table.family([("final", c) for c in "wxyz"])
    assert {gap.tied for gap in gaps.values()} == {tied}


def test_a_training_that_is_not_finite_is_out_of_the_comparison():
    figures = [result("x", 0, 0.5), result("x", 1, 0.6), result("y", 0, 0.4), result("y", 1, None)]
    table = Table(figures, {("final", "x"): np.zeros(4)})
    assert table.mean(("final", "y")) == math.inf and list(table.losses) == [("final", "x")]


def test_the_influence_of_rows_is_the_bootstraps_variance():
    schema, rng = small_schema(), np.random.default_rng(0)
    labels = (rng.random((600, 2)) < 0.4).astype(np.float32)
    labels[rng.random(labels.shape) < 0.3] = np.nan
    weights = rng.gamma(2.0, size=labels.shape).astype(np.float32)
    groups = rng.integers(0, 150, 600)

    def losses(logits, rows):
        held = Predictions([x[rows] for x in logits], labels[rows], weights[rows], rows)
        return evaluate(held, schema.tasks).loss

    one, two = ([rng.normal(size=600).astype(np.float32) for _ in range(2)] for _ in range(2))
    everyone = np.arange(600)
    found = [influence(Predictions(x, labels, weights, everyone), schema.tasks) for x in (one, two)]
    assert found[0].loss == pytest.approx(losses(one, everyone), abs=1e-9)
    assert abs(found[0].units.sum()) < 1e-12
    draws = [rng.integers(0, 600, 600) for _ in range(400)]
    sampled = np.var([losses(one, d) - losses(two, d) for d in draws])
    assert variance(found[0].units, found[1].units) == pytest.approx(sampled, rel=0.25)
    grouped = influence(Predictions(one, labels, weights, everyone), schema.tasks, groups)
    assert len(grouped.units) == len(np.unique(groups))
    np.testing.assert_allclose(
        grouped.units, [found[0].units[groups == g].sum() for g in np.unique(groups)], atol=1e-12
    )


# -- experts' numbers


def test_choices_are_compared_up_to_the_order_of_experts():
    encoding = SpaceEncoding(small_space(chosen_experts=2), small_schema(), Sharing())
    rng = np.random.default_rng(0)
    for _ in range(30):
        genome, order = encoding.draw(rng), rng.permutation(3)
        blocks = np.array(genome.picks[1:]).reshape(3, 2)
        chosen = tuple(
            tuple(sorted(int(np.argsort(order)[e]) for e in task)) for task in genome.chosen
        )
        other = Genome((genome.picks[0], *map(int, blocks[order].reshape(-1))), chosen)
        first, second = encoding.architecture(genome), encoding.architecture(other)
        assert aligned(encoding, first, second) == encoding.taken(genome)
    changed = Genome(((genome.picks[0] + 1) % 6, *genome.picks[1:]), genome.chosen)
    told = aligned(encoding, first, encoding.architecture(changed))
    assert [n for n, v in told.items() if v != encoding.taken(genome)[n]] == ["interaction.0"]
    idle = unused(encoding, first)
    used = {e for task in genome.chosen for e in task}
    assert idle == {f"level0.pool.{e}.block.{j}" for e in {0, 1, 2} - used for j in range(2)}


def test_experts_are_drawn_where_no_whole_architecture_keeps_the_limits():
    limited = SpaceEncoding(
        small_space(chosen_experts=2), small_schema(), Sharing(), within=lambda _: False
    )
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="must leave room"):
        limited.draw(rng)
    drawn = [limited.draw_experts(rng) for _ in range(600)]
    counts = {chosen: drawn.count(chosen) for chosen in {*drawn}}
    assert len(counts) == 9 and all(40 < count < 95 for count in counts.values())
    none = SpaceEncoding(small_space(), small_schema(), Sharing(kind="mmoe"))
    assert none.draw_experts(rng) is None


def test_with_one_group_of_rows_nothing_is_compared():
    table = Table(
        [result(c, s, 0.1 * s) for c in "xy" for s in range(2)],
        {("final", c): np.zeros(1) for c in "xy"},
    )
    assert table.family([("final", "x"), ("final", "y")]) == {} and table.lone


@pytest.mark.parametrize(("loss", "winner"), [(0.6, "dear"), (0.5002, "cheap")])
def test_where_nothing_is_compared_the_cheapest_of_those_as_good_wins(loss, winner):
    """It was the cheapest of all, and called "within .1%" of the best."""
    results = [result("dear", s, 0.5) for s in range(2)]
    results += [result("cheap", s, loss) for s in range(2)]
    table = Table(results, {("final", c): np.zeros(1) for c in ("dear", "cheap")})
    runners = [Runner("dear", price=2.0), Runner("cheap", price=1.0)]
    assert finals(runners, table).winner.id == winner


@pytest.mark.parametrize(
    ("winner", "words"),
    [
        ("proposal", "runner-up and best hand-made model, b: +0.00100"),
        ("rival", "runner-up, b: +0.00100"),
    ],
)
def test_one_model_is_told_of_once_and_no_other_is_the_best_beside_a_hand_made_winner(
    winner, words
):
    gap = Gap(0.001, -0.01, 0.01, apart=False, tied=False)
    first, second = Runner("a", winner), Runner("b", "rival")
    outcome = Finals(first, first, {"b": gap}, [second], [first, second])
    figures = [result(c, s, 0.5 + 0.01 * s) for c in "ab" for s in range(2)]
    table = Table(figures, {("final", c): np.zeros(99) for c in "ab"})
    said = answer(outcome, table, figures, 1, beats=True, search=SearchSection())["words"]
    assert len(said) == 2 and said[1].startswith(words)


@pytest.mark.parametrize(
    ("strategy", "count"), [("random_search", 3), ("random_sampling", 3), ("darts", 1)]
)
def test_all_that_were_drawn_are_beside_the_winner(strategy, count):
    """What a supernet proposed is no even draw."""
    first = Runner("a")
    kinds = {"a": "proposal", "b": "proposal", "c": "proposal", "d": "control", "e": "rival"}
    figures = [
        result(c, 0, 0.5 + 0.1 * i, "rung").model_copy(update={"kind": kinds[c], "rung": 0})
        for i, c in enumerate(kinds)
    ]
    outcome = Finals(first, first, {}, [], [first])
    told = answer(
        outcome, Table([], {}), figures, 1, beats=True, search=SearchSection(strategy=strategy)
    )
    median = 0.8 if strategy == "darts" else 0.7
    assert told["controls"]["count"] == count and told["controls"]["median"] == median


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        (
            [90, 90, 30, 60],
            "2 of 4 trainings in the finals did best where they ended, after 90 rows",
        ),
        ([90], "1 of 1 training in the finals did best"),
        ([90, 30, 60], ""),
        ([None, None], ""),
        ([], ""),
    ],
)
def test_a_race_that_ended_before_its_models_did_says_so(judged, words):
    finals = [result("a", s, 0.5, rows=90, judged=at) for s, at in enumerate(judged)]
    said = " ".join(words_of_length(finals))
    assert words in said and bool(said) == bool(words)


# -- verdicts


def _grounds(raced, runner_up=None):
    encoding = SpaceEncoding(small_space(chosen_experts=2), small_schema(), Sharing())
    winner = Genome((0,) * 7, ((0, 1), (1, 2)))
    architectures = [encoding.architecture(Genome((i, *[0] * 6), winner.chosen)) for i in raced]
    entrant = Entrant("proposal", "it", encoding.architecture(winner), 1, 1, 0.0)
    taken = encoding.taken(winner)
    believed = [Decision(n, v, runner_up, "not decided", "drawn") for n, v in taken.items()]
    outcome = Finals(entrant, entrant, {}, [], [entrant])
    return encoding, Grounds(outcome, architectures, believed, encoding, True, 3)


def test_a_draw_is_checked_against_the_best_that_was_trained_otherwise():
    encoding, grounds = _grounds([0, 4, 2])
    names = [str(o) for o in encoding.operations("interaction.0")]
    assert grounds.agreed()["interaction.0"] == names[4]
    assert _grounds([0])[1].agreed()["interaction.0"] == names[1]  # nothing else was trained
    assert _grounds([4], names[3])[1].agreed()["interaction.0"] == names[3]  # a supernet's own


@pytest.mark.parametrize(("others", "verdict"), [((), "tied"), (("b",), "not decided")])
def test_only_a_choice_that_was_changed_alone_is_tied(others, verdict):
    """Of several, a gain and a loss may cancel."""
    gap = Gap(0.0, -0.1, 0.1, apart=False, tied=True)
    check = Check({"a": "skip", **dict.fromkeys(others, "skip")}, None, gap)
    believed = Decision("a", "gate", None, "not decided", "drawn")
    assert _checked(believed, [check], "3 trainings of each", True).verdict == verdict


@pytest.mark.parametrize(("changed", "verdict"), [({0}, "tied"), ({0, 1}, "not decided")])
def test_a_finalist_that_differs_in_several_places_ties_none_of_them(changed, verdict):
    encoding, grounds = _grounds([])
    genome = encoding.genome(grounds.finals.winner.architecture)
    picks = tuple(int(i in changed) for i in range(7))
    other = Entrant("control", "o", encoding.architecture(replace(genome, picks=picks)), 1, 1, 0.0)
    gap = Gap(0.0, -0.1, 0.1, apart=False, tied=True)
    finals = replace(grounds.finals, gaps={other.id: gap}, level=[other])
    told = replace(grounds, finals=finals).decisions([], [], True, True)
    assert told[0].verdict == verdict and told[0].runner_up
    words = " (and other differences)"
    assert (words in told[0].evidence) is (verdict != "tied")


@pytest.mark.parametrize(
    ("whole", "words"), [(True, "checked (search.race_checks)"), (False, "before the race")]
)
def test_what_was_not_checked_says_why(whole, words):
    told = _grounds([])[1].decisions([], [], whole, True)
    assert words in told[0].evidence and told[0].verdict == "not decided"
