"""Systems of one softmax gate for each reader, and the one that has no gate at all.

Legend: B rows, D width of the input, w width of an expert's output, N experts, T tasks.
"""

from collections.abc import Sequence

from torch import nn

from automtl.errors import ConfigError, counted
from automtl.nn._experts import Factory, Level, Levels
from automtl.nn._plain import Plain, task_names
from automtl.sharing import MMoE as _MMoE
from automtl.sharing import MoE as _MoE
from automtl.sharing import MultiLevelMMoE as _MultiLevelMMoE
from automtl.sharing import Selected as _Selected
from automtl.sharing import SharedBottom as _SharedBottom


class SharedBottom(Plain, _SharedBottom):
    """Shared bottom: one expert under all tasks.

    f_t = E(x)

    Source: R. Caruana, "Multitask Learning", Machine Learning 28, 1997.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.SharedBottom(nn.Sequential(nn.Linear(16, 32), nn.ReLU()), width_in=16, tasks=2)
    >>> click, buy = share(torch.randn(8, 16))
    >>> click.shape, share.width_out
    (torch.Size([8, 32]), [32, 32])
    >>> torch.equal(click, buy)
    True

    Args:
        expert: a module (B, D) -> (B, w), the width of an MLP, or a list of its layers' widths.
        width_in: D.
        tasks: how many, or their names.
    """

    def __init__(
        self,
        expert: nn.Module | int | Sequence[int] | Factory,
        *,
        width_in: int,
        tasks: int | Sequence[str],
    ) -> None:
        super().__init__(expert, width_in=width_in, tasks=tasks)


class MoE(Plain, _MoE):
    """Mixture of experts: one gate over all experts, the same for all tasks.

    f_t = sum_i softmax(W x)_i E_i(x)

    Source: R. Jacobs, M. Jordan, S. Nowlan, G. Hinton, "Adaptive Mixtures of Local Experts", Neural
    Computation 3, 1991.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.MoE([64, 32], width_in=16, tasks=2, num_experts=4)
    >>> click, buy = share.eval()(torch.randn(8, 16))
    >>> click.shape, len(share.experts)
    (torch.Size([8, 32]), 4)
    >>> share.gate_weights()["shared"].sum().isclose(torch.tensor(1.0)).item()
    True

    Args:
        experts: N modules (B, D) -> (B, w), a function from D to such a module, the width of MLPs,
            or a list of their layers' widths.
        width_in: D.
        tasks: how many, or their names.
        num_experts: N, where the experts are no modules; default 8.
    """

    def __init__(
        self,
        experts: Level,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        num_experts: int | None = None,
    ) -> None:
        super().__init__(experts, width_in=width_in, tasks=tasks, num_experts=num_experts)


class MMoE(Plain, _MMoE):
    """Multi-gate mixture of experts: each task has a gate of its own over all experts.

    f_t = sum_i softmax(W_t x)_i E_i(x)    (eq. 5 to 7)

    Source: J. Ma, Z. Zhao, X. Yi, J. Chen, L. Hong, E. Chi, "Modeling Task Relationships in
    Multi-task Learning with Multi-gate Mixture-of-Experts", KDD 2018, doi:10.1145/3219819.3220007.

    Shape: (B, D) -> T tensors (B, w).

    >>> experts = [nn.Sequential(nn.Linear(16, 32), nn.ReLU()) for _ in range(4)]
    >>> share = mtl.MMoE(experts, width_in=16, tasks=["click", "buy"])
    >>> click, buy = share(torch.randn(8, 16))
    >>> click.shape, list(share.gate_weights())
    (torch.Size([8, 32]), ['click', 'buy'])

    Args:
        experts: N modules (B, D) -> (B, w), a function from D to such a module, the width of MLPs,
            or a list of their layers' widths.
        width_in: D.
        tasks: how many, or their names.
        num_experts: N, where the experts are no modules; default 8.
        gate_bias: give the gates a bias.
    """

    def __init__(
        self,
        experts: Level,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        num_experts: int | None = None,
        gate_bias: bool = False,
    ) -> None:
        super().__init__(
            experts,
            width_in=width_in,
            tasks=tasks,
            num_experts=num_experts,
            settings={"gate_bias": gate_bias},
        )


class MLMMoE(Plain, _MultiLevelMMoE):
    """Multi-level MMoE: levels of experts; an inner level has one gate for each expert of the next,
    the last one for each task, and every gate reads the module's input x.

    h_j = sum_i softmax(W_j x)_i E_i    (eq. 12 and 13)

    Source: a baseline of D. Li et al., "AdaTT: Adaptive Task-to-Task Fusion Network for Multitask
    Learning in Recommendations", KDD 2023, arXiv:2304.04959, section 4.1.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.MLMMoE([64, 32], width_in=16, tasks=2, num_experts=3)
    >>> click, buy = share(torch.randn(8, 16))
    >>> click.shape, len(share.experts)
    (torch.Size([8, 32]), 6)
    >>> [unit for unit in share.gate_weights()][-2:]
    ['level1.task0', 'level1.task1']

    Args:
        experts: for each level an entry: N modules, a function from an input width to a module, or
            widths of MLPs; or one width or function for all levels.
        width_in: D.
        tasks: how many, or their names.
        num_experts: N on each level, where the experts are no modules; default 8.
        levels: how many, where `experts` is one width or function; default 2.
    """

    def __init__(
        self,
        experts: Levels,
        *,
        width_in: int,
        tasks: int | Sequence[str],
        num_experts: int | None = None,
        levels: int | None = None,
    ) -> None:
        super().__init__(
            experts, width_in=width_in, tasks=tasks, num_experts=num_experts, levels=levels
        )


class Selected(Plain, _Selected):
    """Chosen experts: each task has a softmax gate over the experts that were chosen for it, as
    AutoMTL retrains what it found.

    f_t = sum over i in C_t of softmax(W_t x)_i E_i(x)

    Source: "AutoMTL: Automatic Multi-Task Learning Framework with Neural Architecture Search for
    Recommender Systems", anonymous manuscript, section 3.3.3.

    Shape: (B, D) -> T tensors (B, w).

    >>> share = mtl.Selected(32, chosen=[[0, 1], [1, 2]], width_in=16, tasks=["click", "buy"])
    >>> click, buy = share(torch.randn(8, 16))
    >>> click.shape, len(share.experts)
    (torch.Size([8, 32]), 3)
    >>> share.gate_weights()["click"][2].item()
    0.0

    Args:
        experts: N modules (B, D) -> (B, w), a function from D to such a module, the width of MLPs,
            or a list of their layers' widths.
        chosen: for each task the positions of its experts; each expert is somebody's.
        width_in: D.
        tasks: how many, or their names.
    """

    def __init__(
        self,
        experts: Level,
        *,
        chosen: Sequence[Sequence[int]],
        width_in: int,
        tasks: int | Sequence[str],
    ) -> None:
        picks, where = [list(task) for task in chosen], f"{type(self).__name__} chosen"
        count = len(task_names(type(self).__name__, tasks))
        if len(picks) != count:
            rule = f"must have one list for each of {counted(count, 'task')}"
            raise ConfigError(where, rule, len(picks))
        known = {i for task in picks for i in task}
        if (
            not all(picks)
            or known != {*range(len(known))}
            or any(len({*task}) < len(task) for task in picks)
        ):
            rule = "must name experts from 0 on for each task, each once, and no expert for nobody"
            raise ConfigError(where, rule, picks)
        super().__init__(
            experts, width_in=width_in, tasks=tasks, num_experts=len(known), chosen=picks
        )
