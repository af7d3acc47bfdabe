"""Strategies that train architectures alone, replayed on a table: what they would have picked and
paid, without a training.

A replay draws one of the table's trainings of each architecture as the one that it would have made;
it sees what a search may see of it (losses on A on the way, the loss on B at the end) and is judged
by what it cannot see: the validation losses of the architecture's other seeds. Where there are none
the same training must judge, by its best linear prediction: its loss drawn to the mean of all by as
much as luck weighs in the table. What a seed adds to all architectures is taken off first.

Legend: n architectures, R resamples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from automtl.benchmarks._seeds import without_seed_effects
from automtl.benchmarks._statistics import best_predictions
from automtl.benchmarks.tables import DRAWN, FRESH, first_part
from automtl.bounds import fitting, parse_json
from automtl.errors import ConfigError, DataError
from automtl.statistics import LEVEL, Interval

RESAMPLES = 1000
FACTOR = 3  # of successive halving: a rung keeps one in so many, and trains them so much longer
STARTUP, GOOD_SHARE = 10, 0.25  # of TPE: draws before the first model, and what counts as good

Name = Literal["random", "halving", "tpe"]


@dataclass(frozen=True)
class Replay:
    """The outcome of a strategy.

    Args:
        strategy: its name.
        draws: architectures that it begins to train.
        losses: (R,) validation losses of what it picked, less what their seeds add.
        costs: (R,) what its trainings and scorings computed, in FLOPs, or in what `prices` says.
    """

    strategy: str
    draws: int
    losses: np.ndarray
    costs: np.ndarray

    @property
    def loss(self) -> float:
        """The mean over resamples."""
        return float(self.losses.mean())

    @property
    def middle(self) -> Interval:
        """The middle 95% of single searches."""
        low, high = np.quantile(self.losses, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    @property
    def cost(self) -> float:
        """The mean over resamples."""
        return float(self.costs.mean())


class Replayer:
    """A table prepared for replays.

    Args:
        table: of `load`, its curves and `attrs` included.
        prices: per architecture what a pass over a row costs, such as reference seconds; default
            its FLOPs.

    Raises:
        DataError: the table has no curves on A, not all trainings were judged at the same epochs,
            seeds have no architectures in common, or an architecture has no price.
    """

    def __init__(self, table: pd.DataFrame, prices: Mapping[str, float] | None = None) -> None:
        known = first_part(table).sort_values(["architecture", "seed"])
        if lacking := {"curve_a", "curve_b", "at", "flops", "definition"} - set(known.columns):
            raise DataError("table", f"must have the columns {', '.join(sorted(lacking))}", "none")
        marks = {tuple(at) for at in known["at"]}
        if len(marks) != 1 or len(known) < 2:
            raise DataError("table", "must have trainings judged at the same epochs", len(marks))
        self.at = np.array(marks.pop())
        self.names = list(dict.fromkeys(known["architecture"]))
        by_name = dict(list(known.groupby("architecture")))
        self._curves, self._curves_b = (
            [np.stack([np.asarray(c, float) for c in by_name[n][column]]) for n in self.names]
            for column in ("curve_a", "curve_b")
        )
        # a training that could not be judged is never the best
        self._ends = [by_name[n]["loss_b"].fillna(np.inf).to_numpy(float) for n in self.names]
        self._truths = _truths(without_seed_effects(table), self.names)
        price_of = prices or known.groupby("architecture")["flops"].first().to_dict()
        self._prices = np.array([float(price_of.get(name, np.nan)) for name in self.names])
        if not (np.isfinite(self._prices) & (self._prices > 0)).all():
            rule = "must be a finite price above 0 of every architecture of the table"
            raise DataError("prices", rule, self._prices.tolist())
        self._rows = table.attrs["rows"]
        self._choices = _one_hot([by_name[n]["definition"].iloc[0] for n in self.names])

    def replay(
        self,
        strategy: Name,
        draws: int,
        *,
        resamples: int = RESAMPLES,
        seed: int = 0,
        rungs: Sequence[float] | None = None,
        epochs: float | None = None,
    ) -> Replay:
        """Run a strategy `resamples` times.

        Args:
            strategy: "random" trains every draw to the end; "halving" goes on with the better third
                of them rung by rung (Jamieson and Talwalkar 2016); "tpe" takes of the architectures
                not yet trained the one with the largest ratio of two densities over the choices, of
                the better quarter and of the rest (Bergstra et al. 2011).
            draws: architectures that it begins to train, at most the table's.
            resamples: how often.
            seed: of the draws.
            rungs: halving only: epochs at which it stops some, ascending, of those at which the
                table's trainings were judged; default the first, then each that is three times as
                late.
            epochs: random only: after how many each training ends, one of those at which the
                table's trainings were judged; the best whole one up to there counts. Default all.

        Raises:
            ConfigError: rungs or epochs at which nothing was judged, or of another strategy;
                another strategy, no resample, or draws that the table cannot give.
        """
        if rungs is not None and strategy != "halving":
            raise ConfigError("rungs", "must be left out: only halving has them", strategy)
        if epochs is not None and strategy != "random":
            raise ConfigError("epochs", "must be left out: only random has them", strategy)
        last = len(self.at) - 1 if epochs is None else self._mark(epochs, self.at, "epochs")
        before = self.at[:-1]
        marks = self.rungs() if rungs is None else [self._mark(e, before, "rungs") for e in rungs]
        if marks != sorted({*marks}):
            raise ConfigError("rungs", "must ascend", rungs)
        runs: dict[str, Callable[[np.random.Generator, int], tuple[int, int, float]]] = {
            "random": lambda rng, draws: self._random(rng, draws, last),
            "halving": lambda rng, draws: self._halving(rng, draws, marks),
            "tpe": self._tpe,
        }
        if strategy not in runs:
            raise ConfigError("strategy", f"must be one of {', '.join(runs)}", strategy)
        if not 1 <= draws <= len(self.names):
            raise ConfigError("draws", f"must be at least 1 and at most {len(self.names)}", draws)
        if resamples < 1:
            raise ConfigError("resamples", "must be at least 1", resamples)
        losses, costs = np.empty(resamples), np.empty(resamples)
        for i in range(resamples):
            architecture, training, costs[i] = runs[strategy](
                np.random.default_rng([seed, i]), draws
            )
            losses[i] = self._truths[architecture][training]
        return Replay(strategy, draws, losses, costs)

    def draws_within(self, strategy: Name, budget: float) -> int:
        """The most draws whose mean cost is within a budget; 0 where one is too dear."""
        few, many = 0, len(self.names) + 1
        while many - few > 1:
            middle = (few + many) // 2
            near = self.replay(strategy, middle, resamples=100).cost <= budget
            few, many = (middle, many) if near else (few, middle)
        return few

    def _paid(self, picks: np.ndarray, begin: float, end: float, judged: str) -> float:
        """Training some architectures from one mark to another and scoring them there: a training
        row is three passes, a scored row one.
        """
        passes = 3 * (end - begin) * self._rows["fit"] + self._rows[judged]
        return float(passes * self._prices[picks].sum())

    def _drawn(self, rng: np.random.Generator, draws: int) -> tuple[np.ndarray, np.ndarray]:
        """Architectures, and which of its trainings each one's is."""
        picks = rng.permutation(len(self.names))[:draws]
        return picks, np.array([int(rng.integers(len(self._ends[i]))) for i in picks])

    def _whole(self, picks: np.ndarray, last: int = -1) -> float:
        """Training to a mark, the epoch picked on B after each whole one."""
        epochs = np.sum(self._whole_marks(last))
        scored = (epochs - 1) * self._rows["b"] * self._prices[picks].sum()
        return self._paid(picks, 0.0, float(self.at[last]), "b") + float(scored)

    def _whole_marks(self, last: int) -> np.ndarray:
        """Which marks up to one a training may be picked at: after a whole epoch, or the mark."""
        end = self.at[last]
        marks: np.ndarray = (self.at <= end) & ((self.at >= 1) | (self.at == end))
        return marks

    def _random(self, rng: np.random.Generator, draws: int, last: int) -> tuple[int, int, float]:
        picks, trainings = self._drawn(rng, draws)
        if last == len(self.at) - 1:
            ends = [self._ends[i][t] for i, t in zip(picks, trainings, strict=True)]
        else:
            marks = self._whole_marks(last)
            drawn = [self._curves_b[i][t][marks] for i, t in zip(picks, trainings, strict=True)]
            ends = np.nan_to_num(np.stack(drawn), nan=np.inf).min(1).tolist()
        best = int(np.argmin(ends))
        return int(picks[best]), int(trainings[best]), self._whole(picks, last)

    def rungs(self) -> list[int]:
        """The marks at which halving stops some: the first, then each that is `FACTOR` times as
        late as the one before, and before the end.
        """
        rungs: list[int] = []
        for i, at in enumerate(self.at[:-1]):
            if not rungs or at >= FACTOR * self.at[rungs[-1]]:
                rungs.append(i)
        return rungs

    def _mark(self, epoch: float, legal: np.ndarray, place: str) -> int:
        found = np.flatnonzero(np.isclose(legal, epoch))
        if not len(found):
            rule = f"must be of {', '.join(f'{at:g}' for at in legal)}"
            raise ConfigError(place, rule, epoch)
        return int(found[0])

    def _halving(
        self, rng: np.random.Generator, draws: int, rungs: Sequence[int]
    ) -> tuple[int, int, float]:
        picks, trainings = self._drawn(rng, draws)
        cost, begin = 0.0, 0.0
        for rung in rungs:
            if len(picks) == 1:
                break
            at = float(self.at[rung])
            cost, begin = cost + self._paid(picks, begin, at, "a"), at
            losses = [self._curves[i][t][rung] for i, t in zip(picks, trainings, strict=True)]
            leading = np.argsort(losses, kind="stable")[: -(-len(picks) // FACTOR)]
            picks, trainings = picks[leading], trainings[leading]
        epochs = self.at[self.at >= max(1.0, begin)]
        scored = (len(epochs) - 1) * self._rows["b"] * self._prices[picks].sum()
        cost += self._paid(picks, begin, float(self.at[-1]), "b") + float(scored)
        ends = [self._ends[i][t] for i, t in zip(picks, trainings, strict=True)]
        best = int(np.argmin(ends))
        return int(picks[best]), int(trainings[best]), cost

    def _tpe(self, rng: np.random.Generator, draws: int) -> tuple[int, int, float]:
        order, trainings = self._drawn(rng, len(self.names))
        of = dict(zip(order.tolist(), trainings.tolist(), strict=True))
        tried, left = order[: min(STARTUP, draws)].tolist(), order[min(STARTUP, draws) :].tolist()
        while len(tried) < draws:
            ends = np.array([self._ends[i][of[i]] for i in tried])
            good = np.argsort(ends, kind="stable")[: max(1, round(GOOD_SHARE * len(tried)))]
            rest = np.setdiff1d(np.arange(len(tried)), good)
            here = np.array(tried)
            ratio = self._density(here[good], left) - self._density(here[rest], left)
            tried.append(left.pop(int(np.argmax(ratio))))
        best = min(tried, key=lambda i: self._ends[i][of[i]])
        return best, of[best], self._whole(np.array(tried))

    def _density(self, seen: np.ndarray, asked: Sequence[int]) -> np.ndarray:
        """Log density of architectures: per choice the shares among those seen, each candidate
        counted once beforehand. Shape: (asked,).
        """
        counts = 1 / self._choices.sizes + self._choices.onehot[seen].sum(0)
        shares = np.log(counts / (len(seen) + 1))
        density: np.ndarray = self._choices.onehot[asked] @ shares
        return density


@dataclass(frozen=True)
class _OneHot:
    """Choices of n architectures. Shapes: onehot (n, candidates of all choices), sizes likewise."""

    onehot: np.ndarray
    sizes: np.ndarray


def _one_hot(definitions: Sequence[str | Mapping[str, Any]]) -> _OneHot:
    choices = [_choices(definition) for definition in definitions]
    names = sorted({name for own in choices for name in own})
    columns, sizes = [], []
    for name in names:
        values = [own.get(name, "") for own in choices]
        known = sorted(set(values))
        columns += [[float(value == each) for value in values] for each in known]
        sizes += [float(len(known))] * len(known)
    return _OneHot(np.array(columns).T, np.array(sizes))


def _choices(definition: str | Mapping[str, Any]) -> dict[str, str]:
    """The choices of an architecture's definition, by place."""
    with fitting(Path("definition"), "must be an architecture's", "restore the table"):
        plain = parse_json(definition.encode()) if isinstance(definition, str) else definition
        choices = {f"interaction {i}": str(o) for i, o in enumerate(plain.get("interaction") or ())}
        for e, expert in enumerate(plain.get("experts") or ()):
            choices |= {f"expert {e}, {j}": str(o) for j, o in enumerate(expert["blocks"])}
        chosen = plain.get("chosen")
        for t, experts in enumerate(chosen if chosen is not None else ()):
            choices[f"task {t}"] = str(sorted(int(i) for i in experts))
    return choices


def _truths(table: pd.DataFrame, names: Sequence[str]) -> list[np.ndarray]:
    """Per architecture and training of it, the mean validation loss of its other trainings, fresh
    ones among them; without another one its best linear prediction.

    Args:
        table: its losses without seeds' effects, which would pass for an architecture's.
        names: of the architectures.
    """
    known = first_part(table).sort_values(["architecture", "seed"])
    every = table[(table["kind"] == DRAWN) & table["loss"].notna()]
    fresh = every[every["stage"] == FRESH].groupby("architecture")["loss"].apply(list).to_dict()
    first = known.groupby("architecture")["loss"].apply(list).to_dict()
    counts = known.groupby("architecture").size()
    predicted: Mapping[object, float] = {}
    if (counts > 1).any():
        predicted = best_predictions(known["loss"].tolist(), known["architecture"].tolist())
    truths = []
    for name in names:
        others = [
            [loss for j, loss in enumerate(first[name]) if j != i] + list(fresh.get(name, []))
            for i in range(len(first[name]))
        ]
        alone = predicted.get(name, first[name][0])
        truths.append(np.array([np.mean(o) if o else alone for o in others]))
    return truths
