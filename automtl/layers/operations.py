"""The expert candidates: (B, D) -> (B, D) each, and `dense` for hand-made experts (AutoMTL, Table
1).

Legend: B rows, D width, h hidden units, k kernel. Names and arguments are those of
``automtl.spaces.operations``.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError
from automtl.layers.kernels.matmul import product
from automtl.layers.normalization import (
    BatchNorm,
    ClosingNorm,
    Dropout,
    normalisation,
    normalised_relu,
)
from automtl.spaces.operations import Operation
from automtl.strict import nearest


class BitGate(nn.Module):
    """Bit-level gating: y = x * sigmoid(W x + b), closed by a BatchNorm and dropout.

    Source: T. Huang, Q. She, Z. Wang, J. Zhang, "GateNet: Gating-Enhanced Deep Network for
    Click-Through Rate Prediction", 2020, arXiv:2007.03519, hidden gate.

    Shape: (B, width_in) -> (B, width_in).

    >>> gate, x = mtl.BitGate(width_in=16, batch_norm=False), torch.randn(8, 16)
    >>> y = gate(x)
    >>> y.shape, bool((y.abs() <= x.abs()).all())
    (torch.Size([8, 16]), True)
    >>> nn.Sequential(mtl.BitGate(width_in=16), mtl.MLP(width_in=16, hidden=64))(x).shape
    torch.Size([8, 16])

    Args:
        width_in: W.
        dropout: rate after the closing BatchNorm.
        batch_norm: off leaves BatchNorms out.
        generator: of dropout; None for torch's own.
    """

    def __init__(
        self,
        *,
        width_in: int,
        dropout: float = 0.0,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.width_out = width_in
        self.linear = nn.Linear(width_in, width_in)
        self.ending = ClosingNorm(
            width_in, dropout=dropout, batch_norm=batch_norm, generator=generator
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ending(x * torch.sigmoid(self.linear(x)))
        return out


class MLP(nn.Module):
    """One hidden layer: y = V relu(BatchNorm(U x + a)) + b, back to the input's width, closed by a
    BatchNorm and dropout.

    # DEVIATION: the authors' code ends in a ReLU; it would make every candidate but skip and gate
    non-negative.

    Shape: (B, ...) -> (B, W), the dimensions after the first flattened to W = width_in.

    >>> mlp = mtl.MLP(width_in=80, hidden=32)
    >>> mlp(torch.randn(8, 80)).shape
    torch.Size([8, 80])
    >>> mlp(torch.randn(8, 10, 8)).shape  # over fields
    torch.Size([8, 80])
    >>> mlp.inner.out_features
    32

    Args:
        width_in: W.
        hidden: h.
        dropout: rate after the closing BatchNorm.
        batch_norm: off leaves BatchNorms out.
        generator: of dropout; None for torch's own.
    """

    def __init__(
        self,
        *,
        width_in: int,
        hidden: int,
        dropout: float = 0.0,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.width_out = width_in
        self.inner = nn.Linear(width_in, hidden)
        self.inner_norm = normalisation(hidden, batch_norm)
        self.outer = nn.Linear(hidden, width_in)
        self.ending = ClosingNorm(
            width_in, dropout=dropout, batch_norm=batch_norm, generator=generator
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.inner_norm(self.inner(x.flatten(1))))  # (B, h)
        out: Tensor = self.ending(self.outer(hidden))
        return out


class Convolution(nn.Module):
    """One convolution along the feature axis: y_i = sum_j w_j x_{i + j - (k - 1) / 2}, zeros
    outside, no bias, closed by a BatchNorm and dropout.

    Shape: (B, width_in) -> (B, width_in).

    >>> convolution = mtl.Convolution(width_in=16, kernel=3, batch_norm=False)
    >>> x = torch.randn(8, 16)
    >>> y = convolution(x)
    >>> torch.allclose(y[:, 1], x[:, :3] @ convolution.conv.weight.flatten(), atol=1e-6)
    True
    >>> y.shape
    torch.Size([8, 16])

    Args:
        width_in: W.
        kernel: k, odd.
        dropout: rate after the closing BatchNorm.
        batch_norm: off leaves BatchNorms out.
        generator: of dropout; None for torch's own.
    """

    def __init__(
        self,
        *,
        width_in: int,
        kernel: int,
        dropout: float = 0.0,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.width_out = width_in
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.ending = ClosingNorm(
            width_in, dropout=dropout, batch_norm=batch_norm, generator=generator
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ending(self.conv(x.unsqueeze(1)).squeeze(1))
        return out


class Skip(nn.Module):
    """The identity: y = x, without BatchNorm or dropout.

    Shape: (B, ...) -> (B, W), the dimensions after the first flattened to W = width_in.

    >>> skip, x = mtl.Skip(width_in=80), torch.randn(8, 10, 8)
    >>> torch.equal(skip(x), x.flatten(1))
    True
    >>> skip.width_out
    80
    >>> list(skip.parameters())
    []

    Args:
        width_in: W.
    """

    def __init__(self, *, width_in: int) -> None:
        super().__init__()
        self.width_out = width_in

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Dense(nn.Module):
    """One layer of a hand-made expert or of a tower: y = dropout(relu(BatchNorm(W x + b))).

    Shape: (B, width_in) -> (B, units).

    >>> tower = nn.Sequential(mtl.Dense(width_in=32, units=16, dropout=0.1), nn.Linear(16, 1))
    >>> tower(torch.randn(8, 32)).shape
    torch.Size([8, 1])
    >>> layer = mtl.Dense(width_in=32, units=16)
    >>> bool((layer(torch.randn(8, 32)) >= 0).all())
    True

    Args:
        width_in: of the input.
        units: of the output.
        dropout: rate.
        batch_norm: off leaves BatchNorm out.
        generator: of dropout; None for torch's own.
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


class Chain(nn.Module):
    """Operations in a row.

    Shape: (B, width_in) -> (B, width_out).
    """

    def __init__(self, operations: Sequence[nn.Module], width_out: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(operations)
        self.width_out = width_out

    def forward(self, x: Tensor) -> Tensor:
        for operation in self.operations:
            x = operation(x)
        return x


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
