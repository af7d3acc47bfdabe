"""The alpha gradient of a whole supernet, fused in float32, against float64 candidate by candidate:
what a search follows.
"""

import copy

import torch
from torch import Tensor

from automtl.data.store.batches import Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.layers.choice_block import ChoiceBlock
from automtl.layers.interaction import SelfAttention
from automtl.models.supernet import Supernet, build_supernet
from automtl.spaces.space import SearchSpace
from automtl.training.losses import multi_task_loss

ROWS, FIELDS, IDS = 1024, 7, 200


def alpha_gradient(net: Supernet, schema: Schema, dtype: torch.dtype, *, fused: bool) -> Tensor:
    net = copy.deepcopy(net).to(dtype)
    for module in net.modules():
        if isinstance(module, ChoiceBlock | SelfAttention):
            module.fused = fused
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(IDS, (ROWS, FIELDS), generator=g, dtype=torch.int32)
    labels = torch.randint(2, (ROWS, 2), generator=g).to(dtype)
    outputs = net(Inputs(ids, torch.empty(ROWS, 0, dtype=dtype)))
    multi_task_loss(schema.tasks, outputs, labels, None).total.backward()
    return torch.cat([p.grad.flatten().double() for p in net.alpha_parameters()])


def test_float32_follows_float64():
    fields = tuple(
        Field(name=f"f{i}", kind="categorical", vocabulary_size=IDS) for i in range(FIELDS)
    )
    schema = Schema(
        name="drawn",
        fields=fields,
        tasks=tuple(Task(name=f"t{i}", kind="binary") for i in range(2)),
    )
    space = SearchSpace.load("automtl").model_copy(update={"num_experts": 2})
    net = build_supernet(space, schema).train()
    exact = alpha_gradient(net, schema, torch.float64, fused=False)
    assert (
        alpha_gradient(net, schema, torch.float64, fused=True) - exact
    ).norm() <= 1e-9 * exact.norm()
    # 1e-6 where no hidden unit is so near 0 that ReLU falls on its other side in float32; one that
    # is makes it 1e-5 to 1e-3, fused or not
    assert (
        alpha_gradient(net, schema, torch.float32, fused=True) - exact
    ).norm() <= 1e-3 * exact.norm()
