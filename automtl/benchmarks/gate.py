"""The gate: whether a data set can rank architectures at all, or only tell what they cost."""

from dataclasses import dataclass

import pandas as pd

from automtl.benchmarks._statistics import (
    best_predictions,
    components,
    icc_interval,
    stratum_means,
)
from automtl.benchmarks.tables import DRAWN, first_part, need_table
from automtl.statistics import Interval

LEAST_ICC = 0.3


@dataclass(frozen=True)
class Verdict:
    """The gate's verdict.

    Args:
        icc: var_arch / (var_arch + var_seed) over all architectures.
        interval: its 95% interval over architectures.
        without: the same without the worst stratum, by which the gate decides.
        without_interval: likewise; None for each where too few architectures are left without it,
            and then `icc` decides.
        worst: the stratum with the highest mean loss.
        architectures: how many were looked at.
        delta: 1.5 standard deviations between seeds, the margin within which models count as equal.
        failed: trainings left out since their loss was not finite.
    """

    icc: float
    interval: Interval
    without: float | None
    without_interval: Interval | None
    worst: str
    architectures: int
    delta: float
    failed: int

    @property
    def passed(self) -> bool:
        """Whether the table can rank architectures."""
        return (self.icc if self.without is None else self.without) >= LEAST_ICC

    @property
    def words(self) -> str:
        """The verdict for people."""
        words = (
            f"ICC {self.icc:.2f} (95% {self.interval[0]:.2f} to {self.interval[1]:.2f}) over "
            f"{self.architectures} architectures"
        )
        if self.without is not None and self.without_interval is not None:
            low, high = self.without_interval
            words += (
                f"; without {self.worst or 'the worst stratum'} {self.without:.2f} (95% "
                f"{low:.2f} to {high:.2f})"
            )
        else:
            words += f"; without {self.worst or 'its only stratum'} too few are left to tell"
        if self.failed:
            words += f"; {self.failed} failed trainings are left out"
        can = (
            "can rank architectures"
            if self.passed
            else "CANNOT rank architectures: use it for cost and for ties only"
        )
        return (
            f"{words}. This data set {can} (ICC of at least {LEAST_ICC} without the worst stratum)"
        )


def gate(table: pd.DataFrame) -> Verdict:
    """Judge a table, or a pilot of one, by its drawn architectures that are not sealed and the
    seeds that no result chose.

    Raises:
        ConfigError: it is no table.
        DataError: fewer than two architectures, or none trained with several seeds.
    """
    need_table(table)
    known = first_part(table[~table["sealed"].astype(bool)])
    failed = int(
        ((table["kind"] == DRAWN) & ~table["sealed"].astype(bool) & table["loss"].isna()).sum()
    )
    losses, names = known["loss"].tolist(), known["architecture"].tolist()
    variance = components(losses, names)
    means = stratum_means(losses, known["stratum"].tolist())
    worst = str(max(means, key=means.__getitem__))
    rest = known[known["stratum"] != worst]
    without, span = None, None
    if judgeable(rest):
        inner = (rest["loss"].tolist(), rest["architecture"].tolist())
        without, span = components(*inner).icc, icc_interval(*inner)
    return Verdict(
        variance.icc,
        icc_interval(losses, names),
        without,
        span,
        worst,
        len(set(names)),
        variance.delta,
        failed,
    )


def judgeable(table: pd.DataFrame) -> bool:
    """Whether a table has two architectures or more, some trained twice, that the gate may
    look at.
    """
    sizes = (
        first_part(table[~table["sealed"].astype(bool)]).groupby("architecture").size()
        if len(table)
        else pd.Series(dtype=int)
    )
    return len(sizes) > 1 and int(sizes.max()) > 1


def lets_judge(table: pd.DataFrame) -> bool:
    """Whether the gate lets a table judge searches. Of sealed architectures alone it does: it may
    not look at them, and was asked of the others before.
    """
    return bool(table["sealed"].astype(bool).all()) or (judgeable(table) and gate(table).passed)


def best_architectures(table: pd.DataFrame, count: int) -> list[str]:
    """The architectures of least predicted loss on B rows, best first; sealed ones are not looked
    at.

    B rows, since validation is what the best are then judged by. A mean over fewer seeds is drawn
    more to the mean of all (BLUP), so that luck with one seed does not win.
    """
    known = first_part(table[~table["sealed"].astype(bool)])
    predicted = best_predictions(known["loss_b"].tolist(), known["architecture"].tolist())
    return sorted((str(name) for name in predicted), key=lambda name: (predicted[name], name))[
        :count
    ]
