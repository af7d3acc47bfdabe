"""The sums of the fused choice block: MLPs, convolutions, gates and skips of one block, or of
several of the same form, feature-major.

Legend: N blocks, B rows, W width, S candidates of one kind in a block, H hidden units of all MLPs
of a block, k kernel.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import compress
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from automtl.layers.kernels.batch_moments import centre, row_variances
from automtl.layers.kernels.mlp_bank import product_pair
from automtl.layers.kernels.normalised_sum import normalised_sum
from automtl.layers.nested import HiddenUnits
from automtl.layers.normalization import BatchNorm


class Group:
    """The candidates of one kind, with their softmax weights.

    Args:
        blocks: per block its S candidates, each with an `ending`.
        shares: softmax(alpha) of each, (N, S).
    """

    def __init__(self, blocks: Sequence[Sequence[Any]], shares: Tensor) -> None:
        self.blocks, self.shares = blocks, shares.unsqueeze(2)  # (N, S, 1)
        self.modules = [module for block in blocks for module in block]
        self.endings = [module.ending for module in self.modules]
        self.norms: list[BatchNorm] = [ending.norm for ending in self.endings]
        self.dropping = any(ending.dropout.active for ending in self.endings)

    def factor(self) -> Tensor:
        """The factor of each normalised output. Shape: (N, S, W)."""
        return self.shares * self.stacked([norm.weight for norm in self.norms])

    def shift(self) -> Tensor:
        """The shift that is added to it. Shape: (N, S, W)."""
        return self.shares * self.stacked([norm.bias for norm in self.norms])

    def stacked(self, tensors: Sequence[Tensor]) -> Tensor:
        """The candidates' tensors as one. Shape: N * S times (...) -> (N, S, ...)."""
        return torch.stack(list(tensors)).view(len(self.blocks), -1, *tensors[0].shape)

    def add_ended(
        self, base: Tensor, outputs: Tensor, offset: Tensor | None = None, *, running: bool = False
    ) -> Tensor:
        """`base` plus the outputs after their closing BatchNorm, times their softmax weights;
        without their shift.

        Shape: base (N, W, B), outputs (N, S, W, B), offset (N, S, W) left out of the outputs -> (N,
        W, B). `running`: outputs are parts, each candidate's output the sum of those up to its own.
        """
        total, mean, variance = normalised_sum(
            base, outputs, self.factor(), self.norms[0].eps, running=running
        )
        track(self.norms, mean if offset is None else mean + offset, variance, outputs.shape[3])
        return total

    def add_dropped(self, base: Tensor, outputs: Tensor, offset: Tensor) -> Tensor:
        """`add_ended` with its shift and dropout: each candidate's outputs stay apart until they
        are masked.
        """
        outputs = outputs.to(base.dtype)
        flat = outputs.flatten(0, 2).unsqueeze(
            0
        )  # (1, N S W, B): torch normalises its middle dimension
        ended = functional.batch_norm(
            flat,
            None,
            None,
            self.factor().flatten(),
            self.shift().flatten(),
            training=True,
            eps=self.norms[0].eps,
        ).view_as(outputs)
        with torch.no_grad():
            track(
                self.norms, outputs.mean(3) + offset, outputs.var(3, correction=0), outputs.shape[3]
            )
        parts = zip(ended.flatten(0, 1), self.endings, strict=True)
        # drawn as for rows first, like the plain candidate's
        dropped = [ending.dropout(part.t().contiguous()).t() for part, ending in parts]
        return base + self.stacked(dropped).sum(1)


def merged_sum(x: Tensor, groups: Mapping[str, Group], *, skip: Tensor, **products: Any) -> Tensor:
    """All candidates of the groups, in training, and x itself times `skip`.

    Shape: (N, W, B), or (1, W, B) for all -> (N, W, B).

    Args:
        x: the blocks' inputs.
        groups: "mlp", "convolution" and "gate"; one of the first two is not empty.
        skip: weight of x itself, (N,).
        products: the type of the MLPs and gates, and whether hidden units are kept; see
            `product_pair`.
    """
    mlps = groups["mlp"]
    convolutions = groups["convolution"]
    gates = groups["gate"]
    units = [HiddenUnits(block) for block in mlps.blocks]
    layer = LinearLayer(
        x,
        [[m.inner.weight for m in block.owners] for block in units],
        _bands(convolutions, x.shape[1]),
    )
    matrix, shift = _linear_part(layer, convolutions, skip)
    shift = shift + sum(
        group.shift().sum(1) for group in (mlps, gates) if group.modules and not group.dropping
    )
    # BatchNorm removes their biases: a zero gradient, not none, so that weight decay still acts
    if mlps.modules:
        biases: list[Tensor] = [
            bias
            for block in units
            for bias in (*(m.inner.bias for m in block.owners), *block.biases)
        ]
        shift = shift + 0 * torch.cat(biases).sum()
    out = _applied(matrix, layer.centred) + shift.unsqueeze(2)
    if mlps.modules:
        out = _add_mlps(out, layer, mlps, units, **products)
    return gates.add_ended(out, _gated(gates, x.to(products["dtype"]))) if gates.modules else out


class LinearLayer:
    """Rows w of linear layers on centred inputs, with what BatchNorm needs of them.

    Args:
        x: the inputs, (N, W, B) or (1, W, B).
        hidden: per block the matrices of the MLPs' hidden units, (h, W).
        bands: the convolutions as matrices, N times (S * W, W).

    Attributes:
        weights, variances: of the hidden units (N, H, ...) and of the convolutions (N, S * W, ...).
    """

    def __init__(
        self, x: Tensor, hidden: Sequence[Sequence[Tensor]], bands: Sequence[Tensor]
    ) -> None:
        sizes = [sum(map(len, hidden[0])), len(bands[0])]
        weight = torch.cat(
            [rows for block, band in zip(hidden, bands, strict=True) for rows in (*block, band)]
        )
        weight = weight.view(len(bands), -1, weight.shape[1])  # (N, R, W)
        self.centred, self.mean = centre(x)
        self.weights = torch.split(weight, sizes, 1)
        self.variances = torch.split(row_variances(weight, self.centred), sizes, 1)

    def rstd(self, part: int, norms: Sequence[BatchNorm], offset: Tensor | None = None) -> Tensor:
        """1 / sqrt(variance + eps) of the hidden units (0) or convolutions (1), noted in their
        norms' running statistics; (N, .).
        """
        weight, variances = self.weights[part], self.variances[part]
        if any(norm.update_statistics for norm in norms):
            means = (weight.detach() @ self.mean.detach().unsqueeze(2)).squeeze(2)
            track(
                norms,
                means if offset is None else means + offset,
                variances.detach(),
                self.centred.shape[2],
            )
        rstd: Tensor = (variances + norms[0].eps).rsqrt().to(weight.dtype)
        return rstd


def _applied(matrix: Tensor, x: Tensor) -> Tensor:
    """A matrix a block to inputs of their own, or to one for all. Shape: (N, R, W), (N, W, B) or
    (1, W, B) -> (N, R, B).
    """
    return matrix @ x if len(x) > 1 else (matrix.flatten(0, 1) @ x[0]).view(*matrix.shape[:2], -1)


def _linear_part(layer: LinearLayer, convolutions: Group, skip: Tensor) -> tuple[Tensor, Tensor]:
    """Skips and convolutions as one affine map of the centred input. Shape: (N, W, W), (N, W)."""
    width = layer.centred.shape[1]
    matrix = skip.view(-1, 1, 1) * torch.eye(width, dtype=skip.dtype, device=skip.device)
    shift = skip.unsqueeze(1) * layer.mean
    if not convolutions.modules:
        return matrix, shift
    scale = convolutions.factor() * layer.rstd(1, convolutions.norms).view(
        len(matrix), -1, width
    )  # (N, S, W)
    bands = layer.weights[1].view(*scale.shape, width)  # (N, S, W, W)
    return matrix + (scale.unsqueeze(3) * bands).sum(1), shift + convolutions.shift().sum(1)


def _add_mlps(
    base: Tensor, layer: LinearLayer, mlps: Group, units: Sequence[HiddenUnits], **products: Any
) -> Tensor:
    """`base` plus all MLPs. Shape: (N, W, B) -> (N, W, B)."""
    owners = [m for block in units for m in block.owners]
    norms: list[Any] = [m.inner_norm for m in owners]
    inner = torch.cat([m.inner.bias.detach() for m in owners])
    gamma, beta = (
        torch.cat([norm.weight for norm in norms]),
        torch.cat([norm.bias for norm in norms]),
    )
    shape = layer.variances[0].shape  # (N, H)
    rstd = layer.rstd(0, norms, inner.view(shape))
    outer = [second for block in units for second in block.outer]
    outputs = product_pair(
        layer.centred,
        rstd,
        layer.weights[0],
        gamma.view(shape),
        beta.view(shape),
        outer,
        **products,
    )
    offset = mlps.stacked([bias.detach() for block in units for bias in block.biases])
    nested = units[0].nested
    running = nested and units[0].ascending and not mlps.dropping
    if nested and not running:
        outputs = outputs.to(base.dtype).cumsum(1)[:, units[0].rank]
    return (
        mlps.add_dropped(base, outputs, offset)
        if mlps.dropping
        else mlps.add_ended(base, outputs, offset, running=running)
    )


def _gated(gates: Group, x: Tensor) -> Tensor:
    """Inputs times sigmoid(W x + b), in x's type. Shape: (N, W, B) or (1, W, B) -> (N, S, W, B)."""
    weight = gates.stacked([m.linear.weight for m in gates.modules]).to(x.dtype)  # (N, S, W, W)
    bias = gates.stacked([m.linear.bias for m in gates.modules]).to(x.dtype).unsqueeze(3)
    linear = _applied(weight.flatten(1, 2), x).view(*weight.shape[:3], -1)
    return (linear + bias).sigmoid() * x.unsqueeze(1)


def _bands(convolutions: Group, width: int) -> Sequence[Tensor]:
    """Every convolution as a matrix, one below the other, per block. Shape: N times (S * W, W)."""
    count = len(convolutions.blocks)
    kernels = [m.conv.weight.flatten() for m in convolutions.modules]
    if not kernels:
        return [convolutions.shares.new_empty(0, width)] * count
    widest = max(len(kernel) for kernel in kernels)
    padded = torch.stack(
        [functional.pad(kernel, [(widest - len(kernel)) // 2] * 2) for kernel in kernels]
    )  # (N S, k)
    return (
        (padded @ shift_matrices(width, widest, padded.dtype, padded.device))
        .view(count, -1, width)
        .unbind()
    )


@cache
def shift_matrices(width: int, kernel: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Row t moves a vector by t - (kernel - 1) / 2: a convolution's matrix is their sum, times its
    weights. Shape: (k, W * W).
    """
    steps = [
        torch.diag(torch.ones(max(0, width - abs(step))), step)
        for step in range(-(kernel // 2), kernel // 2 + 1)
    ]
    return torch.stack([step[:width, :width].flatten() for step in steps]).to(device, dtype)


@torch.no_grad()
def track(norms: Sequence[BatchNorm], means: Tensor, variances: Tensor, rows: int) -> None:
    """Move the running statistics of `norms` as torch does: by the mean and the UNBIASED variance
    of a batch of `rows`.

    Shape: means and biased variances, the norms' features one after the other.
    """
    moving: list[Any] = [norm for norm in norms if norm.update_statistics]
    if not moving:
        return
    sizes, scale = [norm.num_features for norm in norms], rows / (rows - 1)
    moves = [norm.update_statistics for norm in norms]
    for name, values in (
        ("running_mean", means.flatten()),
        ("running_var", variances.flatten() * scale),
    ):
        parts = torch.split(values.to(getattr(moving[0], name).dtype), sizes)
        torch._foreach_lerp_(
            [getattr(norm, name) for norm in moving],
            list(compress(parts, moves)),
            moving[0].momentum,
        )
    torch._foreach_add_([norm.num_batches_tracked for norm in moving], 1)
