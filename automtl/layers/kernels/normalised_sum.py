"""The sum of outputs that are each normalised over the batch, and torch's own BatchNorm gradients.

Feature-major, rows last. Legend: N blocks, B rows, D width, S candidates.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from automtl.layers.kernels._scratch import scratch


def normalised_sum_reference(
    base: Tensor, outputs: Tensor, factor: Tensor, eps: float, *, running: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """What `normalised_sum` computes."""
    whole = outputs.cumsum(1) if running else outputs
    mean, variance = whole.mean(3), whole.var(3, correction=0)
    scale = (factor / (variance + eps).sqrt()).unsqueeze(3)
    return base + (scale * (whole - mean.unsqueeze(3))).sum(1), mean, variance


def normalised_sum(
    base: Tensor, outputs: Tensor, factor: Tensor, eps: float, *, running: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of all outputs, each normalised over the batch; see `NormalisedSum`."""
    return NormalisedSum.apply(  # type: ignore[no-any-return, no-untyped-call]
        base, outputs, factor, eps, running
    )


class NormalisedSum(torch.autograd.Function):
    """base + sum_s factor_s * (o_s - mean o_s) / sqrt(var o_s + eps), with the batch's means and
    biased variances beside it.

    In `base`'s type, gradients in the outputs'. `running`: the outputs are parts p_s, and o_s is
    the sum of p_1 to p_s.

    Shape: base (N, D, B), outputs (N, S, D, B), factor (N, S, D) -> (N, D, B), and without gradient
    means and variances (N, S, D).
    """

    @staticmethod
    def forward(
        ctx: Any, base: Tensor, outputs: Tensor, factor: Tensor, eps: float, running: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        total, means, rstds, variances = (
            torch.empty_like(base),
            *(torch.empty_like(factor) for _ in range(3)),
        )
        for n, parts in enumerate(outputs):
            whole = _whole(parts, running, base.dtype)
            torch.mean(whole, 2, out=means[n])
            centred = torch.sub(
                whole, means[n].unsqueeze(2), out=scratch("centred", whole.shape, whole)
            )
            torch.linalg.vecdot(centred, centred, out=variances[n]).div_(base.shape[2])
            torch.add(variances[n], eps, out=rstds[n]).rsqrt_()
            torch.add(
                base[n], centred.mul_((factor[n] * rstds[n]).unsqueeze(2)).sum(0), out=total[n]
            )
        ctx.running = running
        ctx.save_for_backward(outputs, factor, means, rstds)
        ctx.mark_non_differentiable(means, variances)
        return total, means, variances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        outputs, factor, means, rstds = ctx.saved_tensors
        to_outputs, to_factor = torch.empty_like(outputs), torch.empty_like(factor)
        for n, parts in enumerate(outputs):
            whole = _whole(parts, True, means.dtype) if ctx.running else parts
            step = scratch("step", whole.shape, whole).copy_(gradient[n])
            to_whole, to_factor[n], _to_shift = batch_norm_gradients(
                step, whole, factor[n], means[n], rstds[n]
            )
            if ctx.running:  # a part acts on its own output and those after it
                _accumulate(to_whole.unbind()[::-1])
            to_outputs[n] = to_whole
        return gradient, to_outputs, to_factor, None, None


def _whole(parts: Tensor, running: bool, dtype: torch.dtype) -> Tensor:
    """The candidates' outputs in `dtype`, in scratch memory where they are not so already. Shape:
    (S, D, B).
    """
    if not running and parts.dtype == dtype:
        return parts
    whole = scratch("centred", parts.shape, parts.new_empty(0, dtype=dtype)).copy_(parts)
    if running:
        _accumulate(whole.unbind())
    return whole


def _accumulate(parts: Sequence[Tensor]) -> None:
    """Add to each, in place, all before it; torch's cumulated sums over an outer dimension take 4
    times as long, with flips 12.
    """
    for before, after in pairwise(parts):
        after.add_(before)


def batch_norm_gradients(
    gradient: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, rstd: Tensor, *, to_x: bool = True
) -> list[Tensor]:
    """Gradients of x, gamma and beta of a BatchNorm over the last dimension, by torch's own passes;
    x's own, which is not asked for, is x.

    Shape: gradient and x (..., B), of one type; the rest (...), in float32 at least -> (..., B) in
    x's type, (...) and (...).
    """
    flat = [t.reshape(1, -1, x.shape[-1]) for t in (gradient, x)]
    norm = (gamma.flatten(), None, None, mean.flatten(), rstd.flatten(), True, 0.0)
    to, to_gamma, to_beta = torch.ops.aten.native_batch_norm_backward.default(
        *flat, *norm, [to_x, True, True]
    )
    return [to.view_as(x) if to_x else x, to_gamma.view_as(gamma), to_beta.view_as(gamma)]
