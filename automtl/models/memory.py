"""What a training step holds in memory beside the network: gradients, the optimiser's state, and
what backward needs.

    peak <= 32 MiB + 1.33 (4 (G + S) + c + B (a + w))        bytes

G weights with a dense gradient (tables have none), S entries with a momentum (all), B rows of a
batch; what the forward pass keeps for backward, counted as torch keeps it: c bytes whatever the
batch (folded weights), a bytes per row; and w bytes per row of the largest tensor kept, once more,
for the gradient that is being worked on. A batch's lists are padded to its longest: a and w are
those of rows with the longest list of each field, whose vectors are there twice, unweighted and
weighted, and never kept. The 32 MiB are what libraries set up in the first step, the 1.33 is
backward's other working copies and what the allocator cannot reuse; both fitted to
scripts/bench_growth.py, whose points lie at most 20% below the bound.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from automtl.data.store.batches import Inputs
from automtl.data.store.schema import Schema
from automtl.layers.embedding import InputLayer
from automtl.layers.embedding_table import EmbeddingTable
from automtl.layers.normalization import frozen_statistics

_FEW, _MORE = 256, 512  # rows; what grows between them is per row
_LIBRARIES, _SPARE = 32 * 2**20, 1.33


def step_bytes(net: nn.Module, schema: Schema, *, batch: int, longest: Sequence[int] = ()) -> int:
    """Bytes that a float32 search step with SGD needs at its peak beside the network itself.

    Args:
        net: the network.
        schema: the fields.
        batch: rows.
        longest: per field of lists, ids of the longest list.
    """
    tables = {
        id(p) for module in net.modules() if isinstance(module, InputLayer) for p in module.tables()
    }
    weights = sum(p.numel() for p in net.parameters())
    dense = sum(p.numel() for p in net.parameters() if id(p) not in tables)
    ones = [1] * len(schema.lists)
    few, more = _kept(net, schema, _FEW, ones), _kept(net, schema, _MORE, ones)
    per_row = (sum(more) - sum(few)) // (_MORE - _FEW)
    fixed, largest = sum(few) - _FEW * per_row, (max(more) - max(few)) // (_MORE - _FEW)
    widths = {
        i: module.width
        for module in net.modules()
        if isinstance(module, EmbeddingTable)
        for i in module.lists
    }
    for i, ids in enumerate(longest):
        # what grows, grows by the id
        longer = _kept(net, schema, _FEW, [*ones[:i], 2, *ones[i + 1 :]])
        per_row += (sum(longer) - sum(few)) // _FEW * max(ids - 1, 0)
        largest = max(largest, 8 * widths[i] * ids)
    needed = 4 * (dense + weights) + fixed + batch * (per_row + largest)
    return _LIBRARIES + round(_SPARE * needed)


def _kept(net: nn.Module, schema: Schema, rows: int, lengths: Sequence[int]) -> list[int]:
    """Bytes of each storage that is kept, the parameters' own left out; storages shared by several
    tensors count once.
    """
    own = {p.untyped_storage().data_ptr() for p in (*net.parameters(), *net.buffers())}
    seen: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in own:
            seen[address] = tensor  # kept alive, so that no address is used twice
        return tensor

    device = next(net.parameters()).device
    inputs = Inputs(
        torch.zeros(rows, len(schema.categorical), dtype=torch.int64, device=device),
        torch.zeros(rows, len(schema.numeric), device=device),
        tuple(torch.zeros(rows, length, dtype=torch.int32, device=device) for length in lengths),
    )
    training = net.training
    net.train()
    try:
        with frozen_statistics(net), torch.autograd.graph.saved_tensors_hooks(pack, _same):
            net(inputs)
    finally:
        net.train(training)
    return [tensor.untyped_storage().nbytes() for tensor in seen.values()]


def _same(tensor: Tensor) -> Tensor:
    return tensor
