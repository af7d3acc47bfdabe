"""Packed masks against numpy's own bits, and back."""

import numpy as np
import pytest
import torch

from automtl.layers.packing import pack, pack_bits, unpack, unpack_bits


def random_masks(count, shape, share, between, seed=0):
    rng = np.random.default_rng(seed)
    masks = (rng.random((count, *shape)) < share).astype(np.float32)
    soft = (rng.random(masks.shape) < between) & (masks > 0)
    masks[soft] = rng.uniform(0.01, 0.99, soft.sum())
    return torch.from_numpy(rng.normal(size=shape).astype(np.float32)), torch.from_numpy(masks)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100])
def test_bits_go_and_come_back(size):
    bits = torch.from_numpy(np.random.default_rng(size).random(size) < 0.5)
    packed = pack_bits(bits)
    assert packed.dtype == torch.uint8 and len(packed) == -(-size // 8)
    assert sum(int(bit) << (7 - i % 8) for i, bit in enumerate(bits.tolist()) if i < 8) == (
        packed[0] if size else 0
    )
    assert torch.equal(unpack_bits(packed, (size,)), bits)


@pytest.mark.parametrize(("share", "between"), [(0.3, 0.0), (0.3, 0.4), (0.0, 0.0), (1.0, 0.0)])
def test_live_weights_and_masks_come_back_bit_for_bit_and_take_what_the_paper_counts(
    share, between
):
    weight, masks = random_masks(5, (13, 9), share, between)
    packed = pack(weight, masks)
    back, stack = unpack(packed)
    live = (masks != 0).any(0)
    assert torch.equal(stack.float(), masks) and torch.equal(back, torch.where(live, weight, 0.0))
    n, soft = int(live.sum()), int(((masks > 0) & (masks < 1)).sum())
    assert (
        packed["values"].numel() == n
        and packed["masks"].numel() == -(-5 * n // 8)
        and packed["live"].numel() == -(-13 * 9 // 8)
    )
    assert ("parts" in packed) == (soft > 0) and (not soft or packed["parts"].numel() == soft)
    assert stack.dtype == (torch.float32 if soft else torch.bool)
    for mask in masks:
        assert torch.equal(back * stack[0], back * masks[0]) and torch.equal(
            weight * mask, back * mask
        )
