"""The numerics of the fused choice block: BatchNorm folded into products by second moments.

A hidden layer z = W x + b is linear in x, so over a batch its means and variances follow from those of x: E z = W m + b and
var z_j = w_j^T C w_j. With x centred, BatchNorm(z)_j = gamma_j r_j w_j . (x - m) + beta_j, r_j = 1 / sqrt(var z_j + eps): one
product with folded weights. Nothing then needs the whole batch of hidden units, so they are made for some hundred rows at
a time, in cache, and kept for the gradient or made again.

Everything here is feature-major, rows last: segments of hidden units are contiguous, and so are sums over the batch.
Legend: B rows, D width, H hidden units of all candidates, S candidates (segments of H).
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK_BYTES = 4 * 2**20  # of hidden units at a time: two of them stay in a processor's cache


class Centre(torch.autograd.Function):
    """x less its mean over the batch, and that mean; subtracted twice, as a float32 mean far from zero is off by more than x's steps.

    Shape: (D, B) -> (D, B), (D,).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(1)
        centred = x - mean.unsqueeze(1)
        rest = centred.mean(1)
        return centred.sub_(rest.unsqueeze(1)), mean + rest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_centred: Tensor, to_mean: Tensor) -> Tensor:
        return to_centred + (to_mean / to_centred.shape[1] - to_centred.mean(1)).unsqueeze(1)


class RowVariances(torch.autograd.Function):
    """w^T C w for each row w of `weight`, C the covariance of x; in float64, since near-equal numbers cancel in it.

    Shape: weight (H, D), centred (D, B) -> (H,), float64, biased (divided by B), at least 0.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, centred: Tensor) -> Tensor:
        wide = centred.double()
        covariance = wide @ wide.t() / centred.shape[1]
        wide = weight.double()
        projected = wide @ covariance  # (H, D)
        ctx.save_for_backward(weight, centred, projected.to(weight.dtype))
        variances: Tensor = torch.linalg.vecdot(projected, wide).clamp_(min=0)
        return variances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weight, centred, projected = ctx.saved_tensors
        slope = 2 * gradient.to(weight.dtype).unsqueeze(1)  # (H, 1)
        to_weight = slope * projected if ctx.needs_input_grad[0] else None
        pulled = weight.t() @ (slope * weight) / centred.shape[1]  # (D, D)
        return to_weight, pulled @ centred if ctx.needs_input_grad[1] else None


class ProductPair(torch.autograd.Function):
    """o_s = V_s relu(gamma r (W_s x) + beta) for every candidate s, x centred; in chunks of rows, products in `dtype`.

    The second bias is left to the caller: the BatchNorm that follows removes it.

    Shape: centred (D, B); rstd, gamma, beta (H,); weight W (H, D); outer V_s (D, h_s), sum of h_s = H -> (S, D, B) in `dtype`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        keep: bool,
        dtype: torch.dtype,
        centred: Tensor,
        rstd: Tensor,
        weight: Tensor,
        gamma: Tensor,
        beta: Tensor,
        *outer: Tensor,
    ) -> Tensor:
        pair = _Pair(rstd, weight, gamma, beta, dtype, outer)
        out = centred.new_empty(len(outer), centred.shape[0], centred.shape[1], dtype=dtype)
        kept = []
        for columns in pair.chunks(centred.shape[1]):
            hidden = pair.hidden(centred[:, columns].to(dtype), fresh=keep)
            for index, (second, segment) in enumerate(zip(pair.outer, pair.segments, strict=True)):
                torch.mm(second, hidden[segment], out=out[index, :, columns])
            if keep:
                kept.append(hidden)
        ctx.dtype, ctx.count = dtype, len(outer)
        ctx.save_for_backward(centred, rstd, weight, gamma, beta, *outer, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        centred, rstd, weight, gamma, beta = ctx.saved_tensors[:5]
        outer, kept = ctx.saved_tensors[5 : 5 + ctx.count], ctx.saved_tensors[5 + ctx.count :]
        pair = _Pair(rstd, weight, gamma, beta, ctx.dtype, outer)
        sums = _Sums(weight, beta, outer, for_weights=any(ctx.needs_input_grad[4:]))
        to_centred = torch.empty_like(centred)
        back = pair.folded.t().contiguous()  # (D, H)
        for number, columns in enumerate(pair.chunks(centred.shape[1])):
            x, step = centred[:, columns].to(ctx.dtype), gradient[:, :, columns]
            hidden = kept[number] if kept else pair.hidden(x)
            to_hidden = pair.to_hidden(step, hidden)
            _product(back, to_hidden, to_centred[:, columns])
            sums.add(x, step, hidden, to_hidden, pair.segments)
        return None, None, to_centred, *sums.gradients(rstd, weight, gamma)


class _Pair:
    """The folded weights of a `ProductPair` and its two steps on one chunk of n rows."""

    def __init__(
        self, rstd: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, dtype: torch.dtype, outer: tuple[Tensor, ...]
    ) -> None:
        self.folded = (weight * (gamma * rstd).unsqueeze(1)).to(dtype)  # (H, D)
        self.shift = beta.to(dtype).unsqueeze(1)  # (H, 1)
        self.outer = [second.to(dtype) for second in outer]
        self.segments: list[slice] = []
        for second in outer:
            start = self.segments[-1].stop if self.segments else 0
            self.segments.append(slice(start, start + second.shape[1]))

    def chunks(self, rows: int) -> list[slice]:
        """Rows per pass: as many as keep the hidden units in cache; all of them on a device that wants large products."""
        hidden, width = self.folded, len(self.folded)
        size = rows if hidden.device.type != "cpu" else max(64, _CHUNK_BYTES // (width * hidden.element_size()) // 64 * 64)
        return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]

    def hidden(self, x: Tensor, *, fresh: bool = False) -> Tensor:
        """Folded layer and ReLU. Shape: (D, n) -> (H, n)."""
        shape = (len(self.folded), x.shape[1])
        out = x.new_empty(shape) if fresh else scratch("hidden", shape, x)
        return torch.mm(self.folded, x, out=out).add_(self.shift).relu_()  # addmm would first fill `out`, far from the cache

    def to_hidden(self, gradient: Tensor, hidden: Tensor) -> Tensor:
        """Gradient before the ReLU. Shape: (S, D, n), (H, n) -> (H, n)."""
        out = scratch("to_hidden", hidden.shape, hidden)
        for index, (second, segment) in enumerate(zip(self.outer, self.segments, strict=True)):
            torch.mm(second.t(), gradient[index], out=out[segment])
        return torch.ops.aten.threshold_backward.grad_input(out, hidden, 0, grad_input=out)  # type: ignore[no-any-return]


class _Scratch(threading.local):
    """Memory for intermediate results of one chunk: on a CPU, fresh pages cost more than the products that fill them."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of `shape` with `like`'s type and device; the next call of the same name overwrites it."""
        if like.device.type != "cpu":
            return like.new_empty(shape)
        size = math.prod(shape)
        buffer = self.buffers.get((name, like.dtype))
        if buffer is None or buffer.numel() < size:
            buffer = self.buffers[name, like.dtype] = like.new_empty(size)
        return buffer[:size].view(shape)


scratch = _Scratch()


def _product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Write left @ right to `out`, which may be of a wider type."""
    if out.dtype == left.dtype:
        torch.mm(left, right, out=out)
    else:
        out.copy_(left @ right)


class _Sums:
    """Sums over the batch that a `ProductPair`'s gradients are made of.

    With u = W x: T = sum_b dz x^T gives those of W, gamma and r. The alpha step needs r's alone, and there gamma r u = z - beta with
    dz = 0 wherever relu(z) differs from z, so sum_b dz (relu(z) - beta) does: two sums instead of two products.
    """

    def __init__(self, weight: Tensor, beta: Tensor, outer: tuple[Tensor, ...], *, for_weights: bool) -> None:
        self.beta, self.count = beta, len(outer)
        self.plain = torch.zeros_like(beta)  # (H,): sum dz
        self.scaled = torch.zeros_like(beta)  # (H,): sum dz (z - beta)
        self.product = torch.zeros_like(weight) if for_weights else None  # (H, D): T
        self.outer = [torch.zeros_like(second) for second in outer] if for_weights else []

    def add(self, x: Tensor, step: Tensor, hidden: Tensor, to_hidden: Tensor, segments: list[slice]) -> None:
        """Add one chunk. Shape: x (D, n), step (S, D, n), hidden and its gradient (H, n)."""
        self.plain += to_hidden.sum(1)  # with `dtype` torch would copy it all first; it adds in float32 inside as it is
        if self.product is None:
            self.scaled += torch.mul(to_hidden, hidden, out=to_hidden).sum(1)  # in place: it is of no more use
            return
        self.product += to_hidden @ x.t()
        for index, (total, segment) in enumerate(zip(self.outer, segments, strict=True)):
            total += step[index] @ hidden[segment].t()

    def gradients(self, rstd: Tensor, weight: Tensor, gamma: Tensor) -> tuple[Any, ...]:
        """Of rstd, weight, gamma, beta and each outer weight; None for all but the first in the alpha step."""
        if self.product is None:
            return (self.scaled - self.beta * self.plain) / rstd, None, None, None, *[None] * self.count
        along = torch.linalg.vecdot(weight, self.product)  # (H,): sum dz u
        return gamma * along, (gamma * rstd).unsqueeze(1) * self.product, rstd * along, self.plain, *self.outer


class NormalisedSum(torch.autograd.Function):
    """base + sum_s factor_s * (o_s - mean o_s) / sqrt(var o_s + eps), with the batch's means and biased variances beside it.

    All candidates at once, in `base`'s type; o_s is centred anew for the gradient. `running`: the outputs are parts p_s, and o_s is
    the sum of p_1 to p_s.

    Shape: base (D, B), outputs (S, D, B), factor (S, D) -> (D, B), and without gradient means (S, D), variances (S, D).
    """

    @staticmethod
    def forward(ctx: Any, base: Tensor, outputs: Tensor, factor: Tensor, eps: float, running: bool) -> tuple[Tensor, Tensor, Tensor]:
        whole = outputs.cumsum(0, dtype=base.dtype) if running else outputs
        mean = whole.mean(2, dtype=base.dtype)
        centred = _centred(whole, mean)
        variance = torch.linalg.vecdot(centred, centred) / base.shape[1]
        rstd = (variance + eps).rsqrt()
        total = base + centred.mul_((factor * rstd).unsqueeze(2)).sum(0)
        ctx.running = running
        ctx.save_for_backward(outputs, factor, mean, rstd)
        ctx.mark_non_differentiable(mean, variance)
        return total, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        outputs, factor, mean, rstd = ctx.saved_tensors
        centred = _centred(outputs.cumsum(0, dtype=mean.dtype) if ctx.running else outputs, mean)
        to_factor = rstd * torch.linalg.vecdot(centred, gradient)
        slope, along = factor * rstd, -rstd * to_factor / gradient.shape[1]
        balanced = gradient - gradient.mean(1, keepdim=True)  # (D, B)
        to_outputs = centred.mul_(along.unsqueeze(2)).add_(balanced).mul_(slope.unsqueeze(2))
        parts = to_outputs.flip(0).cumsum_(0).flip(0) if ctx.running else to_outputs  # a part acts on its own output and those after it
        return gradient, parts.to(outputs.dtype, copy=True), to_factor, None, None


def _centred(outputs: Tensor, mean: Tensor) -> Tensor:
    """Outputs less their means, in scratch memory of the means' type. Shape: (S, D, B), (S, D) -> (S, D, B)."""
    return torch.sub(outputs, mean.unsqueeze(2), out=scratch("centred", outputs.shape, mean))


def centre(x: Tensor) -> tuple[Tensor, Tensor]:
    """See `Centre`."""
    return Centre.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def row_variances(weight: Tensor, centred: Tensor) -> Tensor:
    """See `RowVariances`."""
    return RowVariances.apply(weight, centred)  # type: ignore[no-any-return, no-untyped-call]


def product_pair(
    centred: Tensor,
    rstd: Tensor,
    weight: Tensor,
    gamma: Tensor,
    beta: Tensor,
    outer: Sequence[Tensor],
    *,
    dtype: torch.dtype,
    keep: bool = True,
) -> Tensor:
    """See `ProductPair`. `keep` holds the hidden units for the gradient: a quarter more speed for three times the memory."""
    return ProductPair.apply(keep, dtype, centred, rstd, weight, gamma, beta, *outer)  # type: ignore[no-any-return, no-untyped-call]


def normalised_sum(base: Tensor, outputs: Tensor, factor: Tensor, eps: float, *, running: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """See `NormalisedSum`."""
    return NormalisedSum.apply(base, outputs, factor, eps, running)  # type: ignore[no-any-return, no-untyped-call]
