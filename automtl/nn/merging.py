"""What the fused choice block sums: MLPs, convolutions, gates and skips of one block, feature-major.

Legend: B rows, W width, S candidates of one kind, H hidden units of all MLPs, k kernel.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import compress
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from automtl.nn.folding import centre, normalised_sum, product_pair, row_variances
from automtl.nn.layers import BatchNorm
from automtl.nn.nested import HiddenUnits


class Group:
    """The candidates of one kind in a block, with their softmax weights.

    Args:
        modules: S candidates, each with an `ending`.
        shares: softmax(alpha) of each.
    """

    def __init__(self, modules: Sequence[Any], shares: Sequence[Tensor]) -> None:
        self.modules = list(modules)
        self.shares = torch.stack(list(shares)).unsqueeze(1) if shares else torch.empty(0)  # (S, 1)
        self.endings = [module.ending for module in modules]
        self.norms: list[BatchNorm] = [ending.norm for ending in self.endings]
        self.dropping = any(ending.dropout.active for ending in self.endings)

    def factor(self) -> Tensor:
        """What multiplies each normalised output. Shape: (S, W)."""
        return self.shares * torch.stack([norm.weight for norm in self.norms])

    def shift(self) -> Tensor:
        """What is added to it. Shape: (S, W)."""
        return self.shares * torch.stack([norm.bias for norm in self.norms])

    def add_ended(self, base: Tensor, outputs: Tensor, offset: Tensor | None = None, *, running: bool = False) -> Tensor:
        """`base` plus the outputs after their closing BatchNorm, times their softmax weights; without their shift.

        Shape: base (W, B), outputs (S, W, B), offset (S, W) left out of the outputs -> (W, B). `running`: outputs are parts, each
        candidate's output the sum of those up to its own.
        """
        total, mean, variance = normalised_sum(base, outputs, self.factor(), self.norms[0].eps, running=running)
        track(self.norms, mean if offset is None else mean + offset, variance, outputs.shape[2])
        return total

    def add_dropped(self, base: Tensor, outputs: Tensor, offset: Tensor) -> Tensor:
        """`add_ended` with its shift and dropout: each candidate's outputs stay apart until they are masked."""
        outputs = outputs.to(base.dtype)
        flat = outputs.flatten(0, 1).unsqueeze(0)  # (1, S W, B): torch normalises its middle dimension
        ended = functional.batch_norm(
            flat, None, None, self.factor().flatten(), self.shift().flatten(), training=True, eps=self.norms[0].eps
        ).view_as(outputs)
        with torch.no_grad():
            track(self.norms, outputs.mean(2) + offset, outputs.var(2, correction=0), outputs.shape[2])
        for part, ending in zip(ended, self.endings, strict=True):
            base = base + ending.dropout(part.t().contiguous()).t()  # drawn as for rows first, like the plain candidate's
        return base


def merged_sum(x: Tensor, groups: Mapping[str, Group], *, skip: Tensor, **products: Any) -> Tensor:
    """All candidates of the groups, in training, and x itself times `skip`.

    Shape: (W, B) -> (W, B).

    Args:
        x: the block's input.
        groups: "mlp", "convolution" and "gate"; one of the first two is not empty.
        skip: weight of x itself, a number.
        products: the type of the MLPs' products, and whether their hidden units are kept; see `product_pair`.
    """
    mlps, convolutions, gates = groups["mlp"], groups["convolution"], groups["gate"]
    units = HiddenUnits(mlps.modules)
    layer = LinearLayer(x, [*(m.inner.weight for m in units.owners), *_bands(convolutions.modules)])
    rows = len(layer.weight) - len(convolutions.modules) * len(x)
    matrix, shift = _linear_part(layer, slice(rows, None), convolutions, skip)
    shift = shift + sum(group.shift().sum(0) for group in (mlps, gates) if group.modules and not group.dropping)
    if mlps.modules:  # BatchNorm removes their biases: a zero gradient, not none, so that weight decay still acts
        shift = shift + 0 * torch.cat([*(m.inner.bias for m in units.owners), *units.biases]).sum()
    out = torch.addmm(shift.unsqueeze(1), matrix, layer.centred)
    if mlps.modules:
        out = _add_mlps(out, layer, slice(0, rows), mlps, units, **products)
    if gates.modules:
        out = gates.add_ended(out, torch.stack([_gated(m.linear, x) for m in gates.modules]))
    return out


class LinearLayer:
    """Rows w of a linear layer on centred input, with what BatchNorm needs of them.

    Args:
        x: the input, (W, B).
        weights: matrices (., W), stacked to R rows.
    """

    def __init__(self, x: Tensor, weights: Sequence[Tensor]) -> None:
        self.weight = torch.cat(list(weights))  # (R, W)
        self.centred, self.mean = centre(x)  # (W, B), (W,)
        self.means = self.weight.detach() @ self.mean.detach()  # (R,)
        self.variances = row_variances(self.weight, self.centred)  # (R,)

    def rstd(self, rows: slice, norms: Sequence[BatchNorm], offset: Tensor | None = None) -> Tensor:
        """1 / sqrt(variance + eps) of some rows, noted in their norms' running statistics. Shape: (rows,)."""
        means, variances = self.means[rows], self.variances[rows]
        track(norms, means if offset is None else means + offset, variances.detach(), self.centred.shape[1])
        rstd: Tensor = (variances + norms[0].eps).rsqrt().to(self.weight.dtype)
        return rstd


def _linear_part(layer: LinearLayer, rows: slice, convolutions: Group, skip: Tensor) -> tuple[Tensor, Tensor]:
    """Skips and convolutions as one affine map of the centred input. Shape: (W, W), (W,)."""
    width = len(layer.centred)
    matrix = skip * torch.eye(width, dtype=skip.dtype, device=skip.device)
    shift = skip * layer.mean
    if not convolutions.modules:
        return matrix, shift
    scale = convolutions.factor() * layer.rstd(rows, convolutions.norms).view(-1, width)  # (S, W)
    bands = layer.weight[rows].view(-1, width, width)  # (S, W, W)
    return matrix + (scale.unsqueeze(2) * bands).sum(0), shift + convolutions.shift().sum(0)


def _add_mlps(base: Tensor, layer: LinearLayer, rows: slice, mlps: Group, units: HiddenUnits, **products: Any) -> Tensor:
    """`base` plus all MLPs. Shape: (W, B) -> (W, B)."""
    norms: list[Any] = [m.inner_norm for m in units.owners]
    rstd = layer.rstd(rows, norms, torch.cat([m.inner.bias.detach() for m in units.owners]))
    gamma, beta = torch.cat([norm.weight for norm in norms]), torch.cat([norm.bias for norm in norms])
    outputs = product_pair(layer.centred, rstd, layer.weight[rows], gamma, beta, units.outer, **products)
    offset = torch.stack([bias.detach() for bias in units.biases])
    running = units.nested and units.ascending and not mlps.dropping
    if units.nested and not running:
        outputs = outputs.to(base.dtype).cumsum(0)[units.rank]
    return mlps.add_dropped(base, outputs, offset) if mlps.dropping else mlps.add_ended(base, outputs, offset, running=running)


def _gated(linear: Any, x: Tensor) -> Tensor:
    """Input times sigmoid(W x + b). Shape: (W, B) -> (W, B)."""
    return x * torch.addmm(linear.bias.unsqueeze(1), linear.weight, x).sigmoid()


def _bands(convolutions: Sequence[Any]) -> list[Tensor]:
    """Every convolution as a matrix, stacked: (S * W, W) alone in a list; empty without convolutions."""
    if not convolutions:
        return []
    kernels, width = [m.conv.weight.flatten() for m in convolutions], convolutions[0].width_out
    widest = max(len(kernel) for kernel in kernels)
    padded = torch.stack([functional.pad(kernel, [(widest - len(kernel)) // 2] * 2) for kernel in kernels])  # (S, k)
    return [(padded @ shift_matrices(width, widest, padded.dtype, padded.device)).view(-1, width)]


@cache
def shift_matrices(width: int, kernel: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Row t moves a vector by t - (kernel - 1) / 2: a convolution's matrix is their sum, times its weights. Shape: (k, W * W)."""
    steps = [torch.diag(torch.ones(max(0, width - abs(step))), step) for step in range(-(kernel // 2), kernel // 2 + 1)]
    return torch.stack([step[:width, :width].flatten() for step in steps]).to(device, dtype)


@torch.no_grad()
def track(norms: Sequence[BatchNorm], means: Tensor, variances: Tensor, rows: int) -> None:
    """Move the running statistics of `norms` as torch does: by the mean and the UNBIASED variance of a batch of `rows`.

    Shape: means and biased variances, the norms' features one after the other.
    """
    moving: list[Any] = [norm for norm in norms if norm.update_statistics]
    if not moving:
        return
    sizes, scale = [norm.num_features for norm in norms], rows / (rows - 1)
    kept = [norm.update_statistics for norm in norms]
    for name, values in (("running_mean", means.flatten()), ("running_var", variances.flatten() * scale)):
        parts = torch.split(values.to(getattr(moving[0], name).dtype), sizes)
        torch._foreach_lerp_([getattr(norm, name) for norm in moving], list(compress(parts, kept)), moving[0].momentum)
    torch._foreach_add_([norm.num_batches_tracked for norm in moving], 1)
