"""Numeric columns as fields (AutoMTL, section 4.1.4, and others).

Legend: B rows, M numeric columns, d embedding width, K frequencies.
"""

import math

import torch
from torch import Tensor, nn


class NumericFields(nn.Module):
    """x_j * w_j + b_j: every numeric column a field of its own.

    Shape: (B, M) -> (B, M, d).
    """

    def __init__(self, *, num_numeric: int, dim: int) -> None:
        super().__init__()
        # as the feature tokenizer of Gorishniy et al. 2021: the scale of the embeddings beside it
        bound = 1 / math.sqrt(dim)
        self.weight = nn.Parameter(torch.empty(num_numeric, dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_numeric, dim).uniform_(-bound, bound))

    def forward(self, dense: Tensor) -> Tensor:
        return torch.addcmul(self.bias, dense.to(self.weight.dtype).unsqueeze(2), self.weight)


class JointNumeric(nn.Module):
    """One Linear over all numeric columns: together one field (the authors' code).

    Shape: (B, M) -> (B, 1, d).
    """

    def __init__(self, *, num_numeric: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_numeric, dim)

    def forward(self, dense: Tensor) -> Tensor:
        out: Tensor = self.linear(dense.to(self.linear.weight.dtype))
        return out.unsqueeze(1)


class PeriodicNumeric(nn.Module):
    """PLR (Gorishniy et al. 2022, section 3.4): ReLU(Linear_j([sin(2 pi c_j x_j), cos(2 pi c_j
    x_j)])), c_j learnt from N(0, sigma).

    Every column has frequencies and a Linear of its own.

    Shape: (B, M) -> (B, M, d).

    Args:
        num_numeric: M.
        dim: d.
        frequencies: K, 48 as in their code.
        sigma: of the frequencies' start; the larger, the finer the waves.
    """

    def __init__(
        self, *, num_numeric: int, dim: int, frequencies: int = 48, sigma: float = 0.1
    ) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.randn(num_numeric, frequencies) * sigma)
        bound = 1 / math.sqrt(2 * frequencies)
        self.weight = nn.Parameter(
            torch.empty(num_numeric, 2 * frequencies, dim).uniform_(-bound, bound)
        )
        self.bias = nn.Parameter(torch.empty(num_numeric, dim).uniform_(-bound, bound))

    def forward(self, dense: Tensor) -> Tensor:
        angles = (
            2 * math.pi * dense.to(self.weight.dtype).unsqueeze(2) * self.frequencies
        )  # (B, M, K)
        waves = torch.cat([angles.sin(), angles.cos()], dim=2)  # (B, M, 2K)
        out = torch.bmm(waves.transpose(0, 1), self.weight).transpose(0, 1)  # (B, M, d)
        return torch.relu(out + self.bias)


NUMERIC = {"linear": NumericFields, "joint": JointNumeric, "periodic": PeriodicNumeric}
