"""Turns a budget of time, rows or FLOPs into the settings of a search that nobody gave."""

import itertools
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from automtl.config_search import SearchSection
from automtl.errors import ConfigError, counted
from automtl.models.cost import flops_per_row
from automtl.models.like_size import row_flops
from automtl.phases.race.course import Schedule
from automtl.phases.race.entrants import rival_architectures
from automtl.phases.run.alone import Model
from automtl.phases.run.session import Session
from automtl.phases.search.budget import Budget, Filled, Unit, given_by_user, passes
from automtl.phases.search.context import make_context, make_strategy
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.strategies.ledger import PASSES
from automtl.strategies.protocol import Strategy, make_encoding
from automtl.training.loop import StepEvent

# Races from the largest to the smallest, each with how long a training must be for it: so many
# rows, or passes over the fit rows if that is less. The first that the budget pays for so is taken.
# Replayed on tables of trained architectures (docs/results/architecture_table.md), 12 drawn and
# trained to the end gain .9 of what there is; 36 for three passes all on one, nothing on another.
_SHAPE = ("race_candidates", "race_controls", "race_seeds", "race_checks", "race_patterns")
_RACES = (
    ((27, 9, 5, 12, 4), 2**20, 8),
    ((9, 3, 3, 6, 4), 2**20, 8),
    ((9, 3, 3, 6, 4), 2**18, 2),
    ((6, 2, 3, 2, 0), 2**18, 2),
    ((4, 2, 2, 1, 0), 0, 0),
)
_MOST_EPOCHS = 10.0  # of a race's training; single models over-fit long before
_MOST_SUPERNET_EPOCHS = 100_000  # that search.epochs takes
_STRATEGY_SHARE = 0.5  # of the budget, where a race follows
_DRAWN, _TIMED_STEPS = 6, 12


def with_budget(session: Session, space: SearchSpace, budget: Budget) -> tuple[Session, Filled]:
    """A session in which what nobody gave is settled such that a search and its race cost a budget,
    and what was settled.

    Args:
        session: data and settings; what they give of `search` is kept.
        space: what is searched.
        budget: what may be spent; of seconds, a few steps of the very networks are timed.

    Raises:
        ConfigError: what is given, with the least of the rest, costs more; or the strategy spends
            nothing that a budget could set.
    """
    filled = _Filling(session, space, budget).settled()
    return replace(session, config=filled.of(session.config)), filled


@dataclass(frozen=True)
class _RacePrice:
    """The price of a race as a function of the steps of a whole training.

    Args:
        section: its settings.
        drawn: price of a training row of a drawn model; finalists and checks are taken for such.
        rival: likewise of a hand-made model; the best one is in the finals.
        batch: rows of a step.
        batches: steps of a pass.
        judged: A and B rows, on which each training is judged.
        unit: of the prices.
    """

    section: SearchSection
    drawn: float
    rival: float
    batch: int
    batches: int
    judged: int
    unit: Unit

    @property
    def _schedule(self) -> Schedule:
        s = self.section
        return Schedule(s.starters, s.race_finalists, s.race_halving)

    def __call__(self, steps: int) -> float:
        s, standing = self.section, self._schedule.sizes
        trained = self._schedule.planned_steps(0, steps)  # no finals
        judged = self.judged / (1 if self.unit == "rows" else PASSES["train"])
        # with patience each pass is judged, of whole trainings
        each = judged * (1 if s.race_patience is None else math.ceil(steps / self.batches))
        starter = (
            (standing[0] - len(s.rivals)) * self.drawn + len(s.rivals) * self.rival
        ) / standing[0]
        finals = s.race_finalists * self.drawn + max(self.rival, self.drawn)
        checks = s.checked * self.drawn
        of_rung = judged if s.race_halving else each
        rungs = starter * (trained * self.batch + sum(standing[:-1]) * of_rung)
        return rungs + s.race_seeds * (finals + checks) * (steps * self.batch + each)

    def longest(self, left: float, *, most: int) -> int:
        """Steps of the longest training for which a race costs at most `left`; at least those with
        which the first rung has one.
        """
        least = self._schedule.least_steps
        low, high = least, max(least, most)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self(middle) <= left else (low, middle - 1)
        return low


class _Filling:
    """One search's costs in the budget's unit, and what they leave free."""

    def __init__(self, session: Session, space: SearchSpace, budget: Budget) -> None:
        self.session, self.budget = session, budget
        self.search = session.config.search
        self.given = given_by_user(session.config)
        self.context = make_context(session, space, session.dropout_generator())
        self.races = self.search.selection == "race"
        self.size = session.config.retrain.batch_size
        self.batches = len(session.batches("fit", batch_size=self.size, seed=0))
        self.a = session.scored("a").num_rows
        self.b = session.scored("b").num_rows

    def settled(self) -> Filled:
        amount, settings = self.budget.amount, dict[str, Any]()
        drawn = self.search.strategy == "random_search" and self.races
        if drawn or self.search.strategy == "random_sampling":
            if not self.races:
                raise ConfigError(
                    "budget",
                    "needs a search that trains something",
                    "search.strategy random_sampling with search.selection argmax",
                    "set search.selection=race, or another strategy",
                )
            strategy = 0.0
        else:
            share = _STRATEGY_SHARE if self.races else 1.0
            settings, strategy = self._strategy(amount * share)
        race = 0.0
        if self.races:
            raced, race = self._race(amount - strategy, strategy)
            settings |= raced
        return Filled(self.budget, settings, strategy, race, self._words(settings, strategy, race))

    # -- the strategy

    def _strategy(self, share: float) -> tuple[dict[str, Any], float]:
        """The settings that the strategy's share of the budget allows, and their cost."""
        if self.search.strategy == "random_search":
            return self._draws(share)
        epoch, fixed = self._supernet_prices()
        if "epochs" in self.given:
            cost = fixed + epoch * self.search.epochs
            self._afford(cost, f"{counted(self.search.epochs, 'epoch')} of search.epochs")
            return {}, cost
        least = max(2, self.search.warmup_epochs + 1 if "warmup_epochs" in self.given else 2)
        epochs = min(int((share - fixed) / epoch), _MOST_SUPERNET_EPOCHS)
        if epochs < least:
            epochs = least
            self._afford(fixed + epoch * least, f"the least, {least} epochs of the supernet,")
        settings: dict[str, Any] = {"epochs": epochs}
        if "warmup_epochs" not in self.given:
            settings["warmup_epochs"] = epochs // 3
        return settings, fixed + epoch * epochs

    def _draws(self, share: float) -> tuple[dict[str, Any], float]:
        """For random_search: the rows that its draws train on and are scored by, and their cost."""
        s, row = self.search, self._drawn_price()
        if s.budget_run is not None or s.budget_samples is not None:
            rows = self.context.options.budget_samples or 0
            self._afford(rows * row, f"{rows:,} rows of search.budget_samples or budget_run")
            return {}, rows * row
        least = s.draws * (self.a + self.context.fit.num_rows // len(self.context.fit) + 1)
        rows = max(least, int(share / row))
        self._afford(rows * row, f"the least, {least:,} rows for {s.draws} draws,")
        return {"budget_samples": rows}, rows * row

    def _supernet_prices(self) -> tuple[float, float]:
        """The price of an epoch, from a few steps of it; and the price that does not depend on the
        number of epochs.
        """
        strategy = make_strategy(self.session, self.context)
        times, steps = list[float](), 1
        last = time.perf_counter()
        for event in _steps(strategy, _TIMED_STEPS):
            times.append(time.perf_counter() - last)
            last, steps = time.perf_counter(), event.steps
        strategy.cut()
        done = len(times)
        per_step = {
            "seconds": self.session.ranks.told(statistics.median(times[1:] or times)),
            "rows": strategy.samples / done,
            "FLOPs": self.context.ledger.flops / done,
        }[self.budget.unit]
        row = per_step * done / strategy.samples
        scored_row = row if self.budget.unit == "rows" else row / PASSES["train"]
        all_b = len(self.session.index("b"))  # an epoch is judged on all of them
        judged = all_b * scored_row if self.budget.unit == "seconds" else 0.0
        passes = 0
        if self.search.strategy == "evolution":
            passes = self.search.population * (self.search.generations + 1)
        elif self.search.selection == "perturbation" and strategy.supernet is not None:
            passes = sum(len(block.alpha) for block in strategy.supernet.choice_blocks())
        return per_step * steps + judged, passes * self.a * scored_row

    # -- the race

    def _drawn_price(self) -> float:
        """The price of a training row of evenly drawn models, the mean of a few: the first of those
        that random search, and a race over it, begin with.
        """
        return statistics.fmean(map(self._price, self._drawn))

    @cached_property
    def _drawn(self) -> list[Architecture]:
        encoding, seed = make_encoding(self.context), self.context.seed
        count = min(_DRAWN, self.search.draws)
        draws = [encoding.draw(np.random.default_rng([seed, number])) for number in range(count)]
        return list(map(encoding.architecture, draws))

    def _rival_price(self) -> float:
        """The price of a training row of the hand-made models; 0 where there are none."""
        flops = None
        if self.search.scale_rivals and self.search.rivals and self.budget.unit != "rows":
            flops = statistics.fmean(row_flops(a, self.session.schema) for a in self._drawn)
        hand_made = rival_architectures(self.session, flops)
        return statistics.fmean(self._price(a) for _, a in hand_made) if hand_made else 0.0

    def _price(self, architecture: Architecture) -> float:
        if self.budget.unit == "rows":
            return 1.0
        if self.budget.unit == "FLOPs":
            return self._flops(architecture)
        return self._seconds(architecture)

    def _flops(self, architecture: Architecture) -> float:
        model = Model(architecture, self.session, self.context.seed)
        return float(PASSES["train"] * flops_per_row(model.net, self.session.schema))

    def _seconds(self, architecture: Architecture) -> float:
        model, times = Model(architecture, self.session, self.context.seed), []
        batches = self.session.batches("fit", batch_size=self.size, seed=0)
        for number, batch in enumerate(batches.cycle(0)):
            start = time.perf_counter()
            model.step(batch.to(self.session.device))
            model.look()
            times.append((time.perf_counter() - start) / batch.step_size)
            if number == _TIMED_STEPS:
                break
        return float(self.session.ranks.told(statistics.median(times[1:])))

    def _race(self, left: float, spent: float) -> tuple[dict[str, Any], float]:
        """The largest race whose trainings are long enough; else the smallest, shorter."""
        drawn, rival = self._drawn_price(), self._rival_price()
        settings, cost = dict[str, Any](), 0.0
        none = {} if make_encoding(self.context).chooses_experts else {"race_patterns": 0}
        for shape, rows, epochs in _RACES:
            enough = min(epochs * self.batches, rows // self.size)
            named = dict(zip(_SHAPE, shape, strict=True)) | none
            settings = {name: value for name, value in named.items() if name not in self.given}
            section = self._section(settings)
            judged = self.a + self.b
            price = _RacePrice(
                section, drawn, rival, self.size, self.batches, judged, self.budget.unit
            )
            if "race_epochs" in self.given:
                steps = max(1, round(self.search.race_epochs * self.batches))
                long = True
            else:
                steps = price.longest(left, most=int(_MOST_EPOCHS * self.batches))
                settings["race_epochs"] = steps / self.batches
                long = steps >= enough
            cost = price(steps)
            if cost <= left and long:
                return settings, cost
        if cost > left:
            self._afford(spent + cost, "what is set, with the smallest race,")
        return settings, cost

    def _section(self, settings: Mapping[str, Any]) -> SearchSection:
        return SearchSection(**{**dict(self.search), **settings})

    # -- words

    def _afford(self, cost: float, what: str) -> None:
        if cost > self.budget.amount:
            raise ConfigError(
                "budget",
                f"must pay for {what} about {self.budget.say(cost, up=True)}",
                self.budget.text,
                "raise it, or leave settings out",
            )

    def _words(self, settings: Mapping[str, Any], strategy: float, race: float) -> str:
        section, parts = self._section(settings), []
        if self.search.strategy == "random_search" and not self.races:
            parts.append(f"{counted(section.draws, 'draw')} (about {self.budget.say(strategy)})")
        elif strategy:
            parts.append(
                f"{counted(section.epochs, 'epoch')} of the supernet "
                f"(about {self.budget.say(strategy)})"
            )
        if self.races:
            s = section
            parts.append(
                f"a race of {counted(s.race_candidates, 'candidate')}, "
                f"{counted(s.race_controls, 'control')} and "
                f"{counted(len(s.rivals), 'hand-made model')}"
                f"{' (scaled)' if s.scale_rivals and s.rivals else ''} "
                f"over at most {passes(s.race_epochs)}, "
                f"{counted(s.race_seeds, 'fresh seed')}, "
                f"{counted(s.race_checks, 'check')}, {counted(s.race_patterns, 'pattern')} "
                f"of shared experts (about {self.budget.say(race)})"
            )
        return f"budget of {self.budget.text}: {'; '.join(parts)}"


def _steps(strategy: Strategy, most: int) -> Iterator[StepEvent]:
    """The first steps of a search, over several epochs where they are short."""
    events = (event for epoch in range(strategy.epochs) for event in strategy.run_epoch(epoch))
    return itertools.islice(events, most)
