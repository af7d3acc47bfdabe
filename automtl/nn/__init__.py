"""Multi-task modules and operations for a network and a training loop of one's own: no data set, no
run folder, no configuration.

>>> from automtl import nn as mtl
>>> share = mtl.DSelectK([64, 32], width_in=16, tasks=["click", "buy"], k=2)
>>> click, buy = share(torch.randn(8, 16))
>>> click.shape, buy.shape
(torch.Size([8, 32]), torch.Size([8, 32]))

A sharing module owns the experts and makes one representation for each task, which a tower of one's
own then reads. Experts are modules of one's own, or widths of MLPs. ``docs/nn.md`` has a block for
each module, and a whole network with its training loop.
"""

from automtl.data.store.batches import Batch, Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.layers.interaction import Cross, InnerProduct, OuterProduct, SelfAttention
from automtl.layers.operations import MLP, BitGate, Convolution, Dense, Skip
from automtl.nn._gated import MLMMoE, MMoE, MoE, Selected, SharedBottom
from automtl.nn._search import Darts, Supernet, derive
from automtl.nn._selecting import DSelectK, Gumbel, TopK
from automtl.nn._sparse import MSSM, MoME, SNRAver, SNRTrans
from automtl.nn._training import parameter_groups
from automtl.nn._units import AITM, CGC, PLE, AdaTT, CrossStitch
from automtl.sharing.base import Stage

__all__ = [
    "AITM",
    "CGC",
    "MLP",
    "MSSM",
    "PLE",
    "AdaTT",
    "Batch",
    "BitGate",
    "Convolution",
    "Cross",
    "CrossStitch",
    "DSelectK",
    "Darts",
    "Dense",
    "Field",
    "Gumbel",
    "InnerProduct",
    "Inputs",
    "MLMMoE",
    "MMoE",
    "MoE",
    "MoME",
    "OuterProduct",
    "SNRAver",
    "SNRTrans",
    "Schema",
    "Selected",
    "SelfAttention",
    "SharedBottom",
    "Skip",
    "Stage",
    "Supernet",
    "Task",
    "TopK",
    "derive",
    "parameter_groups",
]
