"""The weighed sum of experts in training: its gradients in as few passes over the outputs as they
need.

Legend: B rows, D width of an expert's output, n experts.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from automtl.sharing.base import mix


class WeighedSum(torch.autograd.Function):
    """sum_i w_i E_i, whose gradients are w_i g and the sums of E_i g. Twice differentiable, since
    both are made of such operations.

    Shape: weights (B, n) or (n,), experts n times (B, D) -> (B, D).
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *experts: Tensor) -> Tensor:
        ctx.save_for_backward(weights, *experts)
        return mix(weights, experts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        weights, *experts = ctx.saved_tensors
        to_experts = (
            (weights[..., i, None] * gradient).to(expert.dtype) for i, expert in enumerate(experts)
        )
        to_weights = torch.stack(
            [torch.linalg.vecdot(expert.to(gradient.dtype), gradient) for expert in experts], dim=1
        )  # (B, n)
        return to_weights.sum_to_size(weights.shape).to(weights.dtype), *to_experts


def weighed_sum(weights: Tensor, experts: Sequence[Tensor]) -> Tensor:
    """`mix`, by the way that suits whether gradients are wanted."""
    if not torch.is_grad_enabled():
        return mix(weights, experts)
    out: Tensor = WeighedSum.apply(weights, *experts)  # type: ignore[no-untyped-call]
    return out
