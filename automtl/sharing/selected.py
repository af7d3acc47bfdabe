"""AutoMTL's expert selection: parameters beta during search, gates over the chosen experts at retrain."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.nn.gates import Gate
from automtl.sharing.base import ExpertPool, SharingModule, mix
from automtl.spaces.slots import Slot

BETA_SCALE = 1e-3


class ExpertSelection(SharingModule):
    """Expert selection of the supernet: f^k = sum_i softmax(beta^k)_i E_i(x) (AutoMTL, section 3.4.1).

    No input-dependent gate; ``beta`` is (T, N), initialised 1e-3 * N(0, 1).
    """

    kind = "selected"

    def __init__(self, **socket: Any) -> None:
        super().__init__(**socket)
        self.experts = ExpertPool(socket["build"], self.slots, self.width_in)
        self.beta = nn.Parameter(BETA_SCALE * torch.randn(len(self.tasks), len(self.slots)))
        self.width_out = [self.experts.width_out] * len(self.tasks)

    def share(self, shared: Tensor) -> list[Tensor]:
        experts = self.experts(shared)
        weights = self.beta.softmax(dim=1)  # (T, N)
        return [mix(weights[t], experts) for t in range(len(self.tasks))]

    def gate_weights(self) -> dict[str, Tensor]:
        return dict(zip(self.tasks, self.beta.detach().softmax(dim=1), strict=True))


class Selected(SharingModule):
    """The retrained form: task k gates its chosen experts, softmax(W_k h) over c of them (AutoMTL, section 3.3.3).

    ``chosen`` lists positions in the pool; the pool holds only experts chosen by at least one task. c = 1 has no gate.
    """

    kind = "selected"

    def __init__(self, **socket: Any) -> None:
        super().__init__(**socket)
        everyone = tuple(range(len(self.slots)))
        self.picks: list[tuple[int, ...]] = [tuple(task) for task in self.chosen or [everyone] * len(self.tasks)]
        self.experts = ExpertPool(socket["build"], self.slots, self.width_in)
        self.gates = nn.ModuleList(Gate(self.width_in, len(picks)) if len(picks) > 1 else nn.Identity() for picks in self.picks)
        self.width_out = [self.experts.width_out] * len(self.tasks)
        self._weights: dict[str, Tensor] = {}

    def share(self, shared: Tensor) -> list[Tensor]:
        experts = self.experts(shared)
        outputs = []
        for task, picks, gate in zip(self.tasks, self.picks, self.gates, strict=True):
            weights = gate(shared) if len(picks) > 1 else shared.new_ones(1)  # (B, c)
            self._weights[task] = weights.detach()
            outputs.append(mix(weights, [experts[i] for i in picks]))
        return outputs

    def gate_weights(self) -> dict[str, Tensor]:
        return {task: _spread(self._weights[task], picks, len(self.slots)) for task, picks in zip(self.tasks, self.picks, strict=True)}

    def reads(self, task: int) -> frozenset[Slot]:
        return frozenset(self.slots[i] for i in self.picks[task])


def _spread(weights: Tensor, picks: Sequence[int], size: int) -> Tensor:
    """Mean weights of the picked experts at their places among `size`: (B, c) or (c,) -> (size,)."""
    mean = weights.mean(dim=0) if weights.dim() > 1 else weights
    return mean.new_zeros(size).index_copy(0, torch.tensor(picks, device=mean.device), mean)
