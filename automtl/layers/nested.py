"""Nested widths: one hidden layer as wide as the widest MLP of a block, whose first h units serve
its candidate mlp(h).

Half the parameters and products of MLPs of their own (widths 16 to 1024), and other maths: the
candidates' weights are tied, as by channel masks in FBNetV2 (Wan et al. 2020). Legend: B rows, W
width, h hidden units of a candidate, H of the widest.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.layers.normalization import BatchNorm, ClosingNorm, check_batch
from automtl.layers.operations import MLP, build_operation
from automtl.spaces.operations import Operation


class NestedMLP(nn.Module):
    """The candidate mlp(h) over the first h hidden units of a wider MLP, with an outer bias and an
    ending of its own.

    The wide MLP is a candidate of the same block: it owns the shared parameters and, where all
    candidates are computed, it alone moves the running statistics of the shared BatchNorm, so that
    they move once per step.

    Shape: (B, ...) -> (B, W), the dimensions after the first flattened to W.

    Args:
        wide: the widest MLP of the block.
        hidden: h, less than its H.
        ending: dropout, batch_norm and generator of the ending.
    """

    def __init__(self, wide: MLP, *, hidden: int, **ending: Any) -> None:
        super().__init__()
        self._wide = (wide,)  # in a tuple: its parameters are not registered here again
        self.width_out, self.hidden = wide.width_out, hidden
        # as Linear(h, W)
        self.bias = nn.Parameter(
            torch.empty(self.width_out).uniform_(-1 / math.sqrt(hidden), 1 / math.sqrt(hidden))
        )
        self.ending = ClosingNorm(self.width_out, **ending)

    @property
    def wide(self) -> MLP:
        """The MLP whose units it uses."""
        return self._wide[0]

    def num_parameters(self) -> int:
        """How many parameters an MLP(h) of its own has: the shared entries that it uses are
        counted.
        """
        layer = self.wide
        shared = [*layer.inner.parameters(), *layer.inner_norm.parameters(), layer.outer.weight]
        per_unit = sum(p.numel() for p in shared) // layer.inner.out_features
        return self.hidden * per_unit + sum(p.numel() for p in self.parameters())

    def forward(self, x: Tensor, *, alone: bool = False) -> Tensor:
        """`alone`: the only candidate that is computed, which moves the running statistics of the
        units it uses.
        """
        wide, h = self.wide, self.hidden
        inner = functional.linear(
            x.flatten(1), wide.inner.weight[:h], wide.inner.bias[:h]
        )  # (B, h)
        hidden = torch.relu(_normalised(wide.inner_norm, inner, track=alone))
        out: Tensor = self.ending(functional.linear(hidden, wide.outer.weight[:, :h], self.bias))
        return out

    def extra_repr(self) -> str:
        return f"hidden={self.hidden} of {self.wide.inner.out_features}"


def _normalised(norm: nn.Module, x: Tensor, *, track: bool) -> Tensor:
    """The first features of a BatchNorm; `track` moves their running statistics in training. Shape:
    (B, h) -> (B, h).
    """
    if not isinstance(norm, BatchNorm):  # switched off
        return x
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias, mean, variance = (
        t[: x.shape[1]] for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    if not norm.training:
        return functional.batch_norm(x, mean, variance, weight, bias, eps=norm.eps)
    check_batch(x)
    if not (track and norm.update_statistics):
        return functional.batch_norm(x, None, None, weight, bias, training=True, eps=norm.eps)
    return functional.batch_norm(
        x, mean, variance, weight, bias, training=True, momentum=norm.momentum or 0.0, eps=norm.eps
    )


def build_nested(
    operations: Sequence[Operation], *, width_in: int, **common: Any
) -> list[nn.Module]:
    """The candidates of an expert block, its MLPs nested in the widest of them; see
    `build_operation` for the arguments.
    """
    widest = max((o for o in operations if o.name == "mlp"), key=_hidden, default=None)
    if widest is None:
        return [build_operation(o, width_in=width_in, **common) for o in operations]
    wide = build_operation(widest, width_in=width_in, **common)
    assert isinstance(wide, MLP)
    return [
        wide
        if o == widest
        else NestedMLP(wide, hidden=_hidden(o), **common)
        if o.name == "mlp"
        else build_operation(o, width_in=width_in, **common)
        for o in operations
    ]


def _hidden(operation: Operation) -> int:
    assert isinstance(operation.argument, int)
    return operation.argument


class HiddenUnits:
    """The hidden units of a block's MLPs: each candidate's own, or one layer that the nested share.

    Args:
        mlps: the candidates; all nested in one of them, or none.

    Attributes:
        nested: whether a candidate uses the segments up to its own, rather than its own alone.
        owners: the MLPs that hold the units.
        outer: the second weights by segment, (W, units of the segment); nested: of the shared layer
            between one h and the next.
        rank: the last segment of each candidate.
        biases: the outer bias of each candidate.
    """

    def __init__(self, mlps: Sequence[MLP | NestedMLP]) -> None:
        self.nested = any(isinstance(m, NestedMLP) for m in mlps)
        self.owners = [m for m in mlps if isinstance(m, MLP)]
        self.biases = [m.bias if isinstance(m, NestedMLP) else m.outer.bias for m in mlps]
        self.outer, self.rank = [m.outer.weight for m in self.owners], list(range(len(mlps)))
        if self.nested:
            assert len(self.owners) == 1, "nested MLPs have one widest"
            widths = [m.hidden if isinstance(m, NestedMLP) else m.inner.out_features for m in mlps]
            ends = sorted(widths)
            self.rank = [ends.index(width) for width in widths]
            self.outer = list(
                torch.split(
                    self.outer[0], [b - a for a, b in zip([0, *ends], ends, strict=False)], dim=1
                )
            )

    @property
    def ascending(self) -> bool:
        """Whether candidates and segments come in the same order."""
        return self.rank == sorted(self.rank)
