"""Does a search order architectures as training them does? Kendall's tau of its scores with a
table's losses, over all architectures and within interactions, beside what costs no search at all.

Legend: n architectures, S supernets, R resamples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from automtl.benchmarks._seeds import without_seed_effects
from automtl.benchmarks._statistics import RESAMPLES, attainable_interval, attainable_tau, seed_tau
from automtl.benchmarks.gate import lets_judge
from automtl.benchmarks.tables import first_part, need_table
from automtl.errors import ConfigError, DataError, counted
from automtl.statistics import LEVEL, Interval

Scores = Mapping[str, float]  # by architecture; less is better, as of losses
LEAST_TWICE = 3  # architectures trained twice, for what is attainable
LEAST_SUPERNETS = 3  # by the rule: one supernet says nothing of the next
# architectures with which an order is judged: of a few in perfect order every resample is perfect,
# as if it had no error
LEAST = 12


@dataclass(frozen=True)
class Beside:
    """A baseline, and by how much a search is above it.

    Args:
        tau: the baseline's over all architectures.
        within: its mean within interactions.
        above: 95% interval of the search's tau less the baseline's.
        above_within: the same within interactions.
    """

    tau: float
    within: float
    above: Interval
    above_within: Interval

    @property
    def beaten(self) -> bool:
        """Whether the search is shown to be above it, in both."""
        return self.above[0] > 0 and self.above_within[0] > 0


@dataclass(frozen=True)
class OrderVerdict:
    """The verdict on a search's order of a table.

    Args:
        tau: Kendall's tau-b over all architectures, the mean over supernets.
        interval: its 95% interval over architectures (drawn within interactions) and supernets.
        within: the mean over interactions of tau inside each.
        within_interval: likewise.
        baselines: by name.
        attainable: the tau of a perfect prediction with the mean of two seeds; None where fewer
            than `LEAST_TWICE` architectures were trained twice.
        attainable_interval: its 95% interval over architectures.
        architectures: n.
        supernets: S; with one of them the intervals say nothing of other supernet seeds, and with
            three little: their spread is right in the mean, but three may be alike by chance.
        ranks: whether the gate lets the table judge.
    """

    tau: float
    interval: Interval
    within: float
    within_interval: Interval
    baselines: dict[str, Beside]
    attainable: float | None
    attainable_interval: Interval | None
    architectures: int
    supernets: int
    ranks: bool

    @property
    def passed(self) -> bool:
        """Whether every baseline is beaten over all and within interactions, by so many supernets
        and on such a table as the rule asks for.
        """
        beaten = all(baseline.beaten for baseline in self.baselines.values())
        return beaten and self.ranks and self.supernets >= LEAST_SUPERNETS

    @property
    def words(self) -> str:
        """The verdict for people."""
        words = (
            f"tau {_of(self.tau, self.interval)}, within interactions "
            f"{_of(self.within, self.within_interval)}, over {self.architectures} architectures "
            f"and {counted(self.supernets, 'supernet')}"
        )
        if self.attainable is not None and self.attainable_interval is not None:
            words += f"; attainable with two seeds {_of(self.attainable, self.attainable_interval)}"
        unbeaten = [name for name, beside in self.baselines.items() if not beside.beaten]
        if unbeaten:
            return f"{words}. NOT shown to order architectures better than {', '.join(unbeaten)}"
        if not self.ranks:
            return f"{words}. On a table not shown to rank architectures this tells nothing"
        if self.supernets < LEAST_SUPERNETS:
            few = "this supernet orders" if self.supernets == 1 else "these supernets order"
            return (
                f"{words}. On this table {few} architectures better than every baseline; of other "
                f"seeds too few were looked at (the rule asks for {LEAST_SUPERNETS})"
            )
        return f"{words}. It orders architectures better than every baseline"


def _of(value: float, interval: Interval) -> str:
    return f"{value:+.2f} (95% {interval[0]:+.2f} to {interval[1]:+.2f})"


def truth(table: pd.DataFrame, *, least: int = 3) -> pd.DataFrame:
    """Per drawn architecture the mean losses over its seeds, failed ones left out: `loss` on
    validation, less what each seed adds to all, `loss_b`, `stratum`, `flops` and `parameters`.

    Raises:
        ConfigError: it is no table.
        DataError: there are fewer than `least`, or seeds have no architectures in common.
    """
    need_table(table, "loss_b", "flops", "parameters")
    known = first_part(without_seed_effects(table)).groupby("architecture", sort=True)
    frame = known.agg(
        {"loss": "mean", "loss_b": "mean", "stratum": "first", "flops": "first"}
        | {"parameters": "first"}
    )
    if len(frame) < least:
        raise DataError("table", f"must hold {least} trained architectures or more", len(frame))
    return frame


def baselines(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Scores that no search is needed for: larger models first by FLOPs and by parameters (tables
    of embeddings included), and the interaction's mean loss on B rows, which says nothing
    within an interaction.
    """
    known = truth(table)
    of_interaction = known.groupby("stratum")["loss_b"].transform("mean")
    return {
        "log FLOPs": (-np.log(known["flops"].clip(lower=1))).to_dict(),
        "log parameters": (-np.log(known["parameters"].clip(lower=1))).to_dict(),
        "interaction only": of_interaction.to_dict(),
    }


def judge_order(
    scores: Sequence[Scores], table: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0
) -> OrderVerdict:
    """Judge the scores that supernets of one strategy give to a table's architectures.

    Args:
        scores: per supernet seed, by architecture.
        table: of `load`; with its sealed rows once, at the end.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ConfigError: no resample, or no table.
        DataError: an architecture has no score, or one that is not finite; or there are fewer than
            `LEAST` architectures.
    """
    if resamples < 1:
        raise ConfigError("resamples", "must be at least 1", resamples)
    known, own = _known(scores, table)
    judge = _Judge(known["loss"].to_numpy(float), known["stratum"].astype(str).to_numpy())
    rng = np.random.default_rng(seed)
    times = judge.resampled(rng, resamples)
    # the supernets' share in each resample: S - 1 of them are drawn, since the variance of S drawn
    # is too small by (S - 1) / S (Rao and Wu 1988)
    drawn_nets = max(1, len(own) - 1)
    nets = rng.multinomial(drawn_nets, np.full(len(own), 1 / len(own)), resamples) / drawn_nets
    once = np.ones((1, len(known)))

    def both(scored: np.ndarray, of: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, ...]:
        pairs = [judge.taus(one, of) for one in scored]
        return tuple((np.stack(side, axis=1) * share).sum(1) for side in zip(*pairs, strict=True))

    tau, within = both(own, once, np.full((1, len(own)), 1 / len(own)))
    drawn, drawn_within = both(own, times, nets)
    beside = {}
    for name, other in baselines(table).items():
        base = _scores(other, known.index)[None]
        at, at_within = both(base, once, np.ones((1, 1)))
        theirs, theirs_within = both(base, times, np.ones((1, 1)))
        beside[name] = Beside(
            float(at[0]),
            float(at_within[0]),
            _middle(drawn - theirs),
            _middle(drawn_within - theirs_within),
        )
    attainable, attainable_span = _attainable(table)
    return OrderVerdict(
        float(tau[0]),
        _middle(drawn),
        float(within[0]),
        _middle(drawn_within),
        beside,
        attainable,
        attainable_span,
        len(known),
        len(own),
        lets_judge(table),
    )


def _known(scores: Sequence[Scores], table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The truth of a table, and per supernet the scores of its architectures.

    Shape: of the scores (S, A), S supernets, A architectures.
    """
    known = truth(table, least=LEAST)
    if not scores:
        raise DataError("scores", "must be of one supernet or more", "none")
    return known, np.stack([_scores(one, known.index) for one in scores])


def _scores(scores: Scores, architectures: pd.Index) -> np.ndarray:
    if not isinstance(scores, Mapping):
        raise DataError("scores", "must map architectures to losses", type(scores).__name__)
    lacking = [name for name in architectures if not _is_finite(scores.get(name))]
    if lacking:
        got = f"none for {len(lacking)} of them, {lacking[0]} first"
        raise DataError("scores", "must be finite and of every architecture of the table", got)
    return np.array([scores[name] for name in architectures], float)


def _is_finite(score: object) -> bool:
    return isinstance(score, int | float | np.number) and math.isfinite(score)


class _Judge:
    """Tau-b with weights, so that a resample is a vector of how often each architecture was drawn.
    Copies of one architecture are tied in both orders and count nothing.

    Args:
        losses: (n,).
        strata: (n,).
    """

    def __init__(self, losses: np.ndarray, strata: np.ndarray) -> None:
        self._signs = _signs(losses)
        self.members = [np.flatnonzero(strata == s) for s in sorted(set(strata))]

    def resampled(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """How often each architecture is drawn, within its stratum. Shape: (R, n)."""
        times = np.zeros((count, len(self._signs)))
        for home in self.members:
            times[:, home] = rng.multinomial(len(home), np.full(len(home), 1 / len(home)), count)
        return times

    def taus(self, scores: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Over all and, the mean over strata in which losses differ, within. Scores that are all
        equal order nothing: 0.

        Shape: (n,), (R, n) -> (R,), (R,).
        """
        signs = _signs(scores)
        apart = [
            _tau(self._signs[np.ix_(m, m)], signs[np.ix_(m, m)], times[:, m]) for m in self.members
        ]
        inside = np.stack(apart, axis=1)
        known = np.isfinite(inside)
        means = np.where(known, inside, 0).sum(1) / np.maximum(known.sum(1), 1)
        return np.nan_to_num(_tau(self._signs, signs, times)), means


def _signs(values: np.ndarray) -> np.ndarray:
    signs: np.ndarray = np.sign(np.subtract.outer(values, values))
    return signs


def _tau(losses: np.ndarray, scores: np.ndarray, times: np.ndarray) -> np.ndarray:
    """NaN where the losses are all equal. Shape: (n, n), (n, n), (R, n) -> (R,)."""
    agreed, differ, also = (
        ((times @ m) * times).sum(1) for m in (losses * scores, losses**2, scores**2)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = agreed / np.sqrt(differ * also)
    return np.where(differ == 0, np.nan, np.where(also == 0, 0.0, tau))


def _middle(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _attainable(table: pd.DataFrame) -> tuple[float | None, Interval | None]:
    by_seed = first_part(table).pivot(index="architecture", columns="seed", values="loss")
    twice = by_seed.dropna(axis=1, how="all").iloc[:, :2].dropna()
    if twice.shape[1] < 2 or len(twice) < LEAST_TWICE:
        return None, None
    first, second = (twice.iloc[:, i].tolist() for i in range(2))
    return attainable_tau(seed_tau(first, second)), attainable_interval(first, second)
