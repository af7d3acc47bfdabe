"""Gates over experts. Legend: B rows, N experts, c outputs, k selectors, m bits."""

import math

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
