"""AutoMTL's expert selection: parameters beta during search, gates over the chosen experts at
retrain.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.sharing.network import FusionNetwork, GatedNetwork

BETA_SCALE = 1e-3


class ExpertSelection(FusionNetwork):
    """Expert selection of the supernet: f^k = sum_i softmax(beta^k)_i E_i(x) (AutoMTL, section
    3.4.1).

    No input-dependent gate; ``beta`` is (T, N), initialised 1e-3 * N(0, 1).

    Attributes:
        mask: (T, N) bool; where set, each task mixes its marked experts only.
    """

    kind = "selected"

    def __init__(self, **socket: Any) -> None:
        super().__init__(**socket)
        self.beta = nn.Parameter(BETA_SCALE * torch.randn(len(self.tasks), len(self.slots)))
        self.mask: Tensor | None = None

    def unit_weights(
        self, units: Sequence[int], gate_inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        beta = self.beta if self.mask is None else self.beta.masked_fill(~self.mask, -torch.inf)
        return list(beta.softmax(dim=1))

    def gate_weights(self) -> dict[str, Tensor]:
        return dict(zip(self.tasks, self.beta.detach().softmax(dim=1), strict=True))


class Selected(GatedNetwork):
    """The retrained form: task k gates its chosen experts, softmax(W_k h) over c of them (AutoMTL,
    section 3.3.3).

    ``chosen`` lists positions in the pool; the pool holds only experts chosen by at least one task.
    c = 1 has no gate.
    """

    kind = "selected"
