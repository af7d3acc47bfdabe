"""The expert candidates: (B, D) -> (B, D) each, and `dense` for hand-made experts (AutoMTL, Table
1).

Legend: B rows, D width, h hidden units, k kernel. Names and arguments are those of
``automtl.spaces.catalogue``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError
from automtl.layers.kernels.matmul import product
from automtl.layers.normalization import BatchNorm, Dropout, Ending, normalisation, normalised_relu
from automtl.spaces.operations import Operation
from automtl.strict import nearest


class BitGate(nn.Module):
    """Bit-level gating x * sigmoid(W x + b) (Huang et al. 2020, GateNet, hidden gate).

    Shape: (B, width_in) -> (B, width_in).
    """

    def __init__(self, *, width_in: int, **ending: Any) -> None:
        super().__init__()
        self.width_out = width_in
        self.linear = nn.Linear(width_in, width_in)
        self.ending = Ending(width_in, **ending)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ending(x * torch.sigmoid(self.linear(x)))
        return out


class MLP(nn.Module):
    """Linear -> BatchNorm -> ReLU -> Linear back to the input's width; no ReLU after the last.

    # DEVIATION: the authors' code ends in a ReLU; it would make every candidate but skip and gate
    non-negative.

    Shape: (B, ...) -> (B, W), the dimensions after the first flattened to W = width_in.
    """

    def __init__(
        self, *, width_in: int, hidden: int, batch_norm: bool = True, **ending: Any
    ) -> None:
        super().__init__()
        self.width_out = width_in
        self.inner = nn.Linear(width_in, hidden)
        self.inner_norm = normalisation(hidden, batch_norm)
        self.outer = nn.Linear(hidden, width_in)
        self.ending = Ending(width_in, batch_norm=batch_norm, **ending)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.inner_norm(self.inner(x.flatten(1))))  # (B, h)
        out: Tensor = self.ending(self.outer(hidden))
        return out


class Convolution(nn.Module):
    """One channel in and out along the feature axis, zero padding (k - 1) / 2, no bias.

    Shape: (B, width_in) -> (B, width_in).
    """

    def __init__(self, *, width_in: int, kernel: int, **ending: Any) -> None:
        super().__init__()
        self.width_out = width_in
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.ending = Ending(width_in, **ending)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ending(self.conv(x.unsqueeze(1)).squeeze(1))
        return out


class Skip(nn.Module):
    """The identity, without BatchNorm or dropout.

    Shape: (B, ...) -> (B, W), the dimensions after the first flattened to W = width_in.
    """

    def __init__(self, *, width_in: int) -> None:
        super().__init__()
        self.width_out = width_in

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Dense(nn.Module):
    """Linear -> BatchNorm -> ReLU -> dropout: one layer of a hand-made expert or of a tower.

    Shape: (B, width_in) -> (B, units).
    """

    def __init__(
        self,
        *,
        width_in: int,
        units: int,
        dropout: float = 0.0,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.width_out = units
        self.linear = nn.Linear(width_in, units)
        self.norm = normalisation(units, batch_norm)
        self.dropout = Dropout(dropout, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        if (
            self.training
            and isinstance(self.norm, BatchNorm)
            and isinstance(self.linear, nn.Linear)
        ):
            return normalised_relu(
                product(x, self.linear.weight), self.linear.bias, self.norm, self.dropout
            )
        return self.dropout.rectified(self.norm(self.linear(x)))


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "gate": lambda argument, **common: BitGate(**common),
    "mlp": lambda argument, **common: MLP(hidden=argument, **common),
    "conv1d": lambda argument, **common: Convolution(kernel=argument, **common),
    "skip": lambda argument, width_in, **ending: Skip(width_in=width_in),
    "dense": lambda argument, **common: Dense(units=argument, **common),
}


def build_operation(
    operation: Operation,
    *,
    width_in: int,
    dropout: float = 0.0,
    batch_norm: bool = True,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """The module of an expert operation, with attribute `width_out`.

    Shape: (B, width_in) -> (B, width_out).

    Args:
        operation: name and argument, legal by the catalogue.
        width_in: width of the input.
        dropout: rate after the closing BatchNorm; `skip` has neither.
        batch_norm: off removes the BatchNorm inside and at the end.
        generator: dropout's source of randomness.

    Raises:
        ConfigError: no such expert operation.
    """
    if operation.name not in BUILDERS:
        raise ConfigError(
            "operation",
            "must be an expert operation",
            repr(operation.name),
            nearest(operation.name, BUILDERS),
        )
    return BUILDERS[operation.name](
        operation.argument,
        width_in=width_in,
        dropout=dropout,
        batch_norm=batch_norm,
        generator=generator,
    )
