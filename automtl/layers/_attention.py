"""Attention over a row's few fields, all rows side by side.

A row's own products are of some F x c numbers each, too small for products of matrices: with the
rows last, each pair of fields is one multiplication of long vectors. Legend: B rows, F fields, H
heads, c width of a head.
"""

import math
from typing import Any

import torch
from torch import Tensor


class FieldAttention(torch.autograd.Function):
    """softmax(Q K^T / sqrt(c)) V (Vaswani et al. 2017, eq. 1) of every row and head. Twice
    differentiable, since backward is made of operations that are.

    Shape: query, key and value in one (F, 3, H, c, B) -> (F, H, c, B).
    """

    @staticmethod
    def forward(ctx: Any, packed: Tensor) -> Tensor:
        query, key, value = packed.unbind(1)
        shares = _shares(query, key)
        ctx.save_for_backward(packed, shares)
        return _add_mixed(torch.zeros_like(value), shares, value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        packed, shares = ctx.saved_tensors
        query, key, value = packed.unbind(1)
        if torch.is_grad_enabled():  # for second derivatives, which what is kept knows nothing of
            shares = _shares(query, key)
        scale = 1 / math.sqrt(query.shape[2])
        to_dots = torch.ops.aten._softmax_backward_data(
            _dots(gradient, value), shares, 1, shares.dtype
        )
        to_packed = torch.zeros_like(packed)
        _add_mixed(to_packed[:, 0], to_dots, key * scale)
        _add_mixed(to_packed[:, 1], to_dots.transpose(0, 1), query * scale)
        _add_mixed(to_packed[:, 2], shares.transpose(0, 1), gradient)
        return to_packed


def _shares(query: Tensor, key: Tensor) -> Tensor:
    """How each field weighs each one. Shape: twice (F, H, c, B) -> (F, F, H, B)."""
    return _dots(query / math.sqrt(query.shape[2]), key).softmax(1)


def _dots(left: Tensor, right: Tensor) -> Tensor:
    """Dot products of each field's vector with each one's. Shape: twice (F, H, c, B) -> (F, F, H,
    B).
    """
    pairs = zip(left.unsqueeze(1).unbind(3), right.unsqueeze(0).unbind(3), strict=True)
    first, second = next(pairs)
    total = first * second
    for first, second in pairs:
        total.addcmul_(first, second)
    return total


def _add_mixed(total: Tensor, weights: Tensor, vectors: Tensor) -> Tensor:
    """Add sums of the fields' vectors, weighed, to `total`. Shape: (F, H, c, B), (F, F, H, B), (F,
    H, c, B) -> (F, H, c, B).
    """
    for weight, vector in zip(weights.unsqueeze(3).unbind(1), vectors, strict=True):
        total.addcmul_(weight, vector)
    return total


def field_attention(packed: Tensor) -> Tensor:
    """See `FieldAttention`."""
    return FieldAttention.apply(packed)  # type: ignore[no-any-return, no-untyped-call]
