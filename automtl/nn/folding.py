"""The numerics of the fused choice block: BatchNorm folded into products by second moments.

A hidden layer z = W x + b is linear in x, so over a batch its means and variances follow from those of x: E z = W m + b and
var z_j = w_j^T C w_j. With x centred, BatchNorm(z)_j = gamma_j r_j w_j . (x - m) + beta_j, r_j = 1 / sqrt(var z_j + eps): one
product with folded weights. Nothing then needs the whole batch of hidden units, so they are made for some hundred rows at
a time, in cache, and kept for the gradient or made again.

Everything here is feature-major, rows last: segments of hidden units are contiguous, and so are sums over the batch. Several
choice blocks go side by side, each on an input of its own: what is large is made for one after the other, to stay in cache.
Legend: N blocks, B rows, D width, H hidden units of all candidates, S candidates (segments of H).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from automtl.nn.products import rectified_times, times
from automtl.nn.scratch import scratch

_CHUNK_BYTES = 16 * 2**20  # of hidden units at a time: two of them stay near a processor's shared cache


class ProductPair(torch.autograd.Function):
    """o_s = V_s relu(gamma r (W_s x) + beta) for every candidate s, x centred; in chunks of rows, products in `dtype`.

    The second bias is left to the caller: the BatchNorm that follows removes it.

    Shape: centred (N, D, B), or (1, D, B) for all; rstd, gamma, beta (N, H); weight W (N, H, D); outer N times V_s (D, h_s), sum of
    h_s = H -> (N, S, D, B) in `dtype`.
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
        folded = weight.new_empty(*weight.shape[:2], weight.shape[2] + 1, dtype=dtype)
        torch.mul(weight, (gamma * rstd).unsqueeze(2), out=folded[:, :, :-1])
        folded[:, :, -1] = beta
        low, seconds = _with_ones(centred, dtype), [second.to(dtype) for second in outer]
        pairs = _pairs(folded, seconds)
        out = centred.new_empty(len(pairs), len(pairs[0].outer), *centred.shape[1:], dtype=dtype)
        kept = []
        for n, pair in enumerate(pairs):
            for columns in pair.chunks(centred.shape[2]):
                hidden = pair.hidden(low[n % len(low), :, columns])
                for index, (second, segment) in enumerate(zip(pair.outer, pair.segments, strict=True)):
                    times(second, hidden[segment], out=out[n, index, :, columns])
                if keep:
                    kept.append(hidden)
        ctx.count = len(outer)
        ctx.save_for_backward(centred, folded, rstd, weight, gamma, beta, *seconds, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        centred, folded, rstd, weight, gamma, beta = ctx.saved_tensors[:6]
        seconds, kept = ctx.saved_tensors[6 : 6 + ctx.count], list(ctx.saved_tensors[6 + ctx.count :])
        pairs = _pairs(folded, seconds)
        sums = _Sums(weight, beta, seconds, for_weights=any(ctx.needs_input_grad[4:]))
        low, to_centred = _with_ones(centred, folded.dtype), torch.zeros_like(centred)
        for n, pair in enumerate(pairs):
            back, shared = pair.folded[:, :-1].t().contiguous(), n % len(low)  # (D, H)
            for columns in pair.chunks(centred.shape[2]):
                x, step = low[shared, :, columns].contiguous(), gradient[n, :, :, columns].contiguous()
                hidden = kept.pop(0) if kept else pair.hidden(x)
                to_hidden = pair.to_hidden(step, hidden)
                to_centred[shared, :, columns] += times(back, to_hidden)
                sums.add(n, x[:-1], step, hidden, to_hidden, pair.segments)
        return None, None, to_centred, *sums.gradients(rstd, weight, gamma)


def _pairs(folded: Tensor, seconds: Sequence[Tensor]) -> list["_Pair"]:
    """One `_Pair` a block. Shape: (N, H, D + 1), N times (D, h_s)."""
    count = len(seconds) // len(folded)
    return [_Pair(rows, seconds[n * count : (n + 1) * count]) for n, rows in enumerate(folded)]


def _with_ones(centred: Tensor, dtype: torch.dtype) -> Tensor:
    """The inputs and one more that is always 1: what it is multiplied by is the shift. Shape: (N, D, B) -> (N, D + 1, B)."""
    count, width, rows = centred.shape
    whole = centred.new_ones(count, width + 1, rows, dtype=dtype)
    whole[:, :width] = centred
    return whole


class _Pair:
    """The folded weights of one block of a `ProductPair` and its two steps on one chunk of n rows."""

    def __init__(self, folded: Tensor, outer: Sequence[Tensor]) -> None:
        self.folded, self.outer = folded, outer  # (H, D + 1), S times (D, h_s)
        self.segments: list[slice] = []
        for second in outer:
            start = self.segments[-1].stop if self.segments else 0
            self.segments.append(slice(start, start + second.shape[1]))

    def chunks(self, rows: int) -> list[slice]:
        """Rows per pass: as many as keep the hidden units in cache; all of them on a device that wants large products."""
        hidden, width = self.folded, len(self.folded)
        size = rows if hidden.device.type != "cpu" else max(64, _CHUNK_BYTES // (width * hidden.element_size()) // 64 * 64)
        return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]

    def hidden(self, x: Tensor) -> Tensor:
        """Folded layer and ReLU. Shape: (D + 1, n) -> (H, n)."""
        return rectified_times(self.folded, x.contiguous())

    def to_hidden(self, gradient: Tensor, hidden: Tensor) -> Tensor:
        """Gradient before the ReLU. Shape: (S, D, n), (H, n) -> (H, n)."""
        out = scratch("to_hidden", hidden.shape, hidden)
        for index, (second, segment) in enumerate(zip(self.outer, self.segments, strict=True)):
            torch.mm(second.t(), gradient[index], out=out[segment])
        return torch.ops.aten.threshold_backward.grad_input(out, hidden, 0, grad_input=out)  # type: ignore[no-any-return]


class _Sums:
    """Sums over the batch that a `ProductPair`'s gradients are made of.

    With u = W x: T = sum_b dz x^T gives those of W, gamma and r. The alpha step needs r's alone, and there gamma r u = z - beta with
    dz = 0 wherever relu(z) differs from z, so sum_b dz (relu(z) - beta) does: two sums instead of two products.
    """

    def __init__(self, weight: Tensor, beta: Tensor, outer: Sequence[Tensor], *, for_weights: bool) -> None:
        self.beta, self.count = beta, len(outer)
        self.plain = torch.zeros_like(beta)  # (N, H): sum dz
        self.scaled = torch.zeros_like(beta)  # (N, H): sum dz (z - beta)
        self.product = torch.zeros_like(weight) if for_weights else None  # (N, H, D): T
        self.outer = [torch.zeros_like(second, dtype=weight.dtype) for second in outer] if for_weights else []

    def add(self, n: int, x: Tensor, step: Tensor, hidden: Tensor, to_hidden: Tensor, segments: list[slice]) -> None:
        """Add one chunk of block n. Shape: x (D, n), step (S, D, n), hidden and its gradient (H, n)."""
        self.plain[n] += to_hidden.sum(1)  # with `dtype` torch would copy it all first; it adds in float32 inside as it is
        if self.product is None:
            self.scaled[n] += torch.mul(to_hidden, hidden, out=to_hidden).sum(1)  # in place: it is of no more use
            return
        self.product[n] += times(to_hidden, x.t())
        for index, segment in enumerate(segments):
            total, rows = self.outer[n * len(segments) + index], hidden[segment].t()
            total += times(step[index], rows)

    def gradients(self, rstd: Tensor, weight: Tensor, gamma: Tensor) -> tuple[Any, ...]:
        """Of rstd, weight, gamma, beta and each outer weight; None for all but the first in the alpha step."""
        if self.product is None:
            return (self.scaled - self.beta * self.plain) / rstd, None, None, None, *[None] * self.count
        along = torch.linalg.vecdot(weight, self.product)  # (N, H): sum dz u
        return gamma * along, (gamma * rstd).unsqueeze(2) * self.product, rstd * along, self.plain, *self.outer


class NormalisedSum(torch.autograd.Function):
    """base + sum_s factor_s * (o_s - mean o_s) / sqrt(var o_s + eps), with the batch's means and biased variances beside it.

    In `base`'s type; o_s is centred anew for the gradient. `running`: the outputs are parts p_s, and o_s is the sum of p_1 to p_s.

    Shape: base (N, D, B), outputs (N, S, D, B), factor (N, S, D) -> (N, D, B), and without gradient means and variances (N, S, D).
    """

    @staticmethod
    def forward(ctx: Any, base: Tensor, outputs: Tensor, factor: Tensor, eps: float, running: bool) -> tuple[Tensor, Tensor, Tensor]:
        total, means, rstds, variances = torch.empty_like(base), *(torch.empty_like(factor) for _ in range(3))
        for n, parts in enumerate(outputs):
            whole = _whole(parts, running, base.dtype)
            torch.mean(whole, 2, out=means[n])
            centred = _centred(whole, means[n])
            torch.linalg.vecdot(centred, centred, out=variances[n]).div_(base.shape[2])
            torch.add(variances[n], eps, out=rstds[n]).rsqrt_()
            torch.add(base[n], centred.mul_((factor[n] * rstds[n]).unsqueeze(2)).sum(0), out=total[n])
        ctx.running = running
        ctx.save_for_backward(outputs, factor, means, rstds)
        ctx.mark_non_differentiable(means, variances)
        return total, means, variances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        outputs, factor, means, rstds = ctx.saved_tensors
        to_outputs, to_factor = torch.empty_like(outputs), torch.empty_like(factor)
        balanced = gradient - gradient.mean(2, keepdim=True)  # (N, D, B)
        for n, parts in enumerate(outputs):
            centred = _centred(_whole(parts, ctx.running, means.dtype), means[n])
            torch.mul(torch.linalg.vecdot(centred, gradient[n]), rstds[n], out=to_factor[n])
            slope, along = factor[n] * rstds[n], -rstds[n] * to_factor[n] / gradient.shape[2]
            centred.mul_((slope * along).unsqueeze(2))
            to_whole = torch.addcmul(centred, balanced[n], slope.unsqueeze(2), out=centred)
            # a part acts on its own output and those after it
            to_outputs[n] = to_whole.flip(0).cumsum_(0).flip(0) if ctx.running else to_whole
        return gradient, to_outputs, to_factor, None, None


def _whole(parts: Tensor, running: bool, dtype: torch.dtype) -> Tensor:
    """The candidates' outputs in `dtype`, in scratch memory where they are not so already. Shape: (S, D, B)."""
    if not running and parts.dtype == dtype:
        return parts
    whole = scratch("centred", parts.shape, parts.new_empty(0, dtype=dtype)).copy_(parts)
    return whole.cumsum_(0) if running else whole


def _centred(outputs: Tensor, mean: Tensor) -> Tensor:
    """Outputs less their means, in scratch memory. Shape: (S, D, B), (S, D) -> (S, D, B)."""
    return torch.sub(outputs, mean.unsqueeze(2), out=scratch("centred", outputs.shape, mean))


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
