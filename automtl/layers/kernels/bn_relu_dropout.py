"""BatchNorm, ReLU and dropout together, in training: about half the passes over memory that the
three take one after the other.

Legend: B rows, W units.
"""

from typing import Any

import torch
from torch import Tensor


def normalised_relu_reference(
    z: Tensor,
    gamma: Tensor,
    beta: Tensor,
    offset: Tensor,
    *,
    mask: Tensor | None = None,
    scale: float = 1.0,
    eps: float = 1e-5,
) -> Tensor:
    """What `NormalisedReLU` computes; arguments and shapes are its. No statistics move."""
    x = z + offset
    normalised = (x - x.mean(0)) / (x.var(0, correction=0) + eps).sqrt()
    y = scale * (gamma * normalised + beta).relu()
    return y if mask is None else mask * y


class NormalisedReLU(torch.autograd.Function):
    """y = scale * mask * relu(gamma (z - mean) / std + beta), mean and variance those of the batch.

    ReLU and dropout pass a gradient on where y > 0, so neither the mask nor the values before it
    are stored; `scale` is positive and goes through ReLU, so gamma and beta carry it. Twice
    differentiable, since backward is made of operations that are.

    Shape: z (B, W), gamma, beta and offset (W,), mask (B, W) -> (B, W).

    Args:
        norm: whose running statistics move.
        mask: 1 where dropout keeps an output, else 0; None keeps all.
        scale: of the outputs that are kept.
        z: a linear layer's outputs without their bias.
        gamma, beta: of the norm.
        offset: the bias. The batch's mean takes it away again, so that it moves the running mean
            and its gradient is 0.
    """

    @staticmethod
    def forward(
        ctx: Any, norm: Any, mask: Tensor | None, scale: float, z: Tensor, *parameters: Tensor
    ) -> Tensor:
        gamma, beta, offset = parameters
        running_mean, running_var = (
            (norm.running_mean, norm.running_var) if norm.update_statistics else (None, None)
        )
        y, mean, rstd = torch.native_batch_norm(
            z, scale * gamma, scale * beta, running_mean, running_var, True, norm.momentum, norm.eps
        )
        if norm.update_statistics:
            norm.running_mean.add_(offset, alpha=norm.momentum)
            norm.num_batches_tracked.add_(1)
        if mask is not None:
            y.mul_(mask)
        y.relu_()
        ctx.scale, ctx.eps = scale, norm.eps
        ctx.save_for_backward(z, gamma, y, mean, rstd)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        z, gamma, y, mean, rstd = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradient, y, 0)
        wanted = [True, True, True]
        to_z, to_gamma, to_beta = torch.ops.aten.native_batch_norm_backward(
            passed, z, ctx.scale * gamma, None, None, mean, rstd, True, ctx.eps, wanted
        )
        return (
            None,
            None,
            None,
            to_z,
            ctx.scale * to_gamma,
            ctx.scale * to_beta,
            torch.zeros_like(to_beta),
        )
