"""Top-k gates (Shazeer et al., ICLR 2017), as DSelect-k's paper compares with them. Legend: B rows,
D width, T tasks, N experts.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.layers.gates import top_k_softmax
from automtl.sharing.network import FusionNetwork

START = 0.05  # of static scores: equal ones would leave the choice to the sorting


class TopK(FusionNetwork):
    """softmax(KeepTopK(A h + b)) per task (Hazimeh et al. 2021, section 2); static: A = 0.

    Args:
        k: experts that a gate selects, at most N.
        per_example: each row selects its own.
        socket: what every sharing module takes.
    """

    kind = "top_k"
    partial = True

    def __init__(self, *, k: int, per_example: bool, **socket: Any) -> None:
        super().__init__(**socket)
        self.k, count = k, len(self.slots)
        self.gates = nn.ModuleList(
            nn.Linear(self.width_in, count) for _ in self.tasks if per_example and count > 1
        )
        static = not per_example and count > 1
        self.scores = (
            nn.Parameter(torch.empty(len(self.tasks), count).uniform_(-START, START))
            if static
            else None
        )  # (T, N)

    def unit_weights(
        self, units: Sequence[int], gate_inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        if len(self.slots) == 1:
            return [None] * len(units)
        if self.scores is not None:
            return list(top_k_softmax(self.scores, self.k))  # T times (N,)
        return [
            top_k_softmax(gate(x), self.k) for gate, x in zip(self.gates, gate_inputs, strict=True)
        ]  # (B, N) each
