"""Products of matrices by oneDNN: in float32 on AMD processors a tenth faster than MKL, which torch
calls for them.

Legend: B rows, I inputs, O outputs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# The operator that torch's compiler calls for a linear layer; it has no public name, so a build may
# lack it.
_LARGE = 2**23  # multiplications from which on oneDNN's own start pays
_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(  # type: ignore[no-untyped-call]
    torch.ops.mkldnn, "_linear_pointwise"
)
_BFLOAT16 = _ONEDNN and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def product_reference(x: Tensor, weight: Tensor) -> Tensor:
    """What `product` computes."""
    return x @ weight.t()


def rectified_times_reference(left: Tensor, right: Tensor) -> Tensor:
    """What `rectified_times` computes."""
    return (left @ right).relu()


class Product(torch.autograd.Function):
    """x W^T, with both of a linear layer's products over its weight by oneDNN; the third, over the
    rows, MKL does faster.

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
    if torch.is_autocast_enabled("cpu") or not _suits_onednn(x, weight):
        return functional.linear(x, weight)
    out: Tensor = Product.apply(x, weight)  # type: ignore[no-untyped-call]
    return out


def times(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """Matrix product left @ right without a gradient, by whatever does it fastest.

    Shape: left (R, I), right (I, C), out (R, C), of any type -> (R, C).
    """
    large = left.shape[0] * left.shape[1] * right.shape[1] >= _LARGE
    if large and _suits_onednn(left, right.t()):
        result = _by_onednn(left, right.t())
        return result if out is None else out.copy_(result)
    if out is not None and out.dtype == left.dtype:
        return torch.mm(left, right, out=out)
    return left @ right if out is None else out.copy_(left @ right)


def rectified_times(left: Tensor, right: Tensor) -> Tensor:
    """relu(left @ right) without a gradient, by oneDNN in one pass over the result.

    Shape: left (R, I), right (I, C), of any type -> (R, C).
    """
    low = left.dtype == torch.bfloat16 and _BFLOAT16
    if _suits_onednn(left, right.t(), torch.bfloat16 if low else torch.float32):
        return _by_onednn(left, right.t(), "relu")
    return (left @ right).relu_()


def _suits_onednn(x: Tensor, weight: Tensor, dtype: torch.dtype = torch.float32) -> bool:
    """Whether oneDNN multiplies these, and with its fast kernels: of a weight whose rows have gaps
    it takes a thousand times as long.
    """
    meant = x.dtype == weight.dtype == dtype and x.is_cpu and weight.is_cpu
    dense = weight.is_contiguous() or weight.t().is_contiguous()
    return _ONEDNN and meant and dense and not torch.compiler.is_compiling()


def _by_onednn(x: Tensor, weight: Tensor, then: str = "none") -> Tensor:
    return torch.ops.mkldnn._linear_pointwise.default(  # type: ignore[no-any-return]
        x, weight, None, then, [], ""
    )
