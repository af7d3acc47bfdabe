"""What every search strategy owes, however it searches: records, an architecture, exact resume."""

import copy
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from automtl.errors import AutoMTLError, ConfigError
from automtl.models.derived import build_model
from automtl.models.skeleton import seeded
from automtl.spaces.architecture import Architecture
from automtl.spaces.decisions import EXPERTS_OF
from automtl.spaces.space import SearchSpace
from automtl.strategies.protocol import SearchContext, Strategy, make_encoding
from automtl.strategies.registry import STRATEGIES
from automtl.strict import nearest
from automtl.testing.rules import Rules, demand, demand_finite
from automtl.testing.small import CountedBatches, random_batch, small_context, small_space

RULES: Rules["StrategyCase"] = Rules()

# few and short, so that a check takes seconds
FAST: dict[str, Any] = {
    "draws": 3,
    "budget_samples": 900,
    "population": 3,
    "tournament": 2,
    "generations": 2,
}


@dataclass(frozen=True)
class StrategyCase:
    """A strategy with its options.

    Args:
        name: for messages.
        build: makes it from its context.
        options: fields of ``strategies.protocol.Options``.
    """

    name: str
    build: Callable[[SearchContext], Strategy]
    options: Mapping[str, Any] = field(default_factory=dict)

    def begin(self) -> tuple[SearchContext, Strategy]:
        """A fresh search over a space with dropout."""
        space = small_space(dropout=0.2, chosen_experts=2)
        given = small_context(options={**FAST, **self.options}, space=space)
        return given, self.build(given)

    @cached_property
    def whole(self) -> "Search":
        """A whole search, made once for all rules that only look at one."""
        given, strategy = self.begin()
        records, rows = [], 0
        for epoch in range(strategy.epochs):
            rows += sum(event.rows for event in strategy.run_epoch(epoch))
            strategy.evaluated()
            records.append(strategy.record())
        samples, in_ledger = strategy.samples, sum(given.ledger.rows.values())
        return Search(
            given, strategy, records, rows, samples, in_ledger, strategy.derive().identity()
        )


@dataclass(frozen=True)
class Search:
    """A finished search, with its rows as counted by its steps, its strategy and its ledger before
    an architecture was derived.
    """

    context: SearchContext
    strategy: Strategy
    records: list[dict[str, Any]]
    rows: int
    samples: int
    in_ledger: int
    derived: str


def strategy_case(
    strategy: str | Callable[[SearchContext], Strategy], options: Mapping[str, Any] | None = None
) -> StrategyCase:
    """The case of a known strategy, or of what makes one from its context.

    Raises:
        ConfigError: there is no strategy of that name.
    """
    if callable(strategy):
        name = getattr(strategy, "__name__", type(strategy).__name__)
        return StrategyCase(f"strategy {name}", strategy, options or {})
    if strategy not in STRATEGIES:
        raise ConfigError(
            "check_strategy",
            "must be given a known strategy, or what makes one",
            repr(strategy)[:100],
            nearest(str(strategy), STRATEGIES),
        )
    return StrategyCase(f"strategy {strategy!r}", STRATEGIES[strategy], options or {})


def search(strategy: Strategy, first: int = 0, last: int | None = None) -> list[dict[str, Any]]:
    """The records of some epochs, of all that are left by default."""
    records = []
    for epoch in range(first, strategy.epochs if last is None else last):
        list(strategy.run_epoch(epoch))
        strategy.evaluated()
        records.append(strategy.record())
    return records


@RULES.at()
def every_epoch_records_choices_and_usage(case: StrategyCase) -> None:
    """Each epoch's record is plain JSON and tells the entropy, of every block the candidates'
    shares ("choices") and of every task its use of the experts ("expert_usage"); shares are at
    least 0 and sum to 1.
    """
    given = case.whole.context
    encoding, tasks = make_encoding(given), [task.name for task in given.schema.tasks]
    blocks = {name: sorted(map(str, encoding.operations(name))) for name in encoding.names}
    for record in case.whole.records:
        keys = {"choices", "expert_usage", "entropy"}
        demand(keys <= {*record}, f"a record must tell {sorted(keys)}", sorted(record))
        _demand_json(record, "a record must be plain JSON values")
        choices, usage = record["choices"], record["expert_usage"]
        recorded = sorted(choices)
        demand(recorded == sorted(blocks), f"choices must be of {sorted(blocks)}", recorded)
        for name, candidates in blocks.items():
            recorded = sorted(choices[name])
            demand(recorded == candidates, f"choices of {name} must be of {candidates}", recorded)
        used = sorted(usage)
        demand(used == sorted(tasks), f"expert_usage must be of {tasks}", used)
        counts = [len(shares) for shares in usage.values()]
        rule = f"expert_usage must tell of {len(encoding.slots)} experts"
        demand({*counts} == {len(encoding.slots)}, rule, counts)
        for shares in (*(list(shares.values()) for shares in choices.values()), *usage.values()):
            legal = min(shares) >= 0 and abs(math.fsum(shares) - 1) <= 1e-6
            demand(legal, "shares must be at least 0 and sum to 1", shares)


def _demand_json(value: Any, rule: str) -> None:
    """Break a rule where something does not read back from JSON as it was."""
    try:
        plain = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as fault:
        plain = fault
    demand(plain == value, rule, f"{plain!r:.200}")


@RULES.at()
def what_it_derives_builds(case: StrategyCase) -> None:
    """It derives an architecture of the space, each task with as many experts as the space says and
    all experts ranked, that builds and answers.
    """
    given = case.whole.context
    architecture = case.whole.strategy.derive()
    strange = sorted(_foreign(architecture, given.space))
    demand(not strange, "must take its operations from the space", strange)
    wanted, got = given.space.chosen(2), [len(task) for task in architecture.chosen or ()]
    demand(got == [wanted] * 2, f"must choose {wanted} experts for each of 2 tasks", got)
    demand(architecture.ranking is not None, "must rank the experts", "no ranking")
    answers = build_model(architecture, given.schema)(random_batch(given.schema).inputs)
    shapes = [tuple(answer.shape) for answer in answers]
    demand(shapes == [(32,)] * 2, "what it derives must answer [(32,), (32,)]", shapes)
    demand_finite(answers, "what it derives must answer finite numbers")


def _foreign(architecture: Architecture, space: SearchSpace) -> set[str]:
    """Operations of an architecture that its space does not have."""
    taken = {block for expert in architecture.experts for block in expert.blocks}
    return ({*architecture.interaction} - {*space.interaction}) | (taken - {*space.expert})


@RULES.at()
def same_seed_same_search(case: StrategyCase) -> None:
    """Two searches of one seed give the same records and the same architecture, whatever torch's
    own generator holds; and they leave that alone.
    """
    with seeded(2):
        _, strategy = case.begin()
        records = search(strategy)
        derived, drawn = strategy.derive().identity(), torch.rand(1)
    whole, rule = case.whole, "one seed must give one search"
    demand(repr(records) == repr(whole.records), rule, f"{records!r:.300}")
    demand(derived == whole.derived, rule, derived)
    with seeded(2):
        untouched = torch.equal(drawn, torch.rand(1))
    demand(untouched, "must leave torch's own generator alone", "draws from it")


@RULES.at((1,), (3,))
def it_resumes_to_the_same_bits(case: StrategyCase, epochs: int) -> None:
    """A fresh strategy that takes over the state after some epochs, the supernet's and the
    generator's, searches on to the same records, architecture and rows read.
    """
    expected = case.whole.records
    given, cut = case.begin()
    after = min(epochs, cut.epochs)
    search(cut, last=after)
    net = {} if cut.supernet is None else cut.supernet.state_dict()
    weights, state = copy.deepcopy((net, cut.state_dict()))
    other, resumed = case.begin()
    if resumed.supernet is not None:
        resumed.supernet.load_state_dict(weights)
    resumed.load_state_dict(state)
    other.generator.set_state(given.generator.get_state())
    demand(resumed.stands_at(after, 0), f"must say that it stands before epoch {after}", False)
    rest = search(resumed, after)
    same = repr(rest) == repr(expected[len(expected) - len(rest) :])
    demand(same, "must search on to the same records", f"{rest!r:.300}")
    rule = f"must search on to the {case.whole.samples} rows read"
    demand(resumed.samples == case.whole.samples, rule, resumed.samples)
    derived = resumed.derive().identity()
    demand(derived == case.whole.derived, "must search on to the same architecture", derived)


@RULES.at()
def what_is_no_state_of_its_is_refused(case: StrategyCase) -> None:
    """A state with a key too many is refused, and so is a step that no epoch has."""
    _, strategy = case.begin()
    search(strategy, last=1)
    state = {**copy.deepcopy(strategy.state_dict()), "unknown": 1}
    _, other = case.begin()
    try:
        other.load_state_dict(state)
        refused = False
    except AutoMTLError:
        refused = True
    demand(refused, "must refuse a state with a key too many", "no error")
    demand(not strategy.stands_at(1, 10**9), "must not stand at a step that no epoch has", True)


@RULES.at()
def its_state_is_tensors_and_json(case: StrategyCase) -> None:
    """``state_dict()`` is made of tensors and JSON values, which a checkpoint can hold."""
    _, strategy = case.begin()
    search(strategy, last=1)
    strange = sorted(_strange(strategy.state_dict(), "state"))
    demand(not strange, "the state must be tensors and JSON values", strange[:5])


def _strange(value: Any, where: str) -> list[str]:
    """Where something is neither, with its type."""
    if isinstance(value, Mapping):
        return [w for key, inner in value.items() for w in _strange(inner, f"{where}.{key}")]
    if isinstance(value, list | tuple):
        return [w for i, inner in enumerate(value) for w in _strange(inner, f"{where}[{i}]")]
    plain = value is None or isinstance(value, bool | int | float | str | Tensor)
    return [] if plain else [f"{where}: a {type(value).__name__}"]


@RULES.at()
def its_rows_are_counted(case: StrategyCase) -> None:
    """``samples`` counts at least the rows of the steps that it yields, and the ledger knows of
    every use.
    """
    whole = case.whole
    demand(whole.samples >= whole.rows, f"`samples` must count {whole.rows} rows", whole.samples)
    rule = f"the ledger must tell of {whole.samples} rows"
    demand(whole.in_ledger >= whole.samples, rule, whole.in_ledger)


@RULES.at()
def the_ledger_tells_of_what_was_read(case: StrategyCase) -> None:
    """Rows taken from ``fit`` stand in the ledger as "train", those from ``alpha`` as "alpha" or
    "outer", those from ``scored`` as "score", but for one batch of these an epoch, which a record
    may be made from.
    """
    whole = case.whole
    whole.strategy.derive()
    context, rows = whole.context, whole.context.ledger.rows
    sources = (
        ("fit", context.fit, rows["train"], 0),
        ("alpha", context.alpha, rows["alpha"] + rows["outer"], 0),
        ("scored", context.scored, rows["score"], len(whole.records)),
    )
    for name, batches, in_ledger, unsaid in sources:
        assert isinstance(batches, CountedBatches), "a case's own context counts"
        most = in_ledger + unsaid * batches.largest
        rule = f"must take from `{name}` the {in_ledger} rows that the ledger tells of"
        demand(in_ledger <= batches.taken <= most, rule, batches.taken)


@RULES.at()
def proposals_begin_with_what_it_derives(case: StrategyCase) -> None:
    """``proposals(count)`` gives at most so many architectures, what ``derive`` gives first, no two
    equal, and the same at each call.
    """
    strategy, first = case.whole.strategy, case.whole.derived
    for count in (1, 3):
        one, same = ([a.identity() for a in strategy.proposals(count)] for _ in range(2))
        demand(1 <= len(one) <= count, f"must propose at most {count} architectures", len(one))
        demand(len({*one}) == len(one), "no two proposals may be equal", one)
        demand(one[0] == first, "what it derives must be the first proposal", one[0])
        demand(one == same, "must propose the same at each call", same)


@RULES.at()
def it_decides_nothing_and_says_what_that_rests_on(case: StrategyCase) -> None:
    """``decisions`` has a line for every block and for every task's experts, each "not decided"
    with its evidence: no strategy trains its candidates alone and often enough.
    """
    given, strategy = case.whole.context, case.whole.strategy
    wanted = [*make_encoding(given).names, *(f"{EXPERTS_OF}{t.name}" for t in given.schema.tasks)]
    decisions = strategy.decisions(strategy.derive())
    got = [d.choice for d in decisions]
    demand(got == wanted, f"must tell, in this order, of {wanted}", got)
    decided = [d.choice for d in decisions if d.verdict != "not decided" or not d.evidence]
    demand(not decided, 'each must be "not decided", with its evidence', decided)
