"""What searches are worth: where the models that they derived lie between a random draw of the
space and the best that a table knows.

All three are told at the same seeds: what a training seed adds to all architectures alike must not
pass for a search's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import pandas as pd

from automtl.benchmarks._seeds import seed_effects, without_seed_effects
from automtl.benchmarks.gate import lets_judge
from automtl.benchmarks.order import truth
from automtl.benchmarks.tables import DRAWN, FRESH
from automtl.errors import ConfigError, DataError, counted
from automtl.statistics import LEVEL, half_width

NEEDED, NEEDED_LOWER = 0.7, 0.5  # of the mean over searches, and of its lower limit
LEAST_SEARCHES = 10


@dataclass(frozen=True)
class Marks:
    """The scale that a model's loss is measured on, of validation rows and fresh seeds; losses of
    other seeds are told less what their seed adds (`seed_effects`).

    Args:
        best: T, the mean of the table's group of best architectures, chosen on B rows.
        random: M, of its group of random ones.
        interaction: mean loss of the architectures with the interaction that is best on B rows:
            what a search finds that decides nothing else.
    """

    best: float
    random: float
    interaction: float

    def gain(self, loss: float) -> float:
        """G = (M - L) / (M - T): 1 is as good as the best known, 0 is a random draw."""
        return (self.random - loss) / (self.random - self.best)

    def of_searches(self, losses: np.ndarray) -> tuple[float, float]:
        """The mean G of replayed searches, and the one-sided 95% limit to expect of the mean of
        `LEAST_SEARCHES` such searches.

        Args:
            losses: (R,) of what each one picked, as a `Replay` has them.

        Raises:
            ConfigError: there are fewer than two.
        """
        if len(losses) < 2:
            raise ConfigError("losses", "must be of two searches or more", len(losses))
        gains = np.array([self.gain(loss) for loss in losses])
        half = half_width(float(gains.std(ddof=1)), LEAST_SEARCHES, 2 * LEVEL - 1)
        return float(gains.mean()), float(gains.mean()) - half


@dataclass(frozen=True)
class Gain:
    """G of a strategy over its search seeds.

    Args:
        values: one per search, of the mean loss of what it derived.
        mean: of them.
        lower: one-sided 95% limit of the mean (Student's t over searches; T, M and seeds' effects
            are taken as they are); None for one search.
        interaction: G of choosing the interaction only.
        ranks: whether the gate lets the table judge.
    """

    values: tuple[float, ...]
    mean: float
    lower: float | None
    interaction: float
    ranks: bool

    @property
    def passed(self) -> bool:
        """Whether the strategy may be a default by this table: enough searches, on one past the
        gate.
        """
        reached = self.mean >= NEEDED and self.lower is not None and self.lower >= NEEDED_LOWER
        return reached and self.ranks and len(self.values) >= LEAST_SEARCHES

    @property
    def words(self) -> str:
        """The verdict for people."""
        limit = "no limit, of one search" if self.lower is None else f"at least {self.lower:.2f}"
        count = counted(len(self.values), "search", "searches")
        words = f"G {self.mean:.2f} ({limit}; one-sided 95%) over {count}"
        if len(self.values) < LEAST_SEARCHES:
            words += f", where the rule asks for {LEAST_SEARCHES}"
        if not self.ranks:
            words += ", on a table that is not shown to rank architectures"
        if self.lower is None or self.lower <= self.interaction:
            words += (
                f", not shown to be better than the best interaction alone ({self.interaction:.2f})"
            )
        return words


def marks(table: pd.DataFrame) -> Marks:
    """The marks of a table whose two groups have been trained with fresh seeds.

    Raises:
        DataError: they have not, or the best are no better than the random ones, so that the table
            has nothing to find.
    """
    trained = {*_fresh(table)["architecture"]}
    means = _fresh(without_seed_effects(table)).groupby("architecture")["loss"].mean()
    sides = {}
    for name in ("random", "best"):  # without random ones no seed's effect is known
        members = list(table.attrs.get("groups", {}).get(name, []))
        lacking = [member for member in members if member not in trained]
        if not members or lacking:
            got = f"{len(members) - len(lacking)} of {len(members)}"
            raise DataError("table", f"must hold fresh seeds of its group '{name}'", got)
        sides[name] = float(means[members].mean())
    known = truth(table)
    on_b = known.groupby("stratum")["loss_b"].mean()
    interaction = known[known["stratum"] == on_b.idxmin()]["loss"].mean()
    levels = Marks(**sides, interaction=float(interaction))
    if not levels.best < levels.random:
        raise DataError(
            "table",
            "must have best architectures that are better than random ones on fresh seeds",
            f"{levels.best:.5f} and {levels.random:.5f}",
            "there is nothing to find in it: no search can be judged",
        )
    return levels


def _fresh(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["kind"] == DRAWN) & (table["stage"] == FRESH) & table["loss"].notna()]


def gain(derived: Mapping[int, Mapping[int, float]], table: pd.DataFrame) -> Gain:
    """G of what searches derived.

    Args:
        derived: per search seed the validation losses of the derived model by training seed, of
            those that the table's groups were trained with, and that no choice has seen.
        table: of `load`.

    Raises:
        DataError: no search, one without a loss, with one that is not finite or of another seed;
            as of `marks`.
    """
    if not derived or not all(len(losses) for losses in derived.values()):
        raise DataError("derived", "must hold a loss of one search or more, and of each", derived)
    levels, effects = marks(table), seed_effects(table)
    seeds = sorted({int(seed) for seed in _fresh(table)["seed"]} & effects.keys())
    if others := sorted({seed for losses in derived.values() for seed in losses} - {*seeds}):
        rule = f"must be of the training seeds of the table's groups, {', '.join(map(str, seeds))}"
        todo = "train the derived models with these: what a seed adds to all is known of them"
        raise DataError("derived", rule, ", ".join(map(str, others)), todo)
    losses = [
        fmean(loss - effects[seed] for seed, loss in by_seed.items())
        for by_seed in derived.values()
    ]
    if not all(map(math.isfinite, losses)):
        raise DataError("derived", "must be finite losses", losses)
    values = tuple(levels.gain(loss) for loss in losses)
    mean, lower = fmean(values), None
    if len(values) > 1:
        lower = mean - half_width(stdev(values), len(values), 2 * LEVEL - 1)
    return Gain(values, mean, lower, levels.gain(levels.interaction), lets_judge(table))
