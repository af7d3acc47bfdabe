"""Products of float32 matrices by oneDNN: on AMD processors a tenth faster than MKL, which torch calls for them.

Legend: B rows, I inputs, O outputs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# The operator that torch's compiler calls for a linear layer; it has no public name, so a build may lack it.
_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


class Product(torch.autograd.Function):
    """x W^T, with both of a linear layer's products over its weight by oneDNN; the third, over the rows, MKL does faster.

    Shape: x (B, I), weight (O, I) -> (B, O).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _by_onednn(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x = product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        return to_x, gradient.t() @ x if ctx.needs_input_grad[1] else None


def product(x: Tensor, weight: Tensor) -> Tensor:
    """By whatever does it fastest in training. Shape: x (B, I), weight (O, I) -> (B, O)."""
    single = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if not (single and x.is_cpu and weight.is_cpu and _ONEDNN) or torch.compiler.is_compiling():
        return functional.linear(x, weight)
    out: Tensor = Product.apply(x, weight)  # type: ignore[no-untyped-call]
    return out


def _by_onednn(x: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")  # type: ignore[no-any-return]
