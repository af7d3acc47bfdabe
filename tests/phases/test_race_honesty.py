"""What a race calls decided, over many races whose trainings are drawn: nothing where nothing
matters, the truth where it is strong, twins never apart.

A training's loss per row is the architecture's true loss, a part of every row's own, a part of the
row with this architecture, and the seed's luck.
"""

from dataclasses import dataclass, field, replace
from itertools import combinations, product

import numpy as np
import pytest

from automtl.config import resolve
from automtl.phases.race import _checks, _patterns, entrants
from automtl.phases.race import race as race_module
from automtl.phases.race._compare import Table
from automtl.phases.race.judge import Look
from automtl.phases.race.race import Race
from automtl.phases.run.opening import open_session
from automtl.phases.search.context import make_context
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.equivalence import form
from automtl.strategies.registry import STRATEGIES
from automtl.training.metrics.influence import Influence
from scripts.small import SEARCH, write_dataset

ROWS, SEED_SD, ROW_SD = 400, 0.004, 0.05
SETS = (
    *SEARCH,
    "space.chosen_experts=2",
    "search.strategy=random_search",
    "search.selection=race",
    "search.rivals=[]",
    "search.race_candidates=9",
)


@dataclass
class Drawn:
    """The judge of drawn trainings.

    Attributes:
        truth: the true loss of an architecture.
        constant: the constant's loss.
        seed: of everything.
    """

    truth: object
    constant_loss: float
    seed: int
    units: int = ROWS
    equal_units: float = ROWS
    _rows: dict = field(default_factory=dict)

    def __post_init__(self):
        self._rng = np.random.default_rng(self.seed)
        self._common = self._rng.normal(0.5, 0.2, ROWS)

    @property
    def constant(self):
        losses = self._common - 0.5 + self.constant_loss
        return Influence(float(losses.mean()), (losses - losses.mean()) / ROWS)

    def train(self, architecture):
        own = self._rows.setdefault(form(architecture), self._rng.normal(0, ROW_SD, ROWS))
        losses = self.truth(architecture) + self._common - 0.5 + own
        losses = losses + self._rng.normal(0, SEED_SD)
        a = self.truth(architecture) + self._rng.normal(0, SEED_SD + ROW_SD / ROWS**0.5)
        return a, Influence(float(losses.mean()), (losses - losses.mean()) / ROWS)


class DrawnRace(Race):
    """A race whose trainings are drawn."""

    def _train(self, job):
        yield from ()

    def _judged(self, job):
        a, b = self.judge.train(job.entrant.architecture)
        if job.stage != "rung":
            key = (job.stage, job.entrant.id)
            self._units[key] = b.units + self._units.get(key, 0.0)
        return self._result(job, Look(job.end, a, b.loss, b.units), "")


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    data = write_dataset(tmp_path_factory.mktemp("honest"), rows=300)
    flags = {"data": {"dir": str(data.parent / "cache")}}
    return open_session(resolve(source=str(data), space="automtl_small", sets=SETS, flags=flags))


@pytest.fixture
def begin(session, tmp_path, monkeypatch):
    def unpriced(kind, name, architecture, session):
        return entrants.Entrant(kind, name, architecture, 1000, 1000, 0.0)

    for module in (entrants, _checks, _patterns):
        monkeypatch.setattr(module, "make_entrant", unpriced)
    monkeypatch.setattr(race_module.files, "append_line", lambda path, line: None)
    context = make_context(session, session.config.space, session.dropout_generator())

    def begun(truth, seed, constant=1.0, **settings):
        here = replace(context, seed=seed)
        strategy = STRATEGIES["random_search"](here)
        search = session.config.search.model_copy(update=settings)
        own = replace(session, config=session.config.model_copy(update={"search": search}))
        return DrawnRace(own, PhaseDir(tmp_path), strategy, here, Drawn(truth, constant, seed))

    return begun


@pytest.fixture
def decide(begin):
    def decided(truth, seed, constant=1.0):
        race = begin(truth, seed, constant)
        list(race.events())
        return race.outcome()

    return decided


def found(decisions):
    return [d for d in decisions if d.verdict == "decided"]


def block0(architecture):
    """The first operations of the experts that a task takes."""
    used = {e for experts in architecture.chosen for e in experts}
    return [architecture.experts[e].blocks[0] for e in sorted(used)]


def test_where_nothing_matters_nothing_is_decided(decide):
    any_decided = sum(bool(found(decide(lambda a: 0.5, seed)[1])) for seed in range(60))
    assert any_decided <= 5


def test_labels_of_noise_decide_nothing(decide):
    """All as good as the base rates: whatever the candidates differ in."""
    spread = {"cross(1)": 0.02, "skip": 0.0}
    any_decided = 0
    for seed in range(40):
        _, decisions, told, _ = decide(
            lambda a: 0.69 + spread[a.interaction[0]], seed, constant=0.69
        )
        any_decided += bool(found(decisions))
        if not told["beats_constant"]:
            assert not found(decisions)
            assert "base rates" in decisions[0].evidence and "base rates" in told["words"][1]
    assert any_decided <= 4


def test_a_strong_truth_is_decided_and_right(decide):
    worse = {"mlp(4)": 0.0, "conv1d(3)": 0.03, "skip": 0.06}

    def truth(a):
        return 0.5 + 0.06 * (a.interaction[0] == "skip") + sum(worse[b] for b in block0(a))

    right = true = 0
    wrong = set()  # races: one in twenty may err
    for seed in range(30):
        architecture, decisions, *_ = decide(truth, seed)
        assert len([d for d in decisions if d.choice.endswith("block.0")]) == 3
        for d in decisions:
            if d in experts(decisions):  # they matter by which operations they put to use
                continue
            matters = d.choice == "interaction.0" or d.choice.endswith("block.0")
            good = d.taken == "cross(1)" or worse.get(d.taken, 1) < worse.get(d.runner_up, 0)
            right += d.verdict == "decided"
            true += matters and good and "no task uses" not in d.evidence
            if d.verdict == "decided":
                assert 0 < d.low < d.difference < d.high
                if not (matters and good):
                    wrong.add(seed)
    assert right >= true / 2 > 15 and len(wrong) <= 3, wrong


def test_twins_are_never_decided_apart(decide):
    """`mlp(4)` and `conv1d(3)` are one operation by two names, and skip is far worse."""

    def truth(a):
        return (
            0.5 + 0.06 * sum(b == "skip" for b in block0(a)) + 0.05 * (a.interaction[0] == "skip")
        )

    apart = 0
    for seed in range(60):
        told = found(decide(truth, seed)[1])
        apart += any({d.taken, d.runner_up} == {"mlp(4)", "conv1d(3)"} for d in told)
        assert all("block.1" not in d.choice for d in told)
    assert apart <= 6


def checked(race):
    """The changed copies that a race has trained."""
    ids = dict.fromkeys(r.candidate for r in race.results if r.stage == "check")
    return list(ids)[1:]


def test_every_check_is_within_the_limit_and_none_is_trained_for_nothing(begin):
    """A deviation that was pooled over later trainings, too, took back what an earlier check had
    shown, and the copies that were trained because of it were dropped.
    """
    most = better = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        effects = {b: rng.choice([0.0, 0.01, 0.02, 0.03]) for b in ("mlp(4)", "conv1d(3)", "skip")}

        def truth(a, effects=effects):
            return 0.5 + 0.02 * (a.interaction[0] == "skip") + sum(effects[b] for b in block0(a))

        race = begin(truth, seed, race_checks=5, race_patterns=0)
        list(race.events())
        trained, told = checked(race), race._judgement._trials._checks
        judged, following = told.look(Table(race.results, race._units), 3)
        assert [c.entrant.id for c in judged] == trained and following is None
        if trained:  # the first check's own verdict, before the others were trained
            ends = [i for i, r in enumerate(race.results) if r.candidate == trained[0]]
            before = Table(race.results[: ends[-1] + 1], race._units)
            assert told.look(before, 3)[0] == judged[:1]
        assert len(trained) <= 5
        most = max(most, len(trained))
        architecture, _, summary, beside = race.outcome()
        if copy := beside.get("better"):
            better += truth(copy) < truth(architecture)
            assert "search/better.json" in summary["words"][-1]
    assert most == 5 and better


def test_each_check_beyond_the_groups_can_decide_a_choice(begin):
    """Three checks could decide one choice: a group was halved again and again."""
    worse = {"mlp(4)": 0.0, "conv1d(3)": 0.06, "skip": 0.12}

    def truth(a):
        return 0.5 + 0.06 * (a.interaction[0] == "skip") + sum(worse[b] for b in block0(a))

    counts = []
    for seed in range(20):
        race = begin(truth, seed, race_checks=4, race_patterns=0)
        list(race.events())
        counts.append(len(found(race.outcome()[1])))
    assert max(counts) == 3, "the interaction, and two of the experts' choices"


# -- which tasks share experts


def experts(decisions):
    return [d for d in decisions if d.choice.startswith("experts of ")]


def patterns(architecture):
    """The architecture with every other pattern of its tasks' experts."""
    sets = list(combinations(range(len(architecture.experts)), len(architecture.chosen[0])))
    for chosen in product(sets, repeat=len(architecture.chosen)):
        other = architecture.model_copy(update={"chosen": chosen})
        if form(other) != form(architecture):
            yield other


NEEDS = ({"mlp(4)", "conv1d(3)"}, {"conv1d(3)", "skip"})


def choosy(a):
    """The loss where each task needs its own operations and no others."""
    blocks = ({a.experts[e].blocks[0] for e in experts} for experts in a.chosen)
    return 0.5 + 0.06 * sum(len(need ^ taken) for need, taken in zip(NEEDS, blocks, strict=False))


def test_a_pattern_that_matters_is_decided_by_training(decide):
    truth, decided = choosy, 0
    for seed in range(20):
        architecture, decisions, *_ = decide(truth, seed)
        of_tasks = experts(decisions)
        assert len({d.verdict == "decided" for d in of_tasks}) == 1, "the pattern is one choice"
        if found(of_tasks):
            decided += 1
            assert all(truth(other) >= truth(architecture) for other in patterns(architecture))
            assert "all tasks on experts" in of_tasks[0].evidence
            assert all(0 < d.low < d.difference < d.high for d in of_tasks)
    assert decided >= 2


def test_a_pattern_that_does_not_matter_is_not_decided(decide):
    def truth(a):
        return 0.5 + 0.05 * (a.interaction[0] == "skip")

    assert sum(bool(found(experts(decide(truth, seed)[1]))) for seed in range(24)) <= 3


def test_a_race_that_is_stopped_among_the_patterns_decides_none(begin):
    """All that were tried so far may be worse; the others were to be tried, too."""
    stopped = decided = 0
    for seed in range(20):
        race = begin(choosy, seed, race_checks=0)
        for _ in race.events():
            if race.course.next(race.results) is None and not race.over:
                of_tasks = experts(race.outcome()[1])
                assert not found(of_tasks)
                stopped += any("tried before the race was stopped" in d.evidence for d in of_tasks)
        decided += bool(found(experts(race.outcome()[1])))
    assert stopped > 3 * decided >= 6, "each has three seeds or more to be stopped among"


def test_where_no_choice_is_checked_the_patterns_are_the_whole_family(begin):
    measured = 0
    for seed in range(8):
        race = begin(choosy, seed, race_checks=0)
        list(race.events())
        tried = list(dict.fromkeys(r.candidate for r in race.results if r.stage == "check"))
        if not tried:
            continue
        table, winner = Table(race.results, race._units), ("check", tried[0])
        gaps = [table.against(("check", other), winner, 1) for other in tried[1:]]
        for decision in experts(race.outcome()[1]):
            measured += 1
            assert (decision.low, decision.high) in [(gap.low, gap.high) for gap in gaps]
    assert measured


@pytest.mark.parametrize("scales", [True, False])
def test_a_hand_made_model_that_was_scaled_is_called_so(session, scales):
    search = session.config.search.model_copy(
        update={"scale_rivals": scales, "rivals": ("mmoe", "snr_aver")}
    )
    own = replace(session, config=session.config.model_copy(update={"search": search}))
    names = [name for name, _ in entrants.rival_architectures(own, 1e4)]
    assert names[0] == ("mmoe (scaled)" if scales else "mmoe")
