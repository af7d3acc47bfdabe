"""What changes with the epoch. Every schedule is over the PLANNED epochs 0..epochs-1, so an early
stop does not bend it.
"""

import math


def cosine_lr(base: float, epoch: int, epochs: int) -> float:
    """Learning rate: base * (1 + cos(pi * epoch / epochs)) / 2, from `base` towards 0."""
    assert 0 <= epoch < epochs, f"epoch {epoch} of {epochs}"
    return base * (1 + math.cos(math.pi * epoch / epochs)) / 2


def rate_factor(schedule: str, warmup: int, *, epoch: int, share: float, epochs: int) -> float:
    """What every rate of a retrain is multiplied by: a linear rise, then a constant or half a
    cosine.

    The cosine goes by epochs, as the search's: AutoMTL (section 4.1.4) says "cosine learning rate
    decay" and trains by epochs, and over the PLANNED ones, so that an early stop does not bend it.
    The rise goes by steps, since one epoch of millions of rows is rise enough. A training in
    several stages has an optimiser for each; so each has the whole schedule, over its own planned
    epochs.

    Args:
        schedule: "constant" or "cosine".
        warmup: epochs of the rise; the schedule is over those that are left.
        epoch: from 0.
        share: of the epoch that is done after the step, in (0, 1].
        epochs: planned, above `warmup`.
    """
    if epoch < warmup:
        return (epoch + share) / warmup
    return cosine_lr(1.0, epoch - warmup, epochs - warmup) if schedule == "cosine" else 1.0


def auxiliary_skip(epoch: int, epochs: int) -> float:
    """Weight lambda of the auxiliary skip: 1 - epoch / (epochs - 1), exactly 0 in the last epoch
    (and in an only one).
    """
    return _falling(epoch, epochs)


def jsd_weight(initial: float, epoch: int, epochs: int, warmup: int) -> float:
    """Weight of L_JSD: 0 in the warm-up, then from `initial` in epoch `warmup` down to exactly 0 in
    the last one.

    One epoch after the warm-up takes the end value 0.
    """
    return 0.0 if epoch < warmup else initial * _falling(epoch - warmup, epochs - warmup)


def _falling(step: int, steps: int) -> float:
    """1 -> 0 over steps 0..steps-1; a span of one step takes its end value."""
    assert 0 <= step < steps, f"step {step} of {steps}"
    return 1 - step / (steps - 1) if steps > 1 else 0.0
