"""Permutation importance: by how much a task's loss rises when a field's values are shuffled among
the rows (Breiman, Random Forests, 2001, section 10; Fisher, Rudin and Dominici, arXiv:1801.01489).

Legend: n rows, U units (rows, or the groups that rows come in), w row weights, d_i = the loss of
row i with another row's value of the field, less its loss with its own.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from automtl.data.store.batches import Batch, Inputs
from automtl.data.store.schema import Schema
from automtl.statistics import LEVEL
from automtl.training.metrics._constant import RowLosses
from automtl.training.metrics.evaluation import losses_by_row
from automtl.training.metrics.influence import variance

_SLICE = 4096  # rows of a forward pass


class Importance(NamedTuple):
    """One field's for one task.

    Attributes:
        task: the task.
        field: the field, its indicator of missing values included.
        rise: of the task's loss.
        low: of its 95% interval over units; NaN for fewer than two of them.
        high: likewise.
    """

    task: str
    field: str
    rise: float
    low: float
    high: float


def importance(
    net: nn.Module,
    batch: Batch,
    schema: Schema,
    *,
    repeats: int = 5,
    seed: int = 0,
    units: np.ndarray | None = None,
    device: torch.device | None = None,
) -> Iterator[Importance]:
    """Every field's importance for every task, field by field.

    The rise D = sum(w d) / sum(w) is a mean over pairs of a row and a row that gives its value, so
    its variance over units is that of a U-statistic's linear part: e_i gathers w (d - D) where row
    i is the one judged and where it is the one that gives, each a mean over the repeats. Finite
    repeats make the interval a little wide, never narrow.

    Args:
        net: the network.
        batch: the rows to judge it by, with their labels.
        schema: fields and tasks.
        repeats: shuffles of each field.
        seed: of the shuffles.
        units: (n,) whose rows stay together; None: every row is a unit.
        device: where the network is.
    """
    rng, training = np.random.default_rng(seed), net.training
    net.eval()
    every = np.arange(len(batch))
    try:
        plain = _losses(net, batch, schema, (), every, every, device)
        for name, members in shuffled_fields(schema).items():
            orders = np.stack([rng.permutation(len(batch)) for _ in range(repeats)])
            rows, donors, places = _changed(_codes(batch.inputs, members), orders)
            mixed = _losses(net, batch, schema, members, rows, donors, device)
            for task, own, other in zip(schema.tasks, plain, mixed, strict=True):
                gaps = (other.losses - own.losses[rows]).numpy()
                known = np.where(other.weights > 0, gaps, 0.0)
                known[-1] = 0.0
                yield Importance(task.name, name, *_rise(own, orders, known[places], units))
    finally:
        net.train(training)


def shuffled_fields(schema: Schema) -> dict[str, list[tuple[str, int]]]:
    """By field where its values lie in the inputs; an indicator goes with its column."""
    columns: dict[str, list[tuple[str, int]]] = {}
    parts = (("ids", schema.categorical), ("lists", schema.lists), ("dense", schema.numeric))
    for part, fields in parts:
        for number, field in enumerate(fields):
            columns.setdefault(field.indicator_of or field.name, []).append((part, number))
    return columns


def _codes(inputs: Inputs, members: Sequence[tuple[str, int]]) -> np.ndarray:
    """(n,) a number for each row's values in some columns, the same for the same values."""
    columns = {"ids": inputs.ids, "dense": inputs.dense.view(torch.int32)}
    values = [
        inputs.lists[number] if part == "lists" else columns[part][:, number, None]
        for part, number in members
    ]
    together = torch.cat(values, 1).numpy()
    return np.unique(together, axis=0, return_inverse=True)[1].reshape(-1)


def _changed(codes: np.ndarray, orders: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What shuffling changes, each change once: in many rows of most fields it leaves the value as
    it was, or gives it the one that an earlier shuffle gave.

    Returns:
        The rows, for each one that gives it its value, and where among them every row of every
        order is: (repeats, n). The last stands for all that keep their values.
    """
    rows = np.broadcast_to(np.arange(len(codes)), orders.shape)
    changed = codes[orders] != codes
    keys = rows[changed] * (int(codes.max()) + 1) + codes[orders[changed]]
    first, inverse = np.unique(keys, return_index=True, return_inverse=True)[1:]
    places = np.full(orders.shape, len(first))
    places[changed] = inverse.reshape(-1)
    kept = [0]  # a row with its own value
    return (
        np.append(rows[changed][first], kept),
        np.append(orders[changed][first], kept),
        places,
    )


def _mixed(
    inputs: Inputs, members: Sequence[tuple[str, int]], rows: Tensor, donors: Tensor
) -> Inputs:
    """Some rows of the inputs with some columns' values taken from others."""
    ids, dense = inputs.ids[rows], inputs.dense[rows]
    lists = [field[rows] for field in inputs.lists]
    for part, number in members:
        if part == "lists":
            lists[number] = inputs.lists[number][donors]
        else:
            mixed, own = (ids, inputs.ids) if part == "ids" else (dense, inputs.dense)
            mixed[:, number] = own[donors, number]
    return Inputs(ids, dense, tuple(lists))


def _losses(
    net: nn.Module,
    batch: Batch,
    schema: Schema,
    members: Sequence[tuple[str, int]],
    rows: np.ndarray,
    donors: np.ndarray,
    device: torch.device | None,
) -> list[RowLosses]:
    """Per task the loss of each of the rows, with some columns' values taken from others."""
    parts: list[list[Tensor]] = [[] for _ in schema.tasks]
    with torch.inference_mode():
        for start in range(0, len(rows), _SLICE):
            part = slice(start, start + _SLICE)
            ends = (torch.from_numpy(numbers[part]) for numbers in (rows, donors))
            here = _mixed(batch.inputs, members, *ends)
            outputs = net(here if device is None else here.to(device))
            for known, output in zip(parts, outputs, strict=True):
                known.append(output.float().cpu())
    labels = batch.labels.numpy()[rows]
    weights = None if batch.weights is None else batch.weights.numpy()[rows]
    return [
        losses_by_row(
            task,
            torch.cat(parts[k]).numpy(),
            labels[:, k],
            None if weights is None else weights[:, k],
        )
        for k, task in enumerate(schema.tasks)
    ]


def _rise(
    plain: RowLosses, orders: np.ndarray, gaps: np.ndarray, units: np.ndarray | None
) -> tuple[float, float, float]:
    """The rise of a loss, and its interval; NaN where no row has the label.

    Args:
        plain: the rows' losses with their own values.
        orders: (repeats, n) whose value each row has.
        gaps: (repeats, n) by how much its loss is more then; 0 where there is no label.
        units: (n,) whose rows stay together.
    """
    weights = plain.weights.numpy()
    whole = float(weights.sum())
    if not whole:
        return math.nan, math.nan, math.nan
    rise = float(np.mean(gaps @ weights)) / whole
    own: np.ndarray = np.zeros(len(weights))
    for order, gap in zip(orders, gaps, strict=True):
        part = weights * (gap - rise) / (whole * len(gaps))
        own += part
        own[order] += part  # row order[i] gave row i its value
    if units is not None:
        own = np.bincount(np.unique(units, return_inverse=True)[1], weights=own)
    if len(own) < 2:
        return rise, math.nan, math.nan
    deviation = math.sqrt(variance(own, np.zeros(len(own))))
    half = float(stdtrit(len(own) - 1, 0.5 + LEVEL / 2)) * deviation
    return rise, rise - half, rise + half
