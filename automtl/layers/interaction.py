"""The feature interaction candidates: (B, F, d) -> (B, F*d) each, so `skip` is always legal
(AutoMTL, Table 1).

Legend: B rows, F fields, d embedding width, W = F*d, P = F*(F-1)/2 pairs, H heads, L layers. Names
and arguments are those of ``automtl.spaces.operations``.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.errors import ConfigError
from automtl.layers._attention import field_attention
from automtl.layers.normalization import ClosingNorm
from automtl.layers.operations import MLP, Skip
from automtl.spaces.operations import Operation
from automtl.strict import nearest

_FEW_FIELDS = 16  # up to them attention goes pair by pair
_MORE_FIELDS = 64  # beyond them their pairs' weights take too much memory


class InnerProduct(nn.Module):
    """Inner product of fields: y = W [flat x, <e_i, e_j> for each pair i < j, row by row] + b,
    closed by a BatchNorm and dropout.

    Source: PNN, Y. Qu et al., "Product-based Neural Networks for User Response Prediction", ICDM
    2016, arXiv:1611.00144, inner product.

    Shape: (B, F, d) -> (B, W). One field has no pairs: the flat input alone.

    >>> fields = torch.randn(64, 10, 8)
    >>> product = mtl.InnerProduct(num_fields=10, dim=8)
    >>> product.linear.in_features == 10 * 8 + 10 * 9 // 2
    True
    >>> product(fields).shape
    torch.Size([64, 80])

    Args:
        num_fields: F.
        dim: d.
        dropout: rate after the closing BatchNorm.
        batch_norm: off leaves BatchNorms out.
        generator: of dropout; None for torch's own.
    """

    pairs: Tensor

    def __init__(
        self,
        *,
        num_fields: int,
        dim: int,
        dropout: float = 0.0,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.width_out = num_fields * dim
        i, j = torch.triu_indices(num_fields, num_fields, offset=1)
        self.register_buffer(
            "pairs", i * num_fields + j, persistent=False
        )  # (P,) positions in the flat F x F products
        self.linear = nn.Linear(self.width_out + len(i), self.width_out)
        self.ending = ClosingNorm(
            self.width_out, dropout=dropout, batch_norm=batch_norm, generator=generator
        )

    def forward(self, x: Tensor) -> Tensor:
        products = torch.bmm(x, x.transpose(1, 2)).flatten(1)  # (B, F*F)
        features = torch.cat(
            [x.flatten(1), products.index_select(1, self.pairs)], dim=1
        )  # (B, W + P)
        out: Tensor = self.ending(self.linear(features))
        return out


class OuterProduct(nn.Module):
    """Outer product of fields: y = W [flat x, s s^T] + b with s = sum_i e_i, closed by a BatchNorm
    and dropout.

    Source: PNN, Y. Qu et al., "Product-based Neural Networks for User Response Prediction", ICDM
    2016, arXiv:1611.00144, outer product by sum pooling.

    Shape: (B, F, d) -> (B, W).

    >>> fields = torch.randn(64, 10, 8)
    >>> product = mtl.OuterProduct(num_fields=10, dim=8)
    >>> product.linear.in_features == 10 * 8 + 8 * 8
    True
    >>> product(fields).shape
    torch.Size([64, 80])

    Args:
        num_fields: F.
        dim: d.
        dropout: rate after the closing BatchNorm.
        batch_norm: off leaves BatchNorms out.
        generator: of dropout; None for torch's own.
    """

    def __init__(
        self,
        *,
        num_fields: int,
        dim: int,
        dropout: float = 0.0,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.width_out = num_fields * dim
        self.linear = nn.Linear(self.width_out + dim * dim, self.width_out)
        self.ending = ClosingNorm(
            self.width_out, dropout=dropout, batch_norm=batch_norm, generator=generator
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.sum(dim=1)  # (B, d)
        outer = pooled.unsqueeze(2) * pooled.unsqueeze(1)  # (B, d, d)
        out: Tensor = self.ending(self.linear(torch.cat([x.flatten(1), outer.flatten(1)], dim=1)))
        return out


class Cross(nn.Module):
    """L cross layers on the flat vector: x_{l+1} = x_0 * (x_l . w_l) + b_l + x_l (eq. 3),
    closed by a BatchNorm and dropout.

    By induction x_l = c_l * x_0 + t_l with c_l one number per row and t_l = b_0 + ... + b_{l-1}:
    all dot products with x_0 are one product of matrices, and no layer but the last touches (B, W).

    Source: DCN, R. Wang, B. Fu, G. Fu, M. Wang, "Deep & Cross Network for Ad Click Predictions",
    ADKDD 2017, arXiv:1708.05123.

    Shape: (B, F, d) -> (B, W).

    >>> fields = torch.randn(64, 10, 8)
    >>> cross = mtl.Cross(num_fields=10, dim=8, layers=2, batch_norm=False)
    >>> x, (w, v) = fields.flatten(1), cross.weight  # the biases start at 0
    >>> once = x * (x @ w).unsqueeze(1) + x
    >>> torch.allclose(cross(fields), x * (once @ v).unsqueeze(1) + once, atol=1e-5)
    True

    Args:
        num_fields: F.
        dim: d.
        layers: L.
        dropout: rate after the closing BatchNorm.
        batch_norm: off leaves BatchNorms out.
        generator: of dropout; None for torch's own.
    """

    def __init__(
        self,
        *,
        num_fields: int,
        dim: int,
        layers: int,
        dropout: float = 0.0,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.width_out = num_fields * dim
        self.weight = nn.Parameter(torch.empty(layers, self.width_out))
        self.bias = nn.Parameter(torch.zeros(layers, self.width_out))
        # as torch's Linear(W, 1)
        nn.init.uniform_(self.weight, -1 / math.sqrt(self.width_out), 1 / math.sqrt(self.width_out))
        self.ending = ClosingNorm(
            self.width_out, dropout=dropout, batch_norm=batch_norm, generator=generator
        )

    def forward(self, x: Tensor) -> Tensor:
        start = x.flatten(1)  # (B, W)
        dots = functional.linear(start, self.weight)  # (B, L): x_0 . w_l
        factor, shift = (
            torch.ones_like(dots[:, 0]),
            torch.zeros_like(self.bias[0]),
        )  # (B,), (W,): c_l, t_l
        for layer, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            factor = factor + factor * dots[:, layer] + (shift * weight).sum()
            shift = shift + bias
        out: Tensor = self.ending(start * factor.unsqueeze(1) + shift)
        return out


class SelfAttention(nn.Module):
    """Self-attention over the F field vectors: y = LayerNorm(x + MultiHead(x, x, x)).

    It keeps its LayerNorm instead of the closing BatchNorm and dropout of the others.

    Source: A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762; W. Song
    et al., "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks",
    CIKM 2019, arXiv:1810.11921.

    Shape: (B, F, d) -> (B, W).

    >>> fields = torch.randn(64, 10, 8)
    >>> attention = mtl.SelfAttention(num_fields=10, dim=8, heads=2)
    >>> attention(fields).shape
    torch.Size([64, 80])
    >>> attention(fields).view(64, 10, 8).mean(2).abs().max().item() < 1e-5  # a LayerNorm ends it
    True

    Args:
        num_fields: F.
        dim: d.
        heads: H, a divisor of d.

    Attributes:
        fused: in training, for few fields on a CPU, attend pair by pair: same values, a third of
            the time.

    Raises:
        ConfigError: d is not divisible by the number of heads.
    """

    def __init__(self, *, num_fields: int, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            fix = "choose another embedding width or take this candidate out of the space"
            raise ConfigError(
                f"self_attention({heads})",
                f"embedding width d must be divisible by {heads} heads",
                f"d = {dim}",
                fix,
            )
        self.width_out = num_fields * dim
        self.heads = heads
        self.fused = True
        self.project_in = nn.Linear(dim, 3 * dim)
        self.project_out = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        nn.init.xavier_uniform_(self.project_in.weight)  # as torch's MultiheadAttention
        nn.init.zeros_(self.project_in.bias)
        nn.init.zeros_(self.project_out.bias)

    def forward(self, x: Tensor) -> Tensor:
        few = self.training and self.fused and x.shape[1] <= min(_FEW_FIELDS, 8 * self.heads)
        small = few and x.device.type == "cpu" and not torch.compiler.is_compiling()
        out: Tensor = self.norm(x + (self._rows_last(x) if small else self._rows_first(x)))
        return out.flatten(1)

    def _rows_first(self, x: Tensor) -> Tensor:
        query, key, value = (
            self.project_in(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # each (B, H, F, d/H)
        out: Tensor = self.project_out(
            _attend(query, key, value).transpose(1, 2).flatten(2)
        )  # (B, F, d)
        return out

    def _rows_last(self, x: Tensor) -> Tensor:
        """The same pair by pair; attention itself in float32 at least, since its sums are rounded
        term by term.
        """
        packed = _linear_rows_last(self.project_in, x.permute(1, 2, 0))  # (F, 3 d, B)
        packed = packed.to(torch.promote_types(packed.dtype, torch.float32))
        mixed = field_attention(packed.view(len(packed), 3, self.heads, -1, len(x))).flatten(
            1, 2
        )  # (F, d, B)
        return _linear_rows_last(self.project_out, mixed).permute(2, 0, 1)


def _linear_rows_last(linear: nn.Linear, x: Tensor) -> Tensor:
    """Shape: (F, I, B) -> (F, O, B)."""
    return torch.baddbmm(linear.bias.unsqueeze(1), linear.weight.expand(len(x), -1, -1), x)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(width)) V; in bfloat16 on a CPU by plain products, 2.3 times as fast
    there as torch's kernel.

    Shape: three times (B, H, F, d/H) -> the same.
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16 or query.shape[2] > _MORE_FIELDS:
        return functional.scaled_dot_product_attention(query, key, value)
    scores = (query / math.sqrt(query.shape[3])) @ key.transpose(2, 3)  # (B, H, F, F)
    return scores.softmax(dim=3) @ value


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "product": lambda argument, **common: {"inner": InnerProduct, "outer": OuterProduct}[argument](
        **common
    ),
    "cross": lambda argument, **common: Cross(layers=argument, **common),
    "self_attention": lambda argument, num_fields, dim, **ending: SelfAttention(
        num_fields=num_fields, dim=dim, heads=argument
    ),
    "mlp": lambda argument, num_fields, dim, **ending: MLP(
        width_in=num_fields * dim, hidden=argument, **ending
    ),
    "skip": lambda argument, num_fields, dim, **ending: Skip(width_in=num_fields * dim),
}


def build_interaction(
    operation: Operation,
    *,
    num_fields: int,
    dim: int,
    dropout: float = 0.0,
    batch_norm: bool = True,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """The module of a feature interaction, with attribute `width_out` = F*d.

    Shape: (B, F, d) -> (B, F*d).

    Args:
        operation: name and argument, legal by the catalogue.
        num_fields: F, at least 1.
        dim: d, the embedding width.
        dropout: rate after the closing BatchNorm; `skip` and `self_attention` have neither.
        batch_norm: off removes the BatchNorm inside and at the end.
        generator: dropout's source of randomness.

    Raises:
        ConfigError: no such interaction, or d is not divisible by its number of heads.
    """
    if operation.name not in BUILDERS:
        raise ConfigError(
            "operation",
            "must be an interaction operation",
            repr(operation.name),
            nearest(operation.name, BUILDERS),
        )
    return BUILDERS[operation.name](
        operation.argument,
        num_fields=num_fields,
        dim=dim,
        dropout=dropout,
        batch_norm=batch_norm,
        generator=generator,
    )
