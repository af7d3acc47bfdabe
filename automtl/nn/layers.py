"""Normalisation and dropout that the search can steer: both end almost every candidate.

Legend: B rows, W width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.errors import ConfigError, DataError

_WORD = 2**16  # one dropout decision takes 16 random bits


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm1d whose running statistics can be left alone: the alpha step sees other rows than the weights do.

    With ``update_statistics`` off, training still normalises by the batch's own statistics.

    Shape: (B, W) -> (B, W), B >= 2 in training.
    """

    update_statistics: bool = True

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        check_batch(input)
        if self.update_statistics:
            return super().forward(input)
        return functional.batch_norm(input, None, None, self.weight, self.bias, training=True, eps=self.eps)


def check_batch(x: Tensor) -> None:
    """Refuse a training batch that has no variance.

    Raises:
        DataError: fewer than two rows.
    """
    if x.shape[0] < 2:
        raise DataError("batch", "must have at least 2 rows in training", x.shape[0], "merge it into the batch before")


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Within it no BatchNorm of `model`, nor anything else with ``update_statistics``, changes its running statistics.

    Each finds its own setting again after.
    """
    norms: list[Any] = [module for module in model.modules() if hasattr(module, "update_statistics")]
    before = [norm.update_statistics for norm in norms]
    try:
        for norm in norms:
            norm.update_statistics = False
        yield
    finally:
        for norm, setting in zip(norms, before, strict=True):
            norm.update_statistics = setting


class Dropout(nn.Module):
    """Inverted dropout that draws from the passed generator only, its bits in bulk.

    torch's own draws one Bernoulli variable at a time from the global generator, which on a CPU costs more than the layers around it.

    Shape: any -> the same.

    Args:
        rate: share of outputs set to zero, 0 <= rate < 1; rounded to a multiple of 2**-16.
        generator: the source of randomness; needed where rate > 0.

    Raises:
        ConfigError: the rate is out of range, or has no generator.
    """

    def __init__(self, rate: float, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ConfigError("dropout", "must be at least 0 and less than 1", rate)
        if rate and generator is None:
            raise ConfigError("dropout", "needs a generator where the rate is above 0", "none", "pass generator=torch.Generator()")
        self.rate, self.generator = rate, generator

    @property
    def active(self) -> bool:
        """Whether forward drops anything now."""
        return self.training and self.threshold > 0

    @property
    def threshold(self) -> int:
        """How many of the 2**16 equally likely words drop their output."""
        return min(round(self.rate * _WORD), _WORD - 1)

    @property
    def scale(self) -> float:
        """The kept outputs' factor 1 / (1 - rate)."""
        return _WORD / (_WORD - self.threshold)

    def factors(self, shape: torch.Size, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
        """What each output is multiplied by, drawn afresh: 0, or the kept outputs' factor. Shape: (`shape`).

        By arithmetic on the drawn words, since comparing into truth values and back takes five times as long on a CPU.
        """
        assert self.generator is not None
        count = shape.numel()
        words = torch.empty((count + 3) // 4, dtype=torch.int64, device=self.generator.device)
        words.random_(torch.iinfo(torch.int64).min, None, generator=self.generator)  # 64 bits each: four decisions
        first_kept = self.threshold - _WORD // 2  # whole numbers below 2**17, exact in float32
        kept = words.view(torch.int16)[:count].to(torch.float32).sub_(first_kept - 1).clamp_(0, 1)
        return kept.mul_(self.scale).view(shape).to(device, dtype, non_blocking=True)

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return x
        return x * self.factors(x.shape, x.device, x.dtype)

    def rectified(self, x: Tensor) -> Tensor:
        """Dropout after ReLU, in place where it drops: the factors are not negative, so they may come first."""
        if not self.active:
            return torch.relu(x)
        return torch.relu_(x.mul_(self.factors(x.shape, x.device, x.dtype)))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class Ending(nn.Module):
    """What ends a candidate: BatchNorm over its outputs, so that alpha compares outputs of like scale, then dropout.

    Shape: (B, W) -> (B, W).

    Args:
        width: W.
        dropout: rate, 0 <= rate < 1.
        batch_norm: off leaves the outputs as they are.
        generator: dropout's source of randomness.
    """

    def __init__(self, width: int, *, dropout: float = 0.0, batch_norm: bool = True, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.norm = normalisation(width, batch_norm)
        self.dropout = Dropout(dropout, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.norm(x))
        return out


def normalisation(width: int, batch_norm: bool) -> nn.Module:
    """BatchNorm over `width` outputs, or nothing where it is switched off."""
    return BatchNorm(width) if batch_norm else nn.Identity()
