"""Packing of masks, AUC and batches against plain Python, for any shape, ties, weights, ranks and
positions.
"""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from automtl.data.store import Rows
from automtl.data.store.batches import Batches
from automtl.errors import ArtifactError
from automtl.layers.packing import pack, unpack
from automtl.training.metrics.auc import auc
from automtl.training.metrics.gauc import gauc
from tests.fuzz.fuzz import fuzz

FLOATS = st.floats(width=32)  # NaN, infinities and -0 too
ENTRIES = st.sampled_from([0.0, 0.0, 1.0]) | st.floats(0, 1, width=32)


@st.composite
def masked(draw):
    """Weights (O, I) and masks (E, O, I), each mask rounded or not."""
    count, outputs, inputs = (
        draw(st.integers(0, 4)),
        draw(st.integers(0, 9)),
        draw(st.integers(0, 9)),
    )
    weight = draw(arrays.arrays(np.float32, (outputs, inputs), elements=FLOATS))
    entries = draw(st.sampled_from([ENTRIES, st.sampled_from([0.0, 1.0])]))
    masks = draw(arrays.arrays(np.float32, (count, outputs, inputs), elements=entries))
    return torch.from_numpy(weight), torch.from_numpy(masks)


def bits(tensor):
    return tensor.float().numpy().view(np.int32)


@fuzz(case=masked())
def test_masks_and_live_weights_come_back_bit_for_bit(case):
    weight, masks = case
    back, stack = unpack(pack(weight, masks))
    live = (masks.numpy() != 0).any(0) if len(masks) else np.zeros(weight.shape, bool)
    assert np.array_equal(bits(stack), bits(masks))
    assert np.array_equal(bits(back), np.where(live, bits(weight), 0))


DAMAGE = {
    "gone": lambda held: None,
    "shorter": lambda held: held[:-1],
    "longer": lambda held: torch.cat([held, held.new_ones(9)]),
    "folded": lambda held: held.view(1, -1),
    "of another type": lambda held: held.to(torch.int16),
    "huge": lambda held: (
        torch.full_like(held, 2**40)
        if held.dtype == torch.int64
        else held.repeat(3).new_ones(9 + 3 * held.numel())
    ),
    "negative": lambda held: -held.to(torch.int64) - 1,
}


@fuzz(
    case=masked(),
    name=st.sampled_from(["shape", "live", "values", "masks", "between", "parts"]),
    how=st.sampled_from(sorted(DAMAGE)),
)
def test_packed_masks_that_do_not_fit_each_other_are_refused(case, name, how):
    packed = pack(*case)
    held = packed.pop(name, torch.zeros(1, dtype=torch.uint8))
    damaged = DAMAGE[how](held)
    if damaged is not None:
        packed[name] = damaged
    if (how == "shorter" and held.numel() == 0) or (
        name in ("between", "parts") and how == "gone" and "parts" not in pack(*case)
    ):
        return  # as it was
    with pytest.raises(ArtifactError):
        unpack(packed)


SCORES = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 1.0, 1e-45, 3e38, np.inf]) | st.floats(
    -4, 4, width=16
)
WEIGHTS = st.sampled_from([0.0, 1.0, 2.5]) | st.floats(0, 100, width=16)


@st.composite
def scored(draw):
    """Labels, scores with ties, weights with zeros, groups; of any of the number types that callers
    use.
    """
    n = draw(st.integers(1, 14))
    labels = draw(
        arrays.arrays(draw(st.sampled_from(["f4", "i8", "?"])), n, elements=st.integers(0, 1))
    )
    scores = draw(arrays.arrays(draw(st.sampled_from(["f4", "f8"])), n, elements=SCORES))
    return (
        labels,
        scores,
        draw(arrays.arrays("f8", n, elements=WEIGHTS)),
        draw(arrays.arrays("i8", n, elements=st.integers(-2, 2))),
    )


def by_pairs(labels, scores, weights):
    """Every positive against every negative, in fractions."""
    positive, negative = (
        [(scores[i], Fraction(float(weights[i]))) for i in np.flatnonzero(labels == c)]
        for c in (1, 0)
    )
    won = sum(
        (v * w * (2 if p > n else int(p == n)) for p, v in positive for n, w in negative),
        Fraction(0),
    )
    pairs = sum((v * w for _, v in positive for _, w in negative), Fraction(0))
    return won / (2 * pairs) if pairs else None


def same(got, expected):
    return (
        got is None if expected is None else got is not None and abs(got - float(expected)) < 1e-12
    )


@fuzz(case=scored(), chunk=st.sampled_from([1, 3, 2**17]))
def test_auc_equals_brute_force(case, chunk):
    labels, scores, weights, _ = case
    assert same(auc(labels, scores, chunk=chunk), by_pairs(labels, scores, np.ones(len(labels))))
    assert same(auc(labels, scores, weights, chunk=chunk), by_pairs(labels, scores, weights))


@fuzz(case=scored(), chunk=st.sampled_from([1, 3, 2**17]))
def test_grouped_auc_equals_brute_force(case, chunk):
    labels, scores, weights, groups = case
    for shares in (np.ones(len(labels)), weights):
        parts = [
            (by_pairs(labels[at], scores[at], shares[at]), sum(map(Fraction, shares[at].tolist())))
            for at in (groups == g for g in set(groups))
        ]
        total = sum(rows for value, rows in parts if value is not None)
        expected = (
            sum(value * rows for value, rows in parts if value is not None) / total
            if total
            else None
        )
        assert same(
            gauc(labels, scores, groups, None if shares is not weights else weights, chunk=chunk),
            expected,
        )


@fuzz(
    n=st.integers(1, 60),
    size=st.integers(1, 20),
    world=st.integers(1, 4),
    block=st.none() | st.integers(1, 9),
    shuffle=st.booleans(),
    indexed=st.booleans(),
    epoch=st.integers(0, 5),
    start=st.integers(0, 70),
)
def test_batches_give_each_row_once_an_epoch_from_any_position(
    n, size, world, block, shuffle, indexed, epoch, start
):
    world = min(world, n)
    number = np.arange(2 * n)
    rows = Rows(
        number[:, None].astype(np.int32),
        number[:, None].astype(np.float32),
        number[:, None].astype(np.float32),
        None,
    )
    index = np.arange(2 * n)[::-2].copy() if indexed else None
    ranks = [
        Batches(
            rows,
            batch_size=size,
            index=index,
            shuffle=shuffle,
            block=block,
            seed=3,
            rank=r,
            world_size=world,
        )
        for r in range(world)
    ]
    whole = [[batch.rows.tolist() for batch in batches.epoch(epoch)] for batches in ranks]
    assert sorted(row for rank in whole for batch in rank for row in batch) == sorted(
        index if indexed else number
    )
    assert {len(rank) for rank in whole} == {len(ranks[0])} and all(
        batch for rank in whole for batch in rank
    )
    place = start % len(ranks[0])
    for batches, told in zip(ranks, whole, strict=True):
        again = list(batches.epoch(epoch, place))
        assert [batch.rows.tolist() for batch in again] == told[place:]
        assert all(
            batch.inputs.ids[:, 0].tolist() == batch.labels[:, 0].tolist() == batch.rows.tolist()
            for batch in again
        )
