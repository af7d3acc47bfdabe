"""The choice block of the supernet: as the formula reads, or the same values in fewer passes.
Legend: B rows, W width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError
from automtl.layers._fused_choice_block import fused_sum, kinds_of
from automtl.layers.nested import NestedMLP
from automtl.layers.normalization import Dropout


class ChoiceBlock(nn.Module):
    """y = sum_o softmax(alpha)_o op_o(x) + auxiliary_skip * x (paper section 3.4.1; the second term
    is DARTS-, Chu et al. 2020).

    The auxiliary skip stands outside the softmax; the search takes it from 1 to 0.

    Shape: (B, ...) -> (B, W), the dimensions after the first flattened to W.

    Args:
        candidates: the operations, each (B, ...) -> (B, W).
        alpha: (number of candidates,) architecture parameters; may be shared between blocks.
        fused: in training, compute the candidates together where they allow it (see
            `_fused_choice_block`): same values, no second derivatives.

    Attributes:
        auxiliary_skip: weight of x itself.
        shares: where set, stands for softmax(alpha) (a relaxed sample, a mask).
        path: where set, only this candidate is computed; its weight is its share where `shares` is
            set, else 1.
        recompute: when fused, make hidden units again for the gradient instead of keeping them:
            slower, less memory.

    Raises:
        ConfigError: no candidate, or alpha of another length.
    """

    def __init__(
        self, candidates: Sequence[nn.Module], *, alpha: nn.Parameter, fused: bool = True
    ) -> None:
        super().__init__()
        if not candidates or alpha.shape != (len(candidates),):
            got = f"{len(candidates)} candidates and alpha {tuple(alpha.shape)}"
            raise ConfigError("choice block", "needs one alpha per candidate", got)
        self.candidates = nn.ModuleList(candidates)
        self.layout = str(self.candidates)  # kinds, widths and rates
        self.alpha = alpha
        self.auxiliary_skip = 0.0
        self.fused, self.recompute = fused, False
        self.shares: Tensor | None = None
        self.path: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.path is not None:
            return self._one(x, self.path)
        if self.fused and self.training:
            kinds = kinds_of(self.candidates)
            if kinds["mlp"] or kinds["convolution"]:
                whole: list[Tensor] = _fused([self], [x], kinds)
                return whole[0]
        shares = self.weights().unbind()
        out: Tensor = shares[0] * self.candidates[0](x)
        for share, candidate in zip(shares[1:], self.candidates[1:], strict=True):
            out = out + share * candidate(x)
        return out + self.auxiliary_skip * x.flatten(1) if self.auxiliary_skip else out

    def form(self) -> tuple[Any, ...]:
        """All that two blocks may differ in but their parameters."""
        return (
            self.layout,
            self.training,
            self.fused,
            self.path,
            self.recompute,
            self.auxiliary_skip,
        )

    def weights(self) -> Tensor:
        """The factor of each candidate's output. Shape: (candidates,)."""
        return torch.softmax(self.alpha, dim=0) if self.shares is None else self.shares

    def _one(self, x: Tensor, path: int) -> Tensor:
        """One candidate's output and the auxiliary skip."""
        candidate = self.candidates[path]
        out: Tensor = candidate(x, alone=True) if isinstance(candidate, NestedMLP) else candidate(x)
        if self.shares is not None:
            out = self.shares[path] * out
        return out + self.auxiliary_skip * x.flatten(1) if self.auxiliary_skip else out


def in_step(experts: Sequence[nn.Module], xs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of experts on their inputs.

    Chains of fused choice blocks that differ in their parameters only are computed block by block,
    all experts at once: on small batches most of a step's time is small operations, which this does
    once instead of N times.

    Shape: N times (B, W) -> N times (B, W).
    """
    chains = [list(getattr(expert, "operations", ())) for expert in experts]
    levels = list(zip(*chains, strict=False))
    if (
        len({len(chain) for chain in chains}) > 1
        or not levels
        or not all(_alike(blocks) for blocks in levels)
    ):
        return [expert(x) for expert, x in zip(experts, xs, strict=True)]
    for blocks in levels:
        xs = _fused(blocks, xs, kinds_of(blocks[0].candidates))
    return list(xs)


def _alike(blocks: Sequence[nn.Module]) -> bool:
    """Whether choice blocks can be fused together. Blocks with dropout cannot: each draws its masks
    after the one before it.
    """
    first = blocks[0]
    if not isinstance(first, ChoiceBlock) or not all(
        isinstance(b, ChoiceBlock) and b.form() == first.form() for b in blocks
    ):
        return False
    kinds = kinds_of(first.candidates)
    fused = (
        first.training
        and first.fused
        and first.path is None
        and bool(kinds["mlp"] or kinds["convolution"])
    )
    return (
        fused
        and not kinds["other"]
        and not any(m.active for m in first.modules() if isinstance(m, Dropout))
    )


# a compiler cannot look through the kernels' own backward passes
@torch.compiler.disable  # type: ignore[untyped-decorator]
def _fused(
    blocks: Sequence[ChoiceBlock], xs: Sequence[Tensor], kinds: dict[str, list[int]]
) -> list[Tensor]:
    """See `fused_sum`."""
    shares = [block.weights() for block in blocks]
    candidates = [block.candidates for block in blocks]
    return fused_sum(
        xs,
        candidates,
        shares,
        kinds,
        auxiliary_skip=blocks[0].auxiliary_skip,
        keep=not blocks[0].recompute,
    )
