"""What changes with the epoch. Every schedule is over the PLANNED epochs 0..epochs-1, so an early stop does not bend it."""

import math


def cosine_lr(base: float, epoch: int, epochs: int) -> float:
    """Learning rate: base * (1 + cos(pi * epoch / epochs)) / 2, from `base` towards 0."""
    assert 0 <= epoch < epochs, f"epoch {epoch} of {epochs}"
    return base * (1 + math.cos(math.pi * epoch / epochs)) / 2


def auxiliary_skip(epoch: int, epochs: int) -> float:
    """Weight lambda of the auxiliary skip: 1 - epoch / (epochs - 1), exactly 0 in the last epoch (and in an only one)."""
    return _falling(epoch, epochs)


def jsd_weight(initial: float, epoch: int, epochs: int, warmup: int) -> float:
    """Weight of L_JSD: 0 in the warm-up, then from `initial` in epoch `warmup` down to exactly 0 in the last one.

    One epoch after the warm-up takes the end value 0.
    """
    return 0.0 if epoch < warmup else initial * _falling(epoch - warmup, epochs - warmup)


def _falling(step: int, steps: int) -> float:
    """1 -> 0 over steps 0..steps-1; a span of one step takes its end value."""
    assert 0 <= step < steps, f"step {step} of {steps}"
    return 1 - step / (steps - 1) if steps > 1 else 0.0
