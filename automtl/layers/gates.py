"""Gates over experts, and a meter of their weights.

Legend: B rows, N experts, c outputs, k selectors, m bits.
"""

import math
from typing import Self

import torch
from torch import Tensor, nn

LOG_FLOOR = 1e-6  # where a probability is 0, the gradient of its entropy must stay finite


class Gate(nn.Module):
    """softmax(W h + b) over experts (Ma et al., KDD 2018, eq. 7; without bias there as here).

    Shape: (B, width_in) -> (B, num_outputs), rows sum to 1.

    Args:
        width_in: width of the gate's input h.
        num_outputs: how many experts it weighs.
        bias: give the linear map a bias.
    """

    def __init__(self, width_in: int, num_outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, num_outputs, bias=bias)

    def forward(self, h: Tensor) -> Tensor:
        logits: Tensor = self.linear(h)
        return logits.softmax(dim=-1)


def top_k_softmax(logits: Tensor, k: int) -> Tensor:
    """softmax(KeepTopK(logits)): over the k largest, exactly 0 elsewhere (Shazeer et al. 2017, eq.
    3 and 5, without their noise).

    Shape: (..., N) -> (..., N).
    """
    values, places = logits.topk(k, dim=-1)
    return torch.zeros_like(logits).scatter(-1, places, values.softmax(dim=-1))


def smooth_step(t: Tensor, gamma: Tensor) -> Tensor:
    """S(t): 0 up to -gamma/2, 1 from gamma/2, a cubic between (Hazimeh et al. 2021, section 3.1.3);
    a step where gamma is 0.
    """
    u = (t / gamma.clamp_min(torch.finfo(t.dtype).tiny)).clamp(-0.5, 0.5)
    return u * (1.5 - 2 * u.square()) + 0.5


def bit_codes(num_experts: int) -> Tensor:
    """Bit b of the number i, for every expert i. Shape: (N, m), bool, m = ceil(log2 N)."""
    bits = math.ceil(math.log2(num_experts))
    return torch.tensor(
        [[bool(i >> b & 1) for b in range(bits)] for i in range(num_experts)]
    ).reshape(num_experts, bits)


def single_selectors(bits: Tensor, codes: Tensor) -> Tensor:
    """r_i = product over b of s_b where bit b of i is set, of 1 - s_b where it is not (Hazimeh et
    al. 2021, eq. 4).

    Shape: bits s (..., m) in [0, 1], codes (N, m) -> (..., N).
    """
    factors = torch.where(codes, bits.unsqueeze(-2), 1 - bits.unsqueeze(-2))  # (..., N, m)
    chosen = torch.ones_like(factors[..., 0]) if factors.shape[-1] == 0 else factors[..., 0]
    # torch's prod looks for zeros on the host in its gradient
    for b in range(1, factors.shape[-1]):
        chosen = chosen * factors[..., b]
    return chosen


def selector_entropy(r: Tensor) -> Tensor:
    """H(r) = -sum_i r_i ln r_i in nats. Shape: (..., N) -> (...)."""
    return -(r * r.clamp_min(LOG_FLOOR).log()).sum(-1)


class GateMeter(nn.Module):
    """The mean of a gate's weights: over the last batch in training, over all rows since ``eval()``
    in evaluation.

    Sums are buffers, so that a checkpoint holds the weights of its own epoch. Before the first
    batch all weights are equal.

    Args:
        size: how many weights.

    Attributes:
        seen: whether there are observations that were not added up over ranks yet.
    """

    total: Tensor
    rows: Tensor
    update_statistics: bool = True  # off in an alpha step, see normalization.frozen_statistics

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("total", torch.full((size,), 1 / size))
        self.register_buffer("rows", torch.ones((), dtype=torch.int64))
        self._adding = self.seen = False

    def train(self, mode: bool = True) -> Self:
        """Reset at every ``train()`` and ``eval()``, so that a resumed run has the same means."""
        self._adding = self.seen = False
        return super().train(mode)

    @torch.no_grad()
    def observe(self, weights: Tensor) -> None:
        """Add weights (B, size), or (size,) where all rows have the same."""
        if not self.update_statistics or torch.compiler.is_exporting():
            return
        rows = weights if weights.dim() == 2 else weights.unsqueeze(0)
        if self.training or not self._adding:
            self.total.zero_()
            self.rows.zero_()
        self.total.add_(rows.detach().sum(0, dtype=self.total.dtype))
        self.rows.add_(len(rows))
        self._adding, self.seen = not self.training, True

    @torch.no_grad()
    def take(self, total: Tensor | None, rows: Tensor | None) -> None:
        """Replace the sums by those over all ranks, where there are any."""
        if total is not None and rows is not None:
            self.total.copy_(total)
            self.rows.copy_(rows)
        self.seen = False

    def mean(self) -> Tensor:
        """Shape: (size,)."""
        return self.total / self.rows.clamp_min(1)
