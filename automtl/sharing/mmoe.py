"""Multi-gate mixture of experts (Ma et al., KDD 2018)."""

from typing import Any

from torch import Tensor, nn

from automtl.nn.gates import Gate
from automtl.sharing.base import ExpertPool, SharingModule, mix


class MMoE(SharingModule):
    """softmax(W_k h) over all N experts, one gate per task (Ma et al. 2018, eq. 5-7).

    Args:
        gate_bias: give the gates a bias.
    """

    kind = "mmoe"

    def __init__(self, *, gate_bias: bool = False, **socket: Any) -> None:
        super().__init__(**socket)
        self.experts = ExpertPool(socket["build"], self.slots, self.width_in)
        self.gates = nn.ModuleList(Gate(self.width_in, len(self.slots), bias=gate_bias) for _ in self.tasks)
        self.width_out = [self.experts.width_out] * len(self.tasks)
        self._weights: dict[str, Tensor] = {}

    def share(self, shared: Tensor) -> list[Tensor]:
        experts = self.experts(shared)
        outputs = []
        for task, gate in zip(self.tasks, self.gates, strict=True):
            weights = gate(shared)  # (B, N)
            self._weights[task] = weights.detach()
            outputs.append(mix(weights, experts))
        return outputs

    def gate_weights(self) -> dict[str, Tensor]:
        return {task: weights.mean(dim=0) for task, weights in self._weights.items()}
