"""Systems whose gates select experts: sparse weights over a pool.

Legend: B rows, D width of the input, w width of an expert's output, N experts, T tasks.
"""

from collections.abc import Sequence

import torch

from automtl.nn._experts import Level
from automtl.nn._plain import Plain
from automtl.sharing import DSelectK as _DSelectK
from automtl.sharing import GumbelGates as _GumbelGates
from automtl.sharing import TopK as _TopK


class TopK(Plain, _TopK):
    """Top-k gates: each row, for each task, is given to the k experts of the largest gate logits.

    f_t = sum_i softmax(KeepTopK(A_t x + b_t, k))_i E_i(x)    (eq. 3 and 5, without their noise)

    Source: N. Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated
    Mixture-of-Experts Layer", ICLR 2017, arXiv:1701.06538.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.TopK([64, 32], width_in=16, tasks=2, num_experts=4, k=2)
    >>> click, buy = share.eval()(torch.randn(1, 16))
    >>> click.shape
    torch.Size([1, 32])
    >>> int((share.gate_weights()["task0"] > 0).sum())
    2

    Args:
        experts: N modules (B, D) -> (B, w), a function from D to such a module, the width of MLPs,
            or a list of their layers' widths.
        width_in: D.
        tasks: how many, or their names.
        num_experts: N, where the experts are no modules; default 8.
        k: experts that a gate selects, at most N.
        per_example: each row selects its own; else all rows alike, A = 0.
    """

    def __init__(
        self,
        experts: Level,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        num_experts: int | None = None,
        k: int = 2,
        per_example: bool = True,
    ) -> None:
        super().__init__(
            experts,
            width_in=width_in,
            tasks=tasks,
            num_experts=num_experts,
            settings={"k": k, "per_example": per_example},
        )


class Gumbel(Plain, _GumbelGates):
    """Gumbel-softmax gates: each expert is on or off for each task, drawn once a step in training,
    the likelier state in evaluation.

    f_t = sum_i w_ti E_i(x),  w_t = on_t * softmax(a_t), made to sum to 1

    ``advance(progress)`` lowers the temperature of the draws.

    Source: X. Sun, R. Panda, R. Feris, K. Saenko, "AdaShare: Learning What To Share For Efficient
    Deep Multi-Task Learning", NeurIPS 2020, arXiv:1911.12423, as the DSelect-k paper compares it.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.Gumbel([64, 32], width_in=16, tasks=2, num_experts=4)
    >>> share.advance(0.5)  # half of the training is done
    >>> click, buy = share(torch.randn(8, 16))
    >>> click.shape, round(share.temperature, 3)
    (torch.Size([8, 32]), 0.316)

    Args:
        experts: N modules (B, D) -> (B, w), a function from D to such a module, the width of MLPs,
            or a list of their layers' widths.
        width_in: D.
        tasks: how many, or their names.
        num_experts: N, where the experts are no modules; default 8.
        temperature: at the start of training.
        final_temperature: at its end; in between it falls geometrically.
        generator: of the draws; None for torch's own.
    """

    def __init__(
        self,
        experts: Level,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        num_experts: int | None = None,
        temperature: float = 1.0,
        final_temperature: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            experts,
            width_in=width_in,
            tasks=tasks,
            num_experts=num_experts,
            generator=generator,
            settings={"temperature": temperature, "final_temperature": final_temperature},
        )


class DSelectK(Plain, _DSelectK):
    """DSelect-k: sparse gates that are differentiable everywhere. k selectors for each task, each a
    product of smooth steps S over the bits of an expert's number.

    f_t = sum_i q_i E_i(x),  q = sum_j softmax(w)_j r(S(z^(j)))    (eq. 4 and 6)

    In the stage "select", ``advance(progress)`` narrows S over the last third, until each selector
    has one expert; ``begin("train")`` makes that final, and the experts that nobody selected are
    computed no more. ``auxiliary_loss()`` is the selectors' entropy, and keeps them off numbers
    that no expert has.

    Source: H. Hazimeh, Z. Zhao, A. Chowdhery, M. Sathiamoorthy, Y. Chen, R. Mazumder, L. Hong, E.
    Chi, "DSelect-k: Differentiable Selection in the Mixture of Experts with Applications to
    Multi-Task Learning", NeurIPS 2021, arXiv:2106.03760.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.DSelectK([64, 32], width_in=16, tasks=["click", "buy"], num_experts=4, k=2)
    >>> [stage.name for stage in share.stages()]
    ['select', 'train']
    >>> share.begin("select")
    >>> for step in range(100):
    ...     share.advance(step / 100)
    ...     click, buy = share(torch.randn(8, 16))
    ...     loss = click.mean() + buy.mean() + share.auxiliary_loss()
    >>> share.begin("train")
    >>> all(len(experts) <= 2 for experts in share.selected)
    True

    Args:
        experts: N modules (B, D) -> (B, w), a function from D to such a module, the width of MLPs,
            or a list of their layers' widths.
        width_in: D.
        tasks: how many, or their names.
        num_experts: N, where the experts are no modules; default 8.
        k: the most experts that a task selects, at most N.
        gamma: width of S before it narrows.
        select_epochs: of the stage "select", for loops that ask ``stages()``.
        per_example: each row selects its own experts; the loss then follows a forward pass.
        entropy: weight of the selectors' entropy.
    """

    def __init__(  # noqa: PLR0913 # the paper's
        self,
        experts: Level,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        num_experts: int | None = None,
        k: int = 2,
        gamma: float = 1.0,
        select_epochs: int = 5,
        per_example: bool = False,
        entropy: float = 1e-2,
    ) -> None:
        super().__init__(
            experts,
            width_in=width_in,
            tasks=tasks,
            num_experts=num_experts,
            settings={
                "k": k,
                "gamma": gamma,
                "select_epochs": select_epochs,
                "per_example": per_example,
                "entropy": entropy,
            },
        )
