"""The numerics of the fused choice block: BatchNorm folded into products by second moments.

A hidden layer z = W x + b is linear in x, so over a batch its means and variances follow from those
of x: E z = W m + b and var z_j = w_j^T C w_j. With x centred, BatchNorm(z)_j = gamma_j r_j w_j . (x
- m) + beta_j, r_j = 1 / sqrt(var z_j + eps): one product with folded weights. Nothing then needs
the whole batch of hidden units, so they are made for some hundred rows at a time, in cache, and
kept for the gradient or made again.

Everything here is feature-major, rows last: segments of hidden units are contiguous, and so are
sums over the batch. Several choice blocks go side by side, each on an input of its own: what is
large is made for one after the other, to stay in cache.
Legend: N blocks, B rows, D width, H hidden units of all candidates, S candidates (segments of H).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from automtl.layers.kernels._scratch import scratch
from automtl.layers.kernels.matmul import rectified_times, times
from automtl.layers.kernels.normalised_sum import batch_norm_gradients

# of hidden units at a time: two of them stay near a processor's shared cache
_CHUNK_BYTES = 16 * 2**20


class ProductPair(torch.autograd.Function):
    """o_s = V_s relu(gamma r (W_s x) + beta) for every candidate s, x centred; in chunks of rows,
    products in `dtype`.

    The second bias is left to the caller: the BatchNorm that follows removes it.

    Shape: centred (N, D, B), or (1, D, B) for all; rstd, gamma, beta (N, H); weight W (N, H, D);
    outer N times V_s (D, h_s), sum of h_s = H -> (N, S, D, B) in `dtype`.
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
        stored = []
        for n, pair in enumerate(pairs):
            for columns in pair.chunks(centred.shape[2]):
                hidden = pair.hidden(low[n % len(low), :, columns])
                for second, units, part in zip(
                    pair.outer,
                    torch.split(hidden, pair.sizes),
                    out[n, :, :, columns].unbind(),
                    strict=True,
                ):
                    times(second, units, out=part)
                if keep:
                    stored.append(hidden)
        ctx.count = len(outer)
        ctx.save_for_backward(low, folded, rstd, weight, gamma, beta, *seconds, *stored)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        low, folded, rstd, weight, gamma, beta = ctx.saved_tensors[:6]
        seconds, stored = (
            ctx.saved_tensors[6 : 6 + ctx.count],
            list(ctx.saved_tensors[6 + ctx.count :]),
        )
        pairs = _pairs(folded, seconds)
        sums = _Sums(weight, beta, seconds, for_weights=any(ctx.needs_input_grad[4:]))
        to_centred = weight.new_empty(len(low), weight.shape[2], low.shape[2])
        for n, pair in enumerate(pairs):
            back, shared = pair.folded[:, :-1].t().contiguous(), n % len(low)  # (D, H)
            for columns in pair.chunks(low.shape[2]):
                x, step = (
                    low[shared, :, columns].contiguous(),
                    gradient[n, :, :, columns].contiguous(),
                )
                hidden = stored.pop(0) if stored else pair.hidden(x)
                to_hidden = pair.to_hidden(step, hidden)
                _add(to_centred[shared, :, columns], times(back, to_hidden), first=n < len(low))
                sums.add(n, x[:-1], step, hidden, to_hidden, pair.sizes, first=columns.start == 0)
        return None, None, to_centred, *sums.gradients(rstd, weight, gamma)


def _pairs(folded: Tensor, seconds: Sequence[Tensor]) -> list["_Pair"]:
    """One `_Pair` a block. Shape: (N, H, D + 1), N times (D, h_s)."""
    count = len(seconds) // len(folded)
    return [_Pair(rows, seconds[n * count : (n + 1) * count]) for n, rows in enumerate(folded)]


def _with_ones(centred: Tensor, dtype: torch.dtype) -> Tensor:
    """The inputs and one more that is always 1: what it is multiplied by is the shift. Shape: (N,
    D, B) -> (N, D + 1, B).
    """
    count, width, rows = centred.shape
    whole = centred.new_ones(count, width + 1, rows, dtype=dtype)
    whole[:, :width] = centred
    return whole


class _Pair:
    """The folded weights of one block of a `ProductPair` and its two steps on one chunk of n
    rows.
    """

    def __init__(self, folded: Tensor, outer: Sequence[Tensor]) -> None:
        self.folded, self.outer = folded, outer  # (H, D + 1), S times (D, h_s)
        self.sizes = [second.shape[1] for second in outer]

    def chunks(self, rows: int) -> list[slice]:
        """Rows per pass: as many as keep the hidden units in cache; all of them on a device that
        wants large products.
        """
        hidden, width = self.folded, len(self.folded)
        size = (
            rows
            if hidden.device.type != "cpu"
            else max(64, _CHUNK_BYTES // (width * hidden.element_size()) // 64 * 64)
        )
        return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]

    def hidden(self, x: Tensor) -> Tensor:
        """Folded layer and ReLU. Shape: (D + 1, n) -> (H, n)."""
        return rectified_times(self.folded, x.contiguous())

    def to_hidden(self, gradient: Tensor, hidden: Tensor) -> Tensor:
        """Gradient before the ReLU. Shape: (S, D, n), (H, n) -> (H, n)."""
        out = scratch("to_hidden", hidden.shape, hidden)
        for second, above, units in zip(
            self.outer, gradient.unbind(), torch.split(out, self.sizes), strict=True
        ):
            torch.mm(second.t(), above, out=units)
        return torch.ops.aten.threshold_backward.grad_input(  # type: ignore[no-any-return]
            out, hidden, 0, grad_input=out
        )


class _Sums:
    """Sums over the batch that a `ProductPair`'s gradients are made of.

    With u = W x: T = sum_b dz x^T gives those of W, gamma and r. The alpha step needs r's alone,
    and there gamma r u = z - beta with dz = 0 wherever relu(z) differs from z, so sum_b dz (relu(z)
    - beta) does: two sums instead of two products.
    """

    def __init__(
        self, weight: Tensor, beta: Tensor, outer: Sequence[Tensor], *, for_weights: bool
    ) -> None:
        self.beta, self.count = beta, len(outer)
        self.plain = torch.empty_like(beta)  # (N, H): sum dz
        self.scaled = torch.empty_like(beta)  # (N, H): sum dz relu(z)
        self.product = torch.empty_like(weight) if for_weights else None  # (N, H, D): T
        self.outer = (
            [torch.empty_like(second, dtype=weight.dtype) for second in outer]
            if for_weights
            else []
        )

    def add(
        self,
        n: int,
        x: Tensor,
        step: Tensor,
        hidden: Tensor,
        to_hidden: Tensor,
        sizes: list[int],
        *,
        first: bool,
    ) -> None:
        """Add one chunk of block n, or begin with it. Shape: x (D, n), step (S, D, n), hidden and
        its gradient (H, n).
        """
        if self.product is None:
            # what they are of a BatchNorm that does nothing
            mean, one = torch.zeros_like(self.beta[n]), torch.ones_like(self.beta[n])
            _same, scaled, plain = batch_norm_gradients(
                to_hidden, hidden, one, mean, one, to_x=False
            )
            _add(self.scaled[n], scaled, first)
            _add(self.plain[n], plain, first)
            return
        # with `dtype` torch would copy it all first; it adds in float32 inside as it is
        _add(self.plain[n], to_hidden.sum(1), first)
        _add(self.product[n], times(to_hidden, x.t()), first)
        totals = self.outer[n * len(sizes) : (n + 1) * len(sizes)]
        for total, above, units in zip(
            totals, step.unbind(), torch.split(hidden, sizes), strict=True
        ):
            _add(total, times(above, units.t()), first)

    def gradients(self, rstd: Tensor, weight: Tensor, gamma: Tensor) -> tuple[Any, ...]:
        """Of rstd, weight, gamma, beta and each outer weight; None for all but the first in the
        alpha step.
        """
        if self.product is None:
            return (
                (self.scaled - self.beta * self.plain) / rstd,
                None,
                None,
                None,
                *[None] * self.count,
            )
        along = torch.linalg.vecdot(weight, self.product)  # (N, H): sum dz u
        return (
            gamma * along,
            (gamma * rstd).unsqueeze(2) * self.product,
            rstd * along,
            self.plain,
            *self.outer,
        )


def _add(total: Tensor, part: Tensor, first: bool) -> None:
    """A total begins with its first part: nothing is set to 0 before."""
    total.copy_(part) if first else total.add_(part)


def product_pair_reference(
    centred: Tensor,
    rstd: Tensor,
    weight: Tensor,
    gamma: Tensor,
    beta: Tensor,
    outer: Sequence[Tensor],
) -> Tensor:
    """What `product_pair` computes, in the type of its arguments."""
    hidden = ((gamma * rstd).unsqueeze(2) * (weight @ centred) + beta.unsqueeze(2)).relu()
    count = len(outer) // len(weight)
    blocks = []
    for n, units in enumerate(hidden):
        own = outer[n * count : (n + 1) * count]
        segments = units.split([second.shape[1] for second in own])
        blocks.append(torch.stack([v @ h for v, h in zip(own, segments, strict=True)]))
    return torch.stack(blocks)


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
    """All candidates' MLPs, see `ProductPair`. `keep` stores the hidden units for the gradient: a
    quarter more speed for three times the memory.
    """
    return ProductPair.apply(  # type: ignore[no-any-return, no-untyped-call]
        keep, dtype, centred, rstd, weight, gamma, beta, *outer
    )
