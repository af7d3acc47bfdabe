"""What a search spends on the networks that it really runs: floating-point operations, and seconds
that can be compared between machines at work and idle ones.

A forward pass over a row is one pass, and every use of a row costs so many of them by rule: a
training row three (its backward pass is two), a first-order alpha row two (weights get no
gradient), a scored row one. A pass counts what a network's candidates compute one by one: a fused
choice block merges them into other products, on small batches more operations in less time.
The pass over B rows that judges each epoch of a strategy, the epochs' diagnostics and what
balancing by gradients adds are not counted; the last is told apart in `balancing`.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, NamedTuple

from torch import nn

from automtl.data.store.schema import Schema
from automtl.models.cost import flops_per_row
from automtl.models.latency import candidate_training_seconds, training_seconds
from automtl.models.prices import prices
from automtl.models.supernet import Supernet
from automtl.training.checkpoint_state import Amount, Count, State, parse

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
TIMED_ROWS = 1024  # at most: batches are timed as they are trained, small ones cost more a row


class Price(NamedTuple):
    """The cost of one forward pass over a row.

    Args:
        flops: floating-point operations, as `models.cost` counts them.
        seconds: on one thread of an idle machine: a third of a training row's.
    """

    flops: int
    seconds: float


class _RowsState(State):
    """State of a ledger's rows, by use."""

    train: Count
    alpha: Count
    score: Count
    outer: Count
    inner_exact: Count
    inner_finite: Count


class LedgerState(State):
    """State of a ledger."""

    rows: _RowsState
    flops: Count
    seconds: Amount


class Ledger:
    """Adds up what was spent.

    Attributes:
        rows: how many rows were read, by their use.
        flops: floating-point operations.
        seconds: reference seconds.
    """

    def __init__(self) -> None:
        self.rows: Counter[Kind] = Counter()
        self.flops, self.seconds = 0, 0.0

    def add(self, kind: Kind, rows: int, flops_per_row: int, seconds_per_row: float) -> None:
        """Count rows that a network was run on.

        Args:
            kind: what for.
            rows: how many.
            flops_per_row: of one forward pass of that network.
            seconds_per_row: likewise, on one idle thread.
        """
        passes = PASSES[kind] * rows
        self.rows[kind] += rows
        self.flops += passes * flops_per_row
        self.seconds += passes * seconds_per_row

    def figures(self) -> dict[str, Any]:
        """For cost.json: `flops_spent`, `reference_seconds` and `rows` by use."""
        return {
            "flops_spent": self.flops,
            "reference_seconds": self.seconds,
            "rows": {kind: rows for kind, rows in self.rows.items() if rows},
        }

    def state_dict(self) -> dict[str, Any]:
        """All that counting on needs."""
        rows = {kind: self.rows[kind] for kind in PASSES}
        return {"rows": rows, "flops": self.flops, "seconds": self.seconds}

    def load_state_dict(self, state: Any) -> None:
        """Count on from a ``state_dict()``.

        Raises:
            AutoMTLError: it is none.
        """
        saved = parse(LedgerState, state, "ledger")
        self.rows = Counter({kind: getattr(saved.rows, kind) for kind in PASSES})
        self.flops, self.seconds = saved.flops, saved.seconds


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
    Both are measured when they are first asked for, and kept.

    Args:
        net: the supernet.
        schema: the data set.
        rows: of the batch that is timed, at most `TIMED_ROWS`.
    """

    def __init__(self, net: Supernet, schema: Schema, *, rows: int = TIMED_ROWS) -> None:
        self.net = net
        self.schema = schema
        self._rows = max(2, min(rows, TIMED_ROWS))
        self._blocks = net.blocks()

    def __call__(self) -> Price:
        """The price now."""
        if all(block.path is None for block in self._blocks.values()):
            return self.mixture
        flops = self._rest_flops
        seconds = self._path.rest
        times = self._path.candidates
        for name, block in self._blocks.items():
            if block.path is None:
                flops += sum(self._flops[name])
                seconds += self._path.mixed * sum(times[name])
            else:
                flops += self._flops[name][block.path]
                seconds += times[name][block.path]
        return Price(flops, seconds)

    @cached_property
    def mixture(self) -> Price:
        """All blocks mixed."""
        with self._set_to(None):
            return price_of(self.net, self.schema, rows=self._rows)

    @cached_property
    def _flops(self) -> dict[str, list[int]]:
        with self._set_to(None):
            table = prices(self.net, self.schema).candidates
        return {name: table[name][:, 0].tolist() for name in self._blocks}

    @cached_property
    def _rest_flops(self) -> int:
        return self.mixture.flops - sum(sum(flops) for flops in self._flops.values())

    @cached_property
    def _path(self) -> "_PathSeconds":
        with self._set_to(0):
            timed = candidate_training_seconds(self.net, self.schema, rows=self._rows)
            path = price_of(self.net, self.schema, rows=self._rows).seconds
        candidates = {name: (times / 3).tolist() for name, times in timed.items()}
        rest = max(path - sum(times[0] for times in candidates.values()), 0.0)
        whole = sum(sum(times) for times in candidates.values())
        mixed = max(self.mixture.seconds - rest, 0.0) / whole if whole else 0.0
        return _PathSeconds(candidates, rest, mixed)

    @contextlib.contextmanager
    def _set_to(self, path: int | None) -> Iterator[None]:
        """Every block on one path, or mixed; after, as before."""
        blocks = self._blocks.values()
        before = [(block.path, block.shares) for block in blocks]
        try:
            for block in blocks:
                block.path, block.shares = path, None
            yield
        finally:
            for block, (old, shares) in zip(blocks, before, strict=True):
                block.path, block.shares = old, shares


class _PathSeconds(NamedTuple):
    """Seconds of a pass over a row: of each block's candidates, of the rest of the net, and for a
    mixed block of each second that its candidates take one by one.
    """

    candidates: dict[str, list[float]]
    rest: float
    mixed: float
