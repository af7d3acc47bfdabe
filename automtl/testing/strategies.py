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

from automtl.errors import ConfigError
from automtl.models.derived import build_model
from automtl.models.skeleton import seeded
from automtl.spaces.decisions import EXPERTS_OF
from automtl.strategies.protocol import SearchContext, Strategy, make_encoding
from automtl.strategies.registry import STRATEGIES
from automtl.strict import nearest
from automtl.testing.rules import Rules, demand, demand_finite
from automtl.testing.small import random_batch, small_context, small_space

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
    shares ("choices") and of every task its use of the experts ("expert_usage"); shares sum to 1.
    """
    given = case.whole.context
    encoding, tasks = make_encoding(given), [task.name for task in given.schema.tasks]
    for record in case.whole.records:
        keys = {"choices", "expert_usage", "entropy"}
        demand(keys <= {*record}, f"a record must tell {sorted(keys)}", sorted(record))
        plain = json.loads(json.dumps(record))
        demand(plain == record, "a record must be plain JSON values", f"{record!r:.200}")
        blocks = sorted(record["choices"])
        demand(
            blocks == sorted(encoding.names), f"choices must be of {sorted(encoding.names)}", blocks
        )
        used = sorted(record["expert_usage"])
        demand(used == sorted(tasks), f"expert_usage must be of {tasks}", used)
        sums = [math.fsum(w.values()) for w in record["choices"].values()]
        sums += [math.fsum(w) for w in record["expert_usage"].values()]
        wrong = [total for total in sums if abs(total - 1) > 1e-6]
        demand(not wrong, "shares must sum to 1", wrong)


@RULES.at()
def what_it_derives_builds(case: StrategyCase) -> None:
    """It derives an architecture of the space, each task with as many experts as the space says and
    all experts ranked, that builds and answers.
    """
    given = case.whole.context
    architecture = case.whole.strategy.derive()
    wanted, got = given.space.chosen(2), [len(task) for task in architecture.chosen or ()]
    demand(got == [wanted] * 2, f"must choose {wanted} experts for each of 2 tasks", got)
    demand(architecture.ranking is not None, "must rank the experts", "no ranking")
    answers = build_model(architecture, given.schema)(random_batch(given.schema).inputs)
    shapes = [tuple(answer.shape) for answer in answers]
    demand(shapes == [(32,)] * 2, "what it derives must answer [(32,), (32,)]", shapes)
    demand_finite(answers, "what it derives must answer finite numbers")


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
