"""How long forward passes take on this machine: a whole model's, and each candidate's of a
supernet.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automtl.data.store.batches import Inputs
from automtl.data.store.schema import Schema
from automtl.layers.nested import NestedMLP
from automtl.layers.normalization import frozen_statistics
from automtl.models.supernet import Supernet

_REPEATS = 7


def latency_us(net: nn.Module, schema: Schema, *, rows: int) -> int:
    """Microseconds of one forward pass over a batch, as it would serve."""
    inputs = _inputs(net, schema, rows)
    with _serving(net):
        return _timed(lambda: net(inputs))


def candidate_latencies(net: Supernet, schema: Schema, *, rows: int) -> dict[str, np.ndarray]:
    """Per choice block the microseconds of each of its candidates, on the batch that reaches it.
    Blocks alike are timed once.

    Shape: by block (n,).
    """
    seen: dict[str, Tensor] = {}
    timed: dict[tuple[bool, torch.Size], np.ndarray] = {}
    found = {}
    hooks = [
        block.register_forward_pre_hook(_keeper(seen, name)) for name, block in net.blocks().items()
    ]
    with _serving(net):
        net(_inputs(net, schema, rows))
        for hook in hooks:
            hook.remove()
        for name, block in net.blocks().items():
            key = name.startswith("interaction."), seen[name].shape
            if key not in timed:
                timed[key] = np.array(
                    [_timed(_call(c, seen[name])) for c in block.candidates], dtype=np.int64
                )
            found[name] = timed[key]
    return found


def _keeper(seen: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[name] = inputs[0]

    return keep


def _call(candidate: nn.Module, x: Tensor) -> Callable[[], Any]:
    if isinstance(candidate, NestedMLP):
        return lambda: candidate(x, alone=True)
    return lambda: candidate(x)


def _timed(call: Callable[[], Any]) -> int:
    """The least of a few after a first: whatever else the machine does only adds."""
    times = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter_ns()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter_ns() - start)
    return round(min(times[1:]) / 1000)


@contextlib.contextmanager
def _serving(net: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients, and no trace after."""
    training = net.training
    net.eval()
    try:
        with torch.no_grad(), frozen_statistics(net):
            yield
    finally:
        net.train(training)


def _inputs(net: nn.Module, schema: Schema, rows: int) -> Inputs:
    """A batch of ids evenly drawn and of numbers."""
    parameter = next(net.parameters())
    rng = np.random.default_rng(0)
    ids = (
        np.stack([rng.integers(0, f.vocabulary_size, rows) for f in schema.categorical], 1)
        if schema.categorical
        else np.empty((rows, 0))
    )
    dense = rng.normal(size=(rows, len(schema.numeric)))
    return Inputs(
        torch.from_numpy(ids).to(parameter.device, torch.int64),
        torch.from_numpy(dense).to(parameter),
        tuple(
            torch.zeros(rows, 1, dtype=torch.int32, device=parameter.device) for _ in schema.lists
        ),
    )
