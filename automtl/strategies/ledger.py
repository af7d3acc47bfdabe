"""What a search spends on the networks that it really runs: floating-point operations, and seconds
that can be compared between machines at work and idle ones.

A forward pass over a row is one pass, and every use of a row costs so many of them by rule: a
training row three (its backward pass is two), a first-order alpha row two (weights get no
gradient), a scored row one. Evaluation on validation rows, the epochs' diagnostics and what
balancing by gradients adds are not counted: they choose nothing, or are told apart in `balancing`.
"""

import math
from collections import Counter
from typing import Any, Literal, NamedTuple

from torch import nn

from automtl.data.store.schema import Schema
from automtl.models.cost import flops_per_row
from automtl.models.latency import candidate_training_seconds, training_seconds
from automtl.models.prices import prices
from automtl.models.supernet import Supernet
from automtl.training.checkpoint_state import Amount, Count, State, check

Kind = Literal["train", "alpha", "score", "outer", "inner_exact", "inner_finite"]
# forward passes that a row costs; the last three are of a second-order alpha step: the outer loss
# with all gradients, and on the fit rows the inner gradient (3) with H u by autograd through it
# (6) or by two gradients over alpha (4)
PASSES: dict[Kind, int] = {
    "train": 3,
    "alpha": 2,
    "score": 1,
    "outer": 3,
    "inner_exact": 9,
    "inner_finite": 7,
}
TIMED_ROWS = 256


class Price(NamedTuple):
    """What one forward pass over a row costs.

    Args:
        flops: floating-point operations, as `models.cost` counts them.
        seconds: on one thread of an idle machine: a third of a training row's.
    """

    flops: int
    seconds: float


class LedgerState(State):
    """Of a ledger."""

    rows: dict[Kind, Count]
    flops: Count | None
    seconds: Amount | None


class Ledger:
    """Adds up what was spent.

    Attributes:
        rows: how many rows were read, by their use.
        flops: floating-point operations; None where a part of them is not known.
        seconds: reference seconds; likewise.
    """

    def __init__(self) -> None:
        self.rows: Counter[Kind] = Counter()
        self.flops: int | None = 0
        self.seconds: float | None = 0.0

    def add(
        self, kind: Kind, rows: int, flops_per_row: int, seconds_per_row: float | None = None
    ) -> None:
        """Count rows that a network was run on.

        Args:
            kind: what for.
            rows: how many.
            flops_per_row: of one forward pass of that network.
            seconds_per_row: likewise, on one idle thread; without it the reference seconds of the
                whole are not known any more.
        """
        passes = PASSES[kind] * rows
        self.rows[kind] += rows
        self.flops = None if self.flops is None else self.flops + passes * flops_per_row
        if self.seconds is not None:
            self.seconds = (
                None if seconds_per_row is None else self.seconds + passes * seconds_per_row
            )

    def figures(self) -> dict[str, Any]:
        """For cost.json: `flops_spent`, `reference_seconds` and `rows` by use."""
        return {
            "flops_spent": self.flops,
            "reference_seconds": self.seconds,
            "rows": dict(self.rows),
        }

    def state(self) -> dict[str, Any]:
        """All that counting on needs."""
        return {"rows": dict(self.rows), "flops": self.flops, "seconds": self.seconds}

    def load(self, state: Any) -> None:
        """Count on from a ``state()``; None, of a search begun before there were ledgers, leaves
        the whole unknown.

        Raises:
            AutoMTLError: it is none.
        """
        if state is None:
            self.rows, self.flops, self.seconds = Counter(), None, None
            return
        held = check(LedgerState, state, "ledger")
        self.rows, self.flops, self.seconds = Counter(held.rows), held.flops, held.seconds


def price_of(net: nn.Module, schema: Schema, *, rows: int = TIMED_ROWS) -> Price:
    """The price of a network as it stands, measured on a batch of so many rows, at most
    `TIMED_ROWS`.
    """
    rows = max(2, min(rows, TIMED_ROWS))  # BatchNorm needs two
    return Price(flops_per_row(net, schema), training_seconds(net, schema, rows=rows) / 3)


class SupernetPrices:
    """Prices a pass of a supernet as its blocks stand, mixed or each on a path of its own.

    FLOPs are those of the mixture less the candidates that are not computed. Seconds on a path are
    those of the candidates on it and of the rest, which one path as a whole tells; a mixed block's
    are its share of what the mixture takes beside the rest, since candidates are computed together.
    What a path needs is timed when the first is priced.

    Args:
        net: the supernet, no block on a path.
        schema: the data set.
        rows: of the batch that is timed, at most `TIMED_ROWS`.
    """

    def __init__(self, net: Supernet, schema: Schema, *, rows: int = TIMED_ROWS) -> None:
        self.net, self.schema, self._rows = net, schema, max(2, min(rows, TIMED_ROWS))
        self._blocks = net.blocks()
        table = prices(net, schema).candidates
        self._flops = {name: table[name][:, 0].tolist() for name in self._blocks}
        self.mixture = price_of(net, schema, rows=self._rows)
        self._rest = self.mixture.flops - sum(sum(flops) for flops in self._flops.values())
        self._seconds: dict[str, list[float]] = {}
        self._rest_seconds = self._stretch = math.nan

    def __call__(self) -> Price:
        """The price now."""
        if all(block.path is None for block in self._blocks.values()):
            return self.mixture
        if not self._seconds:
            self._time_paths()
        flops, seconds = self._rest, self._rest_seconds
        for name, block in self._blocks.items():
            if block.path is None:
                flops += sum(self._flops[name])
                seconds += self._stretch * sum(self._seconds[name])
            else:
                flops += self._flops[name][block.path]
                seconds += self._seconds[name][block.path]
        return Price(flops, seconds)

    def _time_paths(self) -> None:
        blocks = self._blocks.values()
        before = [(block.path, block.shares) for block in blocks]
        try:
            for block in blocks:
                block.path, block.shares = 0, None
            timed = candidate_training_seconds(self.net, self.schema, rows=self._rows)
            self._seconds = {name: (times / 3).tolist() for name, times in timed.items()}
            path = price_of(self.net, self.schema, rows=self._rows).seconds
        finally:
            for block, (path_before, shares) in zip(blocks, before, strict=True):
                block.path, block.shares = path_before, shares
        self._rest_seconds = max(path - sum(times[0] for times in self._seconds.values()), 0.0)
        whole = sum(sum(times) for times in self._seconds.values())
        mixed = max(self.mixture.seconds - self._rest_seconds, 0.0)
        self._stretch = mixed / whole if whole else 0.0
