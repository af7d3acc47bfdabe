"""Systems whose tasks have experts of their own.

Legend: B rows, D width of the input, w width of an expert's output, T tasks.
"""

from collections.abc import Mapping, Sequence

import torch

from automtl.nn._experts import Level, Levels
from automtl.nn._plain import Plain
from automtl.sharing import AITM as _AITM
from automtl.sharing import CGC as _CGC
from automtl.sharing import PLE as _PLE
from automtl.sharing import AdaTT as _AdaTT
from automtl.sharing import CrossStitch as _CrossStitch


class CGC(Plain, _CGC):
    """Customised gate control: each task gates its own experts and the shared ones.

    f_t = softmax(W_t x) [E_t; E_s]    (eq. 1 to 3)

    Source: H. Tang, J. Liu, M. Zhao, X. Gong, "Progressive Layered Extraction (PLE): A Novel
    Multi-Task Learning (MTL) Model for Personalized Recommendations", RecSys 2020,
    doi:10.1145/3383313.3412236, section 4.1.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.CGC([64, 32], width_in=16, tasks=2, task_experts=2, shared_experts=1)
    >>> click, buy = share(torch.randn(8, 16))
    >>> click.shape, len(share.experts)
    (torch.Size([8, 32]), 5)
    >>> share.gate_weights()["task0"][2:4].tolist()  # the other task's experts
    [0.0, 0.0]

    Args:
        experts: modules (B, D) -> (B, w), each task's in the order of the tasks, then the shared
            ones; or a function from D to a module, the width of MLPs, or a list of their layers'
            widths.
        width_in: D.
        tasks: how many, or their names.
        task_experts: of each task: one number, or one for each task as a list or by name.
        shared_experts: 0 for none.
    """

    def __init__(
        self,
        experts: Level,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        task_experts: int | Sequence[int] | Mapping[str, int] = 2,
        shared_experts: int = 2,
    ) -> None:
        super().__init__(
            experts,
            width_in=width_in,
            tasks=tasks,
            settings={"task_experts": task_experts, "shared_experts": shared_experts},
        )


class PLE(Plain, _PLE):
    """Progressive layered extraction: CGC on several levels. On every level but the last a shared
    unit gates all experts, and feeds the shared ones of the next level.

    f_t^l = softmax(W_t^l f_t^{l-1}) [E_t(f_t^{l-1}); E_s(f_s^{l-1})],  f^0 = x    (eq. 5 and 6)

    Source: H. Tang, J. Liu, M. Zhao, X. Gong, "Progressive Layered Extraction (PLE): A Novel
    Multi-Task Learning (MTL) Model for Personalized Recommendations", RecSys 2020,
    doi:10.1145/3383313.3412236, section 4.2.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.PLE([64, 32], width_in=16, tasks=["click", "buy"])  # two levels
    >>> click, buy = share(torch.randn(8, 16))
    >>> click.shape, len(share.experts)
    (torch.Size([8, 32]), 12)
    >>> [unit for unit in share.gate_weights() if "shared" in unit]
    ['level0.shared']

    Args:
        experts: for each level an entry: modules, each task's in the order of the tasks, then the
            shared ones; a function from an input width to a module; or widths of MLPs. Or one width
            or function for all levels.
        width_in: D.
        tasks: how many, or their names.
        levels: how many, where `experts` is one width or function; default 2.
        task_experts: of each task on each level: one number, or one for each task as a list or by
            name.
        shared_experts: on each level; 0 for none.
    """

    def __init__(
        self,
        experts: Levels,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        levels: int | None = None,
        task_experts: int | Sequence[int] | Mapping[str, int] = 2,
        shared_experts: int = 2,
    ) -> None:
        super().__init__(
            experts,
            width_in=width_in,
            tasks=tasks,
            levels=levels,
            settings={"task_experts": task_experts, "shared_experts": shared_experts},
        )


class AdaTT(Plain, _AdaTT):
    """AdaTT: adaptive task-to-task fusion. On each level a task's unit gates the experts of all
    units, and adds its own by weights that it learns.

    f_t = (G_t + pad(v_t)) E,  G_t = softmax(W_t f_t')    (eq. 4 to 11; f_t' of the level before)

    Source: D. Li, Z. Zhang, S. Yuan, M. Gao, W. Zhang, C. Yang, X. Liu, J. Yang, "AdaTT: Adaptive
    Task-to-Task Fusion Network for Multitask Learning in Recommendations", KDD 2023,
    arXiv:2304.04959, doi:10.1145/3580305.3599769.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.AdaTT([64, 32], width_in=16, tasks=["click", "buy"], task_experts=2)
    >>> click, buy = share(torch.randn(8, 16))
    >>> click.shape, len(share.experts)
    (torch.Size([8, 32]), 8)
    >>> share.native["0"].shape  # v of the first task's unit on the first level
    torch.Size([2])

    Args:
        experts: for each level an entry: modules, each task's in the order of the tasks, then the
            shared ones; a function from an input width to a module; or widths of MLPs. Or one width
            or function for all levels.
        width_in: D.
        tasks: how many, or their names.
        levels: how many, where `experts` is one width or function; default 2.
        task_experts: of each task on each level: one number, or one for each task as a list or by
            name.
        shared_experts: on each level; 0, the default, is the paper's AdaTT-sp.
        gate_bias: give the gates a bias.
        native_residual: add v; without it only the gate is left (Table 6).
        native_init: how v starts, "uniform" or "ones".
    """

    def __init__(  # noqa: PLR0913 # the paper's
        self,
        experts: Levels,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        levels: int | None = None,
        task_experts: int | Sequence[int] | Mapping[str, int] = 1,
        shared_experts: int = 0,
        gate_bias: bool = False,
        native_residual: bool = True,
        native_init: str = "uniform",
    ) -> None:
        super().__init__(
            experts,
            width_in=width_in,
            tasks=tasks,
            levels=levels,
            settings={
                "task_experts": task_experts,
                "shared_experts": shared_experts,
                "gate_bias": gate_bias,
                "native_residual": native_residual,
                "native_init": native_init,
            },
        )


class CrossStitch(Plain, _CrossStitch):
    """Cross-stitch networks: one expert for each task and level, and after each level a learnt
    matrix A, (T, T), that mixes the tasks, the same for all rows.

    f_t = sum_s A_ts E_s    (eq. 1; A starts at .9 on the diagonal)

    Source: I. Misra, A. Shrivastava, A. Gupta, M. Hebert, "Cross-stitch Networks for Multi-task
    Learning", CVPR 2016, arXiv:1604.03539.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.CrossStitch([64, 32], width_in=16, tasks=2)
    >>> click, buy = share(torch.randn(8, 16))
    >>> click.shape, len(share.experts)
    (torch.Size([8, 32]), 4)
    >>> [round(own, 2) for own in share.stitches[0].diag().tolist()]  # A on the first level
    [0.9, 0.9]

    Args:
        experts: for each level an entry: a module for each task, in their order; a function from an
            input width to a module; or widths of MLPs. Or one width or function for all levels.
        width_in: D.
        tasks: how many, or their names.
        levels: how many, where `experts` is one width or function; default 2.
    """

    def __init__(
        self,
        experts: Levels,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        levels: int | None = None,
    ) -> None:
        super().__init__(experts, width_in=width_in, tasks=tasks, levels=levels)


class AITM(Plain, _AITM):
    """AITM: adaptive information transfer along a funnel of tasks, such as click before buy. Each
    task attends to what the one before passes on, p_t = g(z_{t-1}), and to its own expert q_t.

    z_t = sum over u in {p_t, q_t} of softmax(<h2(u), h3(u)> / sqrt(w)) h1(u),  z_1 = q_1
    (eq. 3 and 4)

    ``auxiliary_loss(outputs)`` is the calibrator (eq. 8), which needs the tasks' logits; without a
    `calibration` it is 0 and needs nothing.

    Source: D. Xi et al., "Modeling the Sequential Dependence among Audience Multi-step Conversions
    with Multi-task Learning in Targeted Display Advertising", KDD 2021, arXiv:2105.08489.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.AITM([64, 32], width_in=16, tasks=["click", "buy"], calibration=0.6)
    >>> click, buy = share(torch.randn(8, 16))
    >>> logits = [click.mean(1), buy.mean(1)]  # in place of towers
    >>> loss = share.auxiliary_loss(logits)
    >>> loss.shape, bool(loss >= 0)
    (torch.Size([]), True)

    Args:
        experts: one module (B, D) -> (B, w) for each task, in their order; a function from D to
            such a module, the width of MLPs, or a list of their layers' widths.
        width_in: D.
        tasks: how many, or their names.
        order: the names in the order of the funnel; None for the order of `tasks`.
        calibration: weight of how far a task's probability exceeds that of the one before.
        transfer: g: "linear", or "dense", a layer with BatchNorm, ReLU and dropout.
        transfer_dropout: its rate.
        generator: of that dropout; None for torch's own.
    """

    def __init__(  # the paper's
        self,
        experts: Level,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        order: Sequence[str] | None = None,
        calibration: float = 0.0,
        transfer: str = "linear",
        transfer_dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            experts,
            width_in=width_in,
            tasks=tasks,
            generator=generator,
            settings={
                "order": order,
                "calibration": calibration,
                "transfer": transfer,
                "transfer_dropout": transfer_dropout,
            },
        )
