"""Normalisation and dropout that the search can steer: both end almost every candidate.

Legend: B rows, W width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.errors import ConfigError, DataError
from automtl.layers.kernels.bn_relu_dropout import NormalisedReLU

_WORDS = {8: torch.int8, 16: torch.int16}  # random bits of one dropout decision


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm1d whose running statistics can be left alone: the alpha step sees other rows than
    the weights do.

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
        return functional.batch_norm(
            input, None, None, self.weight, self.bias, training=True, eps=self.eps
        )


def check_batch(x: Tensor) -> None:
    """Refuse a training batch that has no variance.

    Raises:
        DataError: fewer than two rows.
    """
    if x.shape[0] < 2:
        raise DataError(
            "batch",
            "must have at least 2 rows in training",
            x.shape[0],
            "merge it into the batch before",
        )


def tracking(model: nn.Module) -> list[nn.Module]:
    """The modules of `model` that `frozen_statistics` freezes; in a supernet finding them takes
    longer than freezing them.
    """
    return [module for module in model.modules() if hasattr(module, "update_statistics")]


@contextmanager
def frozen_statistics(model: nn.Module | Sequence[nn.Module]) -> Iterator[None]:
    """Within it no BatchNorm of `model`, nor anything else with ``update_statistics``, changes its
    running statistics.

    Each finds its own setting again after.

    Args:
        model: a network, or what `tracking` found in one.
    """
    norms: list[Any] = tracking(model) if isinstance(model, nn.Module) else list(model)
    before = [norm.update_statistics for norm in norms]
    try:
        for norm in norms:
            norm.update_statistics = False
        yield
    finally:
        for norm, setting in zip(norms, before, strict=True):
            norm.update_statistics = setting


class Dropout(nn.Module):
    """Inverted dropout that draws from the passed generator, its bits in bulk.

    torch's own draws one Bernoulli variable at a time, which on a CPU costs more than the layers
    around it.

    Shape: any -> the same.

    Args:
        rate: share of outputs set to zero, 0 <= rate < 1; rounded to a multiple of 2**-8 where
            neither it nor 1 - rate moves by more than 1%, else of 2**-16. The kept outputs' factor
            is the rounded rate's: expectations stay exact.
        generator: the source of randomness; None for torch's own.

    Raises:
        ConfigError: the rate is out of range.
    """

    def __init__(self, rate: float, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ConfigError("dropout", "must be at least 0 and less than 1", rate)
        self.rate, self.generator = rate, generator
        near = abs(_dropping(rate, 8) / 2**8 - rate) <= min(rate, 1 - rate) / 100
        self.bits = 8 if near else 16
        self.threshold = _dropping(rate, self.bits)
        self.scale = 2**self.bits / (2**self.bits - self.threshold)

    @property
    def active(self) -> bool:
        """Whether forward drops anything now."""
        return self.training and self.threshold > 0

    def keep_mask(self, shape: torch.Size, device: torch.device) -> Tensor:
        """1 for each output that is kept, 0 for each that is dropped, drawn afresh. Shape:
        (`shape`), in small whole numbers.

        In place of the drawn words: comparing into truth values takes twenty times as long on a
        CPU.
        """
        count, per_draw = shape.numel(), 64 // self.bits
        source = device if self.generator is None else self.generator.device
        words = torch.empty(-(-count // per_draw), dtype=torch.int64, device=source)
        words.random_(torch.iinfo(torch.int64).min, None, generator=self.generator)  # 64 bits each
        mask = words.view(_WORDS[self.bits])[:count].ge_(self.threshold - 2 ** (self.bits - 1))
        return mask.view(shape).to(device, non_blocking=True)

    def factors(
        self, shape: torch.Size, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """The factor of each output, drawn afresh: 0 where it is dropped, else `scale`. Shape:
        (`shape`).
        """
        return self.keep_mask(shape, device).to(dtype).mul_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return x
        return x * self.factors(x.shape, x.device, x.dtype)

    def rectified(self, x: Tensor) -> Tensor:
        """Dropout after ReLU, in place where it drops: the factors are not negative, so they may
        come first.
        """
        if not self.active:
            return torch.relu(x)
        return torch.relu_(x.mul_(self.factors(x.shape, x.device, x.dtype)))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def _dropping(rate: float, bits: int) -> int:
    """How many of the 2**bits equally likely words drop their output."""
    words: int = 2**bits
    return min(round(rate * words), words - 1)


class ClosingNorm(nn.Module):
    """The end of a candidate: BatchNorm over its outputs, so that alpha compares outputs of like
    scale, then dropout.

    # DEVIATION: AutoMTL's paper names no BatchNorm here; its authors' code has one.

    Shape: (B, W) -> (B, W).

    Args:
        width: W.
        dropout: rate, 0 <= rate < 1.
        batch_norm: off leaves the outputs as they are.
        generator: dropout's source of randomness.
    """

    def __init__(
        self,
        width: int,
        *,
        dropout: float = 0.0,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.norm = normalisation(width, batch_norm)
        self.dropout = Dropout(dropout, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.norm(x))
        return out


def normalisation(width: int, batch_norm: bool) -> nn.Module:
    """BatchNorm over `width` outputs, or nothing where it is switched off."""
    return BatchNorm(width) if batch_norm else nn.Identity()


def normalised_relu(z: Tensor, offset: Tensor, norm: BatchNorm, dropout: Dropout) -> Tensor:
    """`dropout(relu(norm(z + offset)))` in training. Shape: (B, W), (W,) -> (B, W).

    Raises:
        DataError: fewer than two rows.
    """
    check_batch(z)
    mask = dropout.keep_mask(z.shape, z.device) if dropout.active else None
    scale = 1.0 if mask is None else dropout.scale
    out: Tensor = NormalisedReLU.apply(  # type: ignore[no-untyped-call]
        norm, mask, scale, z, norm.weight, norm.bias, offset
    )
    return out
