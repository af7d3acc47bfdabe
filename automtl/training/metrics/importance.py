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
    try:
        plain = _losses(net, batch.inputs, batch, schema, device)
        for name, members in _columns(schema).items():
            rises = []
            for _ in range(repeats):
                order = rng.permutation(len(batch))
                mixed = _mixed(batch.inputs, members, torch.from_numpy(order))
                rises.append((order, _losses(net, mixed, batch, schema, device)))
            for k, task in enumerate(schema.tasks):
                known = [(order, losses[k]) for order, losses in rises]
                yield Importance(task.name, name, *_rise(plain[k], known, units))
    finally:
        net.train(training)


def _columns(schema: Schema) -> dict[str, list[tuple[str, int]]]:
    """By field where its values lie in the inputs; an indicator goes with its column."""
    columns: dict[str, list[tuple[str, int]]] = {}
    parts = (("ids", schema.categorical), ("lists", schema.lists), ("dense", schema.numeric))
    for part, fields in parts:
        for number, field in enumerate(fields):
            columns.setdefault(field.indicator_of or field.name, []).append((part, number))
    return columns


def _mixed(inputs: Inputs, members: Sequence[tuple[str, int]], order: Tensor) -> Inputs:
    """The inputs with some columns' values taken from other rows."""
    ids, dense, lists = inputs.ids.clone(), inputs.dense.clone(), list(inputs.lists)
    for part, number in members:
        if part == "lists":
            lists[number] = lists[number][order]
        else:
            column = ids if part == "ids" else dense
            column[:, number] = column[order, number]
    return Inputs(ids, dense, tuple(lists))


def _losses(
    net: nn.Module, inputs: Inputs, batch: Batch, schema: Schema, device: torch.device | None
) -> list[RowLosses]:
    """Per task the loss of each row."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(batch), _SLICE):
            rows = slice(start, start + _SLICE)
            lists = tuple(field[rows] for field in inputs.lists)
            here = Inputs(inputs.ids[rows], inputs.dense[rows], lists)
            parts.append(list(net(here if device is None else here.to(device))))
    outputs = [torch.cat(task).float().cpu().numpy() for task in zip(*parts, strict=True)]
    labels = batch.labels.numpy()
    weights = None if batch.weights is None else batch.weights.numpy()
    return [
        losses_by_row(task, outputs[k], labels[:, k], None if weights is None else weights[:, k])
        for k, task in enumerate(schema.tasks)
    ]


def _rise(
    plain: RowLosses,
    shuffled: Sequence[tuple[np.ndarray, RowLosses]],
    units: np.ndarray | None,
) -> tuple[float, float, float]:
    """The rise of a loss, and its interval; NaN where no row has the label."""
    weights = plain.weights.numpy()
    whole = float(weights.sum())
    if not whole:
        return math.nan, math.nan, math.nan
    # of any value where there is no label
    gaps = [
        (order, np.where(weights > 0, (losses.losses - plain.losses).numpy(), 0.0))
        for order, losses in shuffled
    ]
    rise = float(np.mean([gap @ weights for _, gap in gaps])) / whole
    own: np.ndarray = np.zeros(len(weights))
    for order, gap in gaps:
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
