"""Cross-stitch networks (Misra et al., CVPR 2016). Legend: T tasks."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.sharing.network import FusionNetwork

OWN = 0.9


class CrossStitch(FusionNetwork):
    """One expert per task and level; after each level x~ = A x over tasks (eq. 1), A (T, T) learnt,
    alike for all rows.

    A starts at .9 on the diagonal and .1 / (T - 1) off it; at 1 for one task.
    """

    kind = "cross_stitch"

    def __init__(self, **socket: Any) -> None:
        super().__init__(**socket)
        levels = self.fusions[-1].level + 1
        self.stitches = nn.ParameterList(
            nn.Parameter(_start(len(self.tasks))) for _ in range(levels)
        )

    def unit_weights(
        self, units: Sequence[int], gate_inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        return list(self.stitches[self.fusions[units[0]].level])


def _start(size: int) -> Tensor:
    if size == 1:
        return torch.ones(1, 1)
    off = (1 - OWN) / (size - 1)
    return torch.full((size, size), off) + (OWN - off) * torch.eye(size)
