"""Means and variances of linear layers' outputs from the moments of their inputs, feature-major.

Legend: N choice blocks side by side, B rows, D width, H rows of a layer's weight.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from automtl.layers.kernels._scratch import scratch


class Centre(torch.autograd.Function):
    """x less its mean over the batch, and that mean; subtracted twice, as a float32 mean far from
    zero is off by more than x's steps.

    Shape: (N, D, B) -> (N, D, B), (N, D).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(2)
        centred = x - mean.unsqueeze(2)
        rest = centred.mean(2)
        return centred.sub_(rest.unsqueeze(2)), mean + rest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_centred: Tensor, to_mean: Tensor) -> Tensor:
        return to_centred + (to_mean / to_centred.shape[2] - to_centred.mean(2)).unsqueeze(2)


class RowVariances(torch.autograd.Function):
    """w^T C w for each row w of `weight`, C the covariance of x; in float64, since near-equal
    numbers cancel in it.

    Shape: weight (N, H, D), centred (N, D, B), or (1, D, B) for all -> (N, H), float64, biased
    (divided by B), at least 0.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, centred: Tensor) -> Tensor:
        wide = centred.double()
        covariances = torch.bmm(wide, wide.transpose(1, 2)).div_(centred.shape[2])  # (N, D, D)
        projected = torch.empty_like(weight) if ctx.needs_input_grad[0] else None
        variances = weight.new_empty(weight.shape[:2], dtype=torch.float64)
        for n, rows in enumerate(weight):
            exact = rows.double()
            along = exact @ covariances[n % len(wide)]  # (H, D)
            torch.linalg.vecdot(along, exact, out=variances[n])
            if projected is not None:
                projected[n] = along
        ctx.save_for_backward(weight, centred, projected)
        return variances.clamp_(min=0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weight, centred, projected = ctx.saved_tensors
        slope = 2 * gradient.to(weight.dtype).unsqueeze(2)  # (N, H, 1)
        to_weight = None if projected is None else slope * projected
        sloped = torch.mul(slope, weight, out=scratch("sloped", weight.shape, weight))
        pulled = torch.bmm(weight.transpose(1, 2), sloped).div_(centred.shape[2])  # (N, D, D)
        return to_weight, (pulled if len(centred) > 1 else pulled.sum(0, keepdim=True)) @ centred


def centre_reference(x: Tensor) -> tuple[Tensor, Tensor]:
    """What `centre` computes."""
    mean = x.mean(2)
    return x - mean.unsqueeze(2), mean


def row_variances_reference(weight: Tensor, centred: Tensor) -> Tensor:
    """What `row_variances` computes: the biased variances of w x over the batch."""
    outputs = weight.double() @ centred.double()  # (N, H, B)
    return outputs.var(2, correction=0)


def centre(x: Tensor) -> tuple[Tensor, Tensor]:
    """X less its mean over the batch, and that mean; see `Centre`."""
    return Centre.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def row_variances(weight: Tensor, centred: Tensor) -> Tensor:
    """The variances of the rows' outputs over the batch; see `RowVariances`."""
    return RowVariances.apply(weight, centred)  # type: ignore[no-any-return, no-untyped-call]
