"""The sum of a choice block made fast: its linear parts merged and its MLPs as one pair of products.

MLPs with BatchNorm, nested or not, share a pair of products; convolutions, as banded matrices with their BatchNorm folded in,
join the skips in one W x W matrix; the other candidates run as they are. Under autocast the MLPs' products take its type,
moments and sums keep the parameters'. The candidates go on owning the parameters: what derives, copies, ties or freezes them
sees no difference.

Legend: B rows, W width.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from automtl.nn.layers import BatchNorm, check_batch
from automtl.nn.merging import Group, merged_sum
from automtl.nn.nested import NestedMLP
from automtl.nn.operations import MLP, BitGate, Convolution, Skip

MAX_FOLDED_WIDTH = 128  # beyond it the W x W moments cost more than the passes they save
_MERGED = ("mlp", "convolution", "gate")


def kinds_of(candidates: Iterable[nn.Module]) -> dict[str, list[int]]:
    """Positions of the candidates by the way they are computed now: merged with their like, or as they are ("other")."""
    kinds: dict[str, list[int]] = {kind: [] for kind in (*_MERGED, "skip", "other")}
    for index, candidate in enumerate(candidates):
        kinds[_kind(candidate)].append(index)
    return kinds


def _kind(candidate: nn.Module) -> str:
    if isinstance(candidate, Skip):
        return "skip"
    if not isinstance(candidate, MLP | NestedMLP | Convolution | BitGate) or not isinstance(candidate.ending.norm, BatchNorm):
        return "other"
    if isinstance(candidate, MLP | NestedMLP):
        return "mlp" if candidate.width_out <= MAX_FOLDED_WIDTH else "other"
    if candidate.ending.dropout.active:  # masks fall on its outputs apart
        return "other"
    if isinstance(candidate, Convolution):
        return "convolution" if candidate.width_out <= MAX_FOLDED_WIDTH else "other"
    return "gate"


def fused_sum(
    x: Tensor,
    candidates: Sequence[nn.Module] | nn.ModuleList,
    shares: Sequence[Tensor],
    kinds: dict[str, list[int]],
    *,
    auxiliary_skip: float,
    keep: bool,
) -> Tensor:
    """The choice block's output in training.

    Shape: (B, ...) -> (B, W).

    Args:
        x: the block's input, B >= 2.
        candidates: the operations.
        shares: softmax(alpha), number by number.
        kinds: `kinds_of` the candidates, with an MLP or a convolution among them.
        auxiliary_skip: weight of x itself.
        keep: hold the hidden units for the gradient.

    Raises:
        DataError: fewer than two rows.
    """
    check_batch(x)
    first = min(kinds["mlp"], default=0)
    parts = [shares[i] * candidates[i](x) for i in kinds["other"] if i < first]  # candidates draw their dropout in their order
    groups = {kind: Group([candidates[i] for i in kinds[kind]], [shares[i] for i in kinds[kind]]) for kind in _MERGED}
    skip = sum((shares[i] for i in kinds["skip"]), torch.full_like(shares[0], auxiliary_skip))
    device, dtype = x.device.type, skip.dtype
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else dtype
    with torch.autocast(device, enabled=False):
        out: Tensor = merged_sum(x.flatten(1).to(dtype).t().contiguous(), groups, skip=skip, dtype=low, keep=keep).t()
    for part in parts + [shares[i] * candidates[i](x) for i in kinds["other"] if i > first]:
        out = out + part
    return out
