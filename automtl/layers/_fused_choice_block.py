"""The sum of a choice block made fast: its linear parts merged and its MLPs as one pair of
products.

MLPs with BatchNorm, nested or not, share a pair of products; convolutions, as banded matrices with
their BatchNorm folded in, join the skips in one W x W matrix; the other candidates run as they are.
Under autocast the MLPs and gates take its type, moments and sums keep the parameters'. The
candidates go on owning the parameters: what derives, copies, ties or freezes them sees no
difference.

Legend: B rows, W width.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from automtl.layers._merging import Group, merged_sum
from automtl.layers.nested import NestedMLP
from automtl.layers.normalization import BatchNorm, check_batch
from automtl.layers.operations import MLP, BitGate, Convolution, Skip

MAX_FOLDED_WIDTH = 128  # beyond it the W x W moments cost more than the passes they save
_MERGED = ("mlp", "convolution", "gate")


def kinds_of(candidates: Iterable[nn.Module]) -> dict[str, list[int]]:
    """Positions of the candidates by the way they are computed now: merged with their like, or as
    they are ("other").
    """
    kinds: dict[str, list[int]] = {kind: [] for kind in (*_MERGED, "skip", "other")}
    for index, candidate in enumerate(candidates):
        kinds[_kind(candidate)].append(index)
    return kinds


def _kind(candidate: nn.Module) -> str:
    if isinstance(candidate, Skip):
        return "skip"
    if not isinstance(candidate, MLP | NestedMLP | Convolution | BitGate) or not isinstance(
        candidate.ending.norm, BatchNorm
    ):
        return "other"
    if isinstance(candidate, MLP | NestedMLP):
        return "mlp" if candidate.width_out <= MAX_FOLDED_WIDTH else "other"
    if candidate.ending.dropout.active:  # masks fall on its outputs apart
        return "other"
    if isinstance(candidate, Convolution):
        return "convolution" if candidate.width_out <= MAX_FOLDED_WIDTH else "other"
    return "gate"


def fused_sum(
    xs: Sequence[Tensor],
    blocks: Sequence[Sequence[nn.Module] | nn.ModuleList],
    shares: Sequence[Tensor],
    kinds: dict[str, list[int]],
    *,
    auxiliary_skip: float,
    keep: bool,
) -> list[Tensor]:
    """The outputs of N choice blocks in training; several go side by side where their candidates
    are alike.

    Shape: N times (B, ...) -> N times (B, W).

    Args:
        xs: the blocks' inputs, B >= 2; computed on once where all are the same tensor.
        blocks: per block its candidates.
        shares: per block softmax(alpha), (candidates,).
        kinds: `kinds_of` each block's candidates, with an MLP or a convolution among them.
        auxiliary_skip: weight of x itself.
        keep: hold the hidden units for the gradient.

    Raises:
        DataError: fewer than two rows.
    """
    check_batch(xs[0])
    first = min(kinds["mlp"], default=0)

    def others(positions: list[int]) -> list[list[Tensor]]:
        """The weighed outputs of candidates that are not fused, per block."""
        return [
            [share[i] * block[i](x) for i in positions]
            for x, block, share in zip(xs, blocks, shares, strict=True)
        ]

    # candidates draw their dropout in their order
    before = others([i for i in kinds["other"] if i < first])
    weights = torch.stack(list(shares))  # (N, candidates)
    groups = {
        kind: Group([[block[i] for i in kinds[kind]] for block in blocks], weights[:, kinds[kind]])
        for kind in _MERGED
    }
    skip = weights[:, kinds["skip"]].sum(1) + auxiliary_skip
    device = xs[0].device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else skip.dtype
    with torch.autocast(device, enabled=False):
        columns = [
            x.flatten(1).to(skip.dtype).t() for x in (xs[:1] if all(x is xs[0] for x in xs) else xs)
        ]
        merged = merged_sum(torch.stack(columns), groups, skip=skip, dtype=low, keep=keep)
    after = others([i for i in kinds["other"] if i > first])
    return [
        sum([*earlier, *later], out.t())
        for earlier, out, later in zip(before, merged, after, strict=True)
    ]
