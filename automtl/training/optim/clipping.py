"""Gradient clipping over dense and sparse gradients together."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm


@torch.no_grad()
def clip_grad_norm(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale the gradients in place so that their joint L2 norm is at most `max_norm`; returns the
    norm before.

    As torch.nn.utils.clip_grad_norm_, and sparse gradients count with their rows added up. Nothing
    waits for the device: whether the norm is finite is the caller's to look at, once in a while. On
    a CPU gradients within the norm are not touched.

    Shape: result ().

    Args:
        parameters: those without a gradient are passed over.
        max_norm: above 0.
    """
    present = [parameter for parameter in parameters if parameter.grad is not None]
    dense = [parameter for parameter in present if not _sparse(parameter)]
    rows = [_row_values(parameter) for parameter in present if _sparse(parameter)]
    norm = get_total_norm(
        [parameter.grad for parameter in dense if parameter.grad is not None] + rows
    )
    if _at_hand(norm) and norm <= max_norm:
        return norm
    clip_grads_with_norm_(dense, max_norm, norm)
    for values in rows:
        # torch's own factor
        values.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0).to(values.device))
    return norm


def _at_hand(value: Tensor) -> bool:
    """Whether a look at it waits for no device."""
    return value.device.type == "cpu"


def _sparse(parameter: nn.Parameter) -> bool:
    return parameter.grad is not None and parameter.grad.is_sparse


def _row_values(parameter: nn.Parameter) -> Tensor:
    """The summed gradients of the touched rows, as a view of `parameter.grad`. Shape: (n, d)."""
    assert parameter.grad is not None
    parameter.grad = parameter.grad.coalesce()
    return parameter.grad.values()
