"""The choice block made fast: the same sum, its linear parts merged and its MLPs as one pair of products.

Legend: B rows, W width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.nn.layers import BatchNorm, check_batch
from automtl.nn.merging import Group, merged_sum, shift_matrices
from automtl.nn.mixed import ChoiceBlock
from automtl.nn.operations import MLP, BitGate, Convolution, Skip

MAX_FOLDED_WIDTH = 128  # beyond it the W x W moments cost more than the passes they save
_KINDS = ("mlp", "convolution", "gate", "skip", "other")


def make_choice_block(candidates: Sequence[nn.Module], *, alpha: nn.Parameter, fused: bool = True) -> ChoiceBlock:
    """The fused block where a candidate gains by it, else the straightforward one; same parameters, names and values."""
    gains = any(_kind(candidate) in ("mlp", "convolution") for candidate in candidates)
    return FusedChoiceBlock(candidates, alpha=alpha) if fused and gains else ChoiceBlock(candidates, alpha=alpha)


class FusedChoiceBlock(ChoiceBlock):
    """A `ChoiceBlock` with the same parameters, buffers and values, computed in fewer passes over memory.

    In training, MLPs with BatchNorm share a pair of products; convolutions, as banded matrices with their BatchNorm folded in,
    join the skips in one W x W matrix; the other candidates, and everything in evaluation, run as they are. Under autocast
    the MLPs' products take its type, moments and sums keep the parameters'. The candidates go on owning the parameters:
    what derives, copies, ties or freezes them sees no difference. It has no second derivatives: set `fused` to False for them.

    Attributes:
        fused: False computes as `ChoiceBlock` does.
        recompute: make the hidden units again for the gradient instead of keeping them: a quarter slower, a third of the memory.
    """

    shifts: Tensor

    def __init__(self, candidates: Sequence[nn.Module], *, alpha: nn.Parameter) -> None:
        super().__init__(candidates, alpha=alpha)
        self.fused, self.recompute = True, False
        convolutions: list[Any] = [c for c in candidates if isinstance(c, Convolution)]
        kernel = max((c.conv.kernel_size[0] for c in convolutions), default=0)
        self.register_buffer("shifts", shift_matrices(convolutions[0].width_out if convolutions else 0, kernel), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.fused):
            return super().forward(x)
        check_batch(x)
        shares = torch.softmax(self.alpha, dim=0).unbind()
        kinds: dict[str, list[int]] = {kind: [] for kind in _KINDS}
        for index, candidate in enumerate(self.candidates):
            kinds[_kind(candidate)].append(index)
        first = min(kinds["mlp"], default=0)
        parts = [shares[i] * self.candidates[i](x) for i in kinds["other"] if i < first]  # dropout is drawn in their order
        parts.append(self._merged(x, shares, kinds))
        parts += [shares[i] * self.candidates[i](x) for i in kinds["other"] if i > first]
        out: Tensor = parts[0]
        for part in parts[1:]:
            out = out + part
        return out

    def _merged(self, x: Tensor, shares: Sequence[Tensor], kinds: dict[str, list[int]]) -> Tensor:
        """The sum over all candidates but the "other". Shape: (B, ...) -> (B, W)."""
        device, dtype = x.device.type, self.alpha.dtype
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else dtype
        groups = {kind: Group([self.candidates[i] for i in kinds[kind]], [shares[i] for i in kinds[kind]]) for kind in _KINDS[:3]}
        skip = sum((shares[i] for i in kinds["skip"]), torch.full_like(shares[0], self.auxiliary_skip))
        with torch.autocast(device, enabled=False):
            rows_last = x.flatten(1).to(dtype).t().contiguous()
            return merged_sum(rows_last, groups, skip=skip, shifts=self.shifts, dtype=low, keep=not self.recompute).t()


def _kind(candidate: nn.Module) -> str:
    """How a candidate is computed now: merged with its like, or as it is ("other")."""
    if isinstance(candidate, Skip):
        return "skip"
    if not isinstance(candidate, MLP | Convolution | BitGate) or not isinstance(candidate.ending.norm, BatchNorm):
        return "other"
    if isinstance(candidate, MLP):
        return "mlp" if candidate.width_out <= MAX_FOLDED_WIDTH else "other"
    if candidate.ending.dropout.active:  # masks fall on its outputs apart
        return "other"
    if isinstance(candidate, Convolution):
        return "convolution" if candidate.width_out <= MAX_FOLDED_WIDTH else "other"
    return "gate"
