"""Systems that learn masks: which connections are on, which fields and cells a task reads, which
weights of one base network an expert keeps.

Legend: B rows, F fields, d their width, D width of the experts' input, w width of an expert's
output, T tasks.
"""

from collections.abc import Sequence

import torch
from torch import nn

from automtl.nn._experts import Factory, Levels
from automtl.nn._plain import Plain
from automtl.sharing import MSSM as _MSSM
from automtl.sharing import MoME as _MoME
from automtl.sharing import SNRAver as _SNRAver
from automtl.sharing import SNRTrans as _SNRTrans


class _SubNetworks(Plain):
    """The arguments of the two systems of sub-network routing."""

    usual_experts = 3

    def __init__(
        self,
        experts: Levels,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        num_experts: int | None = None,
        levels: int | None = None,
        l0: float = 1e-2,
        settle_steps: int = 400,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            experts,
            width_in=width_in,
            tasks=tasks,
            num_experts=num_experts,
            levels=levels,
            generator=generator,
            settings={"l0": l0, "settle_steps": settle_steps},
        )


class SNRAver(_SubNetworks, _SNRAver):
    """Sub-network routing by averages: every sub-network of the next level, and every task, adds up
    the sub-networks of this level whose connections are on.

    v_i = sum_j z_ij u_j    (eq. 3; z a scalar hard concrete variable, drawn once a step)

    ``auxiliary_loss()`` is l0 times the expected number of connections that are on, beyond the
    likeliest of each reader (eq. 9). Give the masks their own rate, by ``mtl.parameter_groups``.

    Source: J. Ma, Z. Zhao, J. Chen, A. Li, L. Hong, E. Chi, "SNR: Sub-Network Routing for Flexible
    Parameter Sharing in Multi-Task Learning", AAAI 2019, doi:10.1609/aaai.v33i01.3301216.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.SNRAver([64, 32], width_in=16, tasks=2, num_experts=3, l0=0.1)
    >>> click, buy = share(torch.randn(8, 16))
    >>> loss = click.mean() + buy.mean() + share.auxiliary_loss()
    >>> click.shape, [group["lr"] for group in mtl.parameter_groups(share, lr=1e-3)]
    (torch.Size([8, 32]), [0.01, 0.001])
    >>> share.record()["connections_on"]  # the share on each level; all are on at the start
    [1.0, 1.0]

    Args:
        experts: for each level an entry: N modules, a function from an input width to a module, or
            widths of MLPs; or one width or function for all levels.
        width_in: D.
        tasks: how many, or their names.
        num_experts: N on each level, where the experts are no modules; default 3.
        levels: how many, where `experts` is one width or function; default 2.
        l0: weight of the penalty.
        settle_steps: of the stage "settle", for loops that ask ``stages()``.
        generator: of the masks' noise; None for torch's own.
    """


class SNRTrans(_SubNetworks, _SNRTrans):
    """Sub-network routing by transformations: as `SNRAver`, with a learnt matrix in each
    connection.

    v_i = sum_j z_ij W_ij u_j    (eq. 2; z a scalar hard concrete variable, drawn once a step)

    Source: J. Ma, Z. Zhao, J. Chen, A. Li, L. Hong, E. Chi, "SNR: Sub-Network Routing for Flexible
    Parameter Sharing in Multi-Task Learning", AAAI 2019, doi:10.1609/aaai.v33i01.3301216.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.SNRTrans([64, 32], width_in=16, tasks=2, num_experts=3)
    >>> click, buy = share(torch.randn(8, 16))
    >>> click.shape, [tuple(transform.shape) for transform in share.transforms]
    (torch.Size([8, 32]), [(3, 64, 3, 64), (2, 32, 3, 32)])
    >>> bool(share.auxiliary_loss() > 0)
    True

    Args:
        experts: for each level an entry: N modules, a function from an input width to a module, or
            widths of MLPs; or one width or function for all levels.
        width_in: D.
        tasks: how many, or their names.
        num_experts: N on each level, where the experts are no modules; default 3.
        levels: how many, where `experts` is one width or function; default 2.
        l0: weight of the penalty.
        settle_steps: of the stage "settle", for loops that ask ``stages()``.
        generator: of the masks' noise; None for torch's own.
    """


class MSSM(Plain, _MSSM):
    """MSSM: fields and cells shared sparsely. A sub-network for each task and a shared one; each
    reads the fields under masks of its own, and after each level a task reads the cells of its own
    and of the shared sub-network whose masks are on.

    E_j = relu(tanh(g_j o e)) o e,  v_i = sum_j m_ij o (W_ij u_j)    (sections 2.1 and 2.2)

    m is a hard concrete mask over cells, drawn once a step; ``auxiliary_loss()`` holds it down and
    decays the weights. Give the masks their own rate, by ``mtl.parameter_groups``.

    Source: K. Ding, X. Dong, Y. He, L. Cheng, C. Fu, Z. Huan, H. Li, T. Yan, L. Zhang, X. Zhang, L.
    Mo, "MSSM: A Multiple-level Sparse Sharing Model for Efficient Multi-Task Learning", SIGIR 2021,
    doi:10.1145/3404835.3463022.

    Shape: (B, F, d) -> T tensors (B, w). An interaction between the masks and the experts is called
    on several masked copies of the rows at once: ``share(fields, interaction)`` with
    interaction: (n * B, F, d) -> (n * B, D). Without one, D = F * d. Without a `field_shape` no
    field is masked (MSSM-a), and the input is (B, D).

    >>> share = mtl.MSSM([32, 16], field_shape=(10, 8), tasks=["click", "buy"])
    >>> click, buy = share(torch.randn(64, 10, 8))
    >>> click.shape, share.width_in
    (torch.Size([64, 16]), 80)
    >>> cross = mtl.Cross(num_fields=10, dim=8, layers=2)
    >>> [tuple(task.shape) for task in share(torch.randn(64, 10, 8), cross)]
    [(64, 16), (64, 16)]
    >>> share.record()["cells_off"]  # the share of cells that are off; none at the start
    0.0

    Args:
        experts: for each level an entry: modules, one for each task in their order, then the shared
            one; a function from an input width to a module; or widths of MLPs. Or one width or
            function for all levels.
        tasks: how many, or their names.
        field_shape: F and d; None to mask no fields.
        width_in: D; None for F * d.
        levels: how many, where `experts` is one width or function; default 2.
        field_mask: "vector" (a mask for each number) or "scalar" (for each field, the paper's).
        cells: a mask for each cell; without (MSSM-b) one for each connection, and all sub-networks
            are connected.
        penalty: what `lambda_m` weighs: the "mean" or the "sum" (the paper's) over the masks.
        lambda_m: weight of the masks' probability to be on.
        l2: weight of the mean square of the weights.
        settle_steps: of the stage "settle", for loops that ask ``stages()``.
        generator: of the masks' noise; None for torch's own.
    """

    def __init__(  # noqa: PLR0913 # the paper's
        self,
        experts: Levels,
        *,
        tasks: int | Sequence[str],
        field_shape: tuple[int, int] | None = None,
        width_in: int | None = None,
        levels: int | None = None,
        field_mask: str = "vector",
        cells: bool = True,
        penalty: str = "mean",
        lambda_m: float = 0.1,
        l2: float = 1e-3,
        settle_steps: int = 400,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            experts,
            width_in=width_in,
            tasks=tasks,
            levels=levels,
            field_shape=field_shape,
            generator=generator,
            settings={
                "fields": field_shape is not None,
                "field_mask": field_mask,
                "cells": cells,
                "penalty": penalty,
                "lambda_m": lambda_m,
                "l2": l2,
                "settle_steps": settle_steps,
            },
        )


class MoME(Plain, _MoME):
    """MoME: mixture of masked experts. One base network, and for each expert a mask over its
    weights; each task gates the masked networks.

    f_t = sum_e softmax(G_t x)_e f(x, W o Z_e)    (eq. 1 and 2)

    Three stages: "neuron masks" learns which inputs of the base's layers matter, and removes the
    others for good; "weight masks" learns Z_e; "fine-tuning" rounds Z_e to 0 and 1 and trains the
    weights that are left. Parameters change between them: make the optimiser after ``begin()``.
    Hidden neurons are removed whole where the base is an MLP, or an ``nn.Sequential`` of linear
    layers, BatchNorms and what acts on each number by itself.

    Source: J. Xu, L. Sun, D. Zhao, "MoME: Mixture-of-Masked-Experts for Efficient Multi-Task
    Recommendation", SIGIR 2024, doi:10.1145/3626772.3657922.

    Shape: (B, D) -> T tensors (B, w).

    >>> base = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 32))
    >>> share = mtl.MoME(base, width_in=16, tasks=["click", "buy"], masks=4)
    >>> [stage.name for stage in share.stages()]
    ['neuron masks', 'weight masks', 'fine-tuning']
    >>> for stage in share.stages():
    ...     share.begin(stage)
    ...     click, buy = share(torch.randn(8, 16))  # and train, see docs/nn.md
    >>> click.shape, share.experts[0][0].mask.on.dtype  # rounded
    (torch.Size([8, 32]), torch.bool)

    Args:
        expert: the base network: a module (B, D) -> (B, w), the width of an MLP, or a list of its
            layers' widths.
        width_in: D.
        tasks: how many, or their names.
        masks: experts; 0 for the base alone.
        neuron_epochs: of the first stage, for loops that ask ``stages()``; 0 leaves it out.
        weight_epochs: of the second.
        lambda_neuron: weight of the expected number of neurons that are on.
        lambda_weight: weight of the expected number of mask entries that are on.
        penalty: over a mask's entries their "sum" (eq. 6) or their "mean".
        norms: each expert has BatchNorms of its "own", or they are "shared".
        generator: of the masks' noise; None for torch's own.
    """

    def __init__(  # noqa: PLR0913 # the paper's
        self,
        expert: nn.Module | int | Sequence[int] | Factory,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        masks: int = 8,
        neuron_epochs: int = 10,
        weight_epochs: int = 10,
        lambda_neuron: float = 1e-5,
        lambda_weight: float = 1e-7,
        penalty: str = "sum",
        norms: str = "own",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            expert,
            width_in=width_in,
            tasks=tasks,
            generator=generator,
            settings={
                "masks": masks,
                "neuron_epochs": neuron_epochs,
                "weight_epochs": weight_epochs,
                "lambda_neuron": lambda_neuron,
                "lambda_weight": lambda_weight,
                "penalty": penalty,
                "norms": norms,
            },
        )
