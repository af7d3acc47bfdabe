"""Random masks that learn to be 0 or 1, and where their noise comes from."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1  # Louizos et al. 2018, section 4.1
# Adam's rate for masks: at the weights' 1e-3 a log_alpha takes some 2,400 steps to where its mask
# is 0
MASK_RATE = 1e-2
SIGMA = 0.5  # Xu et al. 2024, below eq. 5
_EPSILON = 1e-6


def uniform(shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw u ~ U(0, 1), kept off both ends so that its logarithms are finite.

    Shape: -> `shape`, on the device and in the type of `like`.

    Args:
        shape: of the draw.
        like: whose device and type it has.
        generator: where it is drawn from; None for torch's own on the device of `like`.
    """
    drawn = torch.rand(tuple(shape), **_source(like, generator), dtype=torch.float32)
    return drawn.clamp_(_EPSILON, 1 - _EPSILON).to(like.device, like.dtype)


def normal(shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw from N(0, 1); arguments as of `uniform`.

    Shape: -> `shape`, on the device and in the type of `like`.
    """
    drawn = torch.randn(tuple(shape), **_source(like, generator), dtype=torch.float32)
    return drawn.to(like.device, like.dtype)


def _source(like: Tensor, generator: torch.Generator | None) -> dict[str, Any]:
    if generator is None:
        return {"device": like.device}
    return {"generator": generator, "device": generator.device}


class HardConcrete(nn.Module):
    """Masks in [0, 1] that are exactly 0 or 1 with positive probability (Louizos et al., ICLR 2018,
    eq. 10 to 13).

    Training: u ~ U(0, 1), s = sigmoid((ln u - ln(1 - u) + log_alpha) / beta), mask = clamp(s (zeta
    - gamma) + gamma, 0, 1).
    Evaluation: mask = clamp(sigmoid(log_alpha) (zeta - gamma) + gamma, 0, 1).

    Shape: () -> `shape`.

    Args:
        shape: of the masks.
        generator: source of u; None for torch's own.
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


class GaussianMask(nn.Module):
    """Masks in [0, 1] with Gaussian noise before the clamp (Xu et al., SIGIR 2024, eq. 5, after
    Yamada et al., ICML 2020).

    Training: mask = clamp(mu + eps, 0, 1), eps ~ N(0, sigma^2) drawn afresh. Evaluation: mask =
    clamp(mu, 0, 1). Rounded: 0 or 1 for good.

    Shape: () -> `shape`; bool once rounded.

    Args:
        shape: of the masks.
        generator: source of eps; None for torch's own.
    """

    on: Tensor  # once rounded, in the place of mu

    def __init__(self, shape: Sequence[int], *, generator: torch.Generator | None) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.full(tuple(shape), 0.5))
        self.generator = generator
        self._read: Callable[[], Tensor] | None = None

    @property
    def rounded(self) -> bool:
        """Whether every mask is 0 or 1 for good."""
        return "on" in self._buffers or self._read is not None

    def forward(self) -> Tensor:
        if self.rounded or not self.training:
            return self.settled()
        eps = normal(self.mu.shape, like=self.mu, generator=self.generator)
        return torch.add(self.mu, eps, alpha=SIGMA).clamp(0, 1)

    def settled(self) -> Tensor:
        """The masks of evaluation, without noise. Shape: `shape`."""
        if self._read is not None:
            return self._read()
        return self.on if self.rounded else self.mu.clamp(0, 1)

    def expected_on(self) -> Tensor:
        """Phi(mu / sigma), the probability that each mask is not 0 (eq. 6). Shape: `shape`."""
        probability: Tensor = torch.special.ndtr(self.mu / SIGMA)
        return probability

    @torch.no_grad()
    def round(self) -> None:
        """From now on 1 where mu is at least a half, else 0; no parameter is left."""
        on = self.mu >= 0.5
        del self.mu
        self.register_buffer("on", on)

    def hand_over(self, read: Callable[[], Tensor]) -> None:
        """Let go of the rounded masks, which somebody else keeps from now on; `read` gives them
        back.
        """
        del self.on
        self._read = read
