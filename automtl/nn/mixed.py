"""The choice block of the supernet, as the formula reads: a list and a sum. Legend: B rows, W width."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError


class ChoiceBlock(nn.Module):
    """y = sum_o softmax(alpha)_o op_o(x) + auxiliary_skip * x (paper section 3.4.1; the second term is DARTS-, Chu et al. 2020).

    The auxiliary skip stands outside the softmax; the search takes it from 1 to 0.

    Shape: (B, ...) -> (B, W), the dimensions after the first flattened to W.

    Args:
        candidates: the operations, each (B, ...) -> (B, W).
        alpha: (number of candidates,) architecture parameters; may be shared between blocks.

    Raises:
        ConfigError: no candidate, or alpha of another length.
    """

    def __init__(self, candidates: Sequence[nn.Module], *, alpha: nn.Parameter) -> None:
        super().__init__()
        if not candidates or alpha.shape != (len(candidates),):
            got = f"{len(candidates)} candidates and alpha {tuple(alpha.shape)}"
            raise ConfigError("choice block", "needs one alpha per candidate", got)
        self.candidates = nn.ModuleList(candidates)
        self.alpha = alpha
        self.auxiliary_skip = 0.0

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.alpha, dim=0)
        out = sum(weight * candidate(x) for weight, candidate in zip(weights, self.candidates, strict=True))
        assert isinstance(out, Tensor)
        return out + self.auxiliary_skip * x.flatten(1) if self.auxiliary_skip else out
