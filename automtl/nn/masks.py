"""Random masks that learn to be 0 or 1, and where their noise comes from."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1  # Louizos et al. 2018, section 4.1
_EPSILON = 1e-6


def uniform(shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw u ~ U(0, 1), kept off both ends so that its logarithms are finite, drawn from the passed generator only.

    Shape: -> `shape`, on the device and in the type of `like`.

    Raises:
        ConfigError: there is no generator.
    """
    if generator is None:
        raise ConfigError("noise", "needs a generator in training", "none", "pass generator=torch.Generator()")
    drawn = torch.rand(tuple(shape), generator=generator, device=generator.device, dtype=torch.float32)
    return drawn.clamp_(_EPSILON, 1 - _EPSILON).to(like.device, like.dtype)


class HardConcrete(nn.Module):
    """Masks in [0, 1] that are exactly 0 or 1 with positive probability (Louizos et al., ICLR 2018, eq. 10 to 13).

    Training: u ~ U(0, 1), s = sigmoid((ln u - ln(1 - u) + log_alpha) / beta), mask = clamp(s (zeta - gamma) + gamma, 0, 1).
    Evaluation: mask = clamp(sigmoid(log_alpha) (zeta - gamma) + gamma, 0, 1).

    Shape: () -> `shape`.

    Args:
        shape: of the masks.
        generator: source of u.
    """

    def __init__(self, shape: Sequence[int], *, generator: torch.Generator | None) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(0.01 * torch.randn(tuple(shape)))
        self.generator = generator

    def forward(self) -> Tensor:
        if not self.training:
            return self.settled()
        u = uniform(self.log_alpha.shape, like=self.log_alpha, generator=self.generator)
        return _stretched(torch.sigmoid((u.log() - (-u).log1p() + self.log_alpha) / BETA))

    def settled(self) -> Tensor:
        """The masks of evaluation, without noise. Shape: `shape`."""
        return _stretched(torch.sigmoid(self.log_alpha))

    def expected_on(self) -> Tensor:
        """Probability that each mask is not 0 (eq. 12). Shape: `shape`."""
        return torch.sigmoid(self.log_alpha - BETA * math.log(-GAMMA / ZETA))


def _stretched(s: Tensor) -> Tensor:
    return (s * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
