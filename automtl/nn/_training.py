"""What a plain training loop needs of a network that holds modules of this room."""

from dataclasses import replace
from typing import Any

from torch import nn

from automtl.layers.embedding import InputLayer
from automtl.sharing.base import ParameterGroup, SharingModule, torch_groups


def parameter_groups(net: nn.Module, lr: float) -> list[dict[str, Any]]:
    """All parameters of a network as groups for a torch optimiser.

    Masks and selectors have a rate of their own, 0.01, that their papers' training needs with Adam,
    and no weight decay; embedding tables of this package have no weight decay; all others have the
    rate `lr`. The parameters of some systems change as a stage begins: call it again then.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.bottom = nn.Linear(10, 16)
    ...         self.share = mtl.DSelectK(32, width_in=16, tasks=2)
    >>> groups = mtl.parameter_groups(Net(), lr=1e-3)
    >>> [(group["name"], group["lr"]) for group in groups]
    [('share.selectors', 0.01), ('share.scores', 0.01), ('weights', 0.001)]
    >>> optimizer = torch.optim.Adam(groups, weight_decay=1e-5)
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.0, 1e-05, 1e-05]

    Args:
        net: any module, however many sharing modules it holds.
        lr: rate of all that has none of its own.
    """
    apart: list[ParameterGroup] = []
    for path, module in net.named_modules():
        if isinstance(module, SharingModule):
            own = module.parameter_groups()
        elif isinstance(module, InputLayer):
            own = [ParameterGroup("tables", module.tables(), weight_decay=0.0)]
        else:
            continue
        apart += [replace(group, name=f"{path}.{group.name}".lstrip(".")) for group in own]
    return [{"lr": lr, **group} for group in torch_groups(net.parameters(), apart)]
