"""Times of passes on this machine: forward as in serving, forward and backward as in training, of a
whole model and of each candidate of a supernet.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automtl.data.store.batches import Inputs
from automtl.data.store.schema import Schema
from automtl.layers.nested import NestedMLP
from automtl.layers.normalization import frozen_statistics
from automtl.models.supernet import Supernet

_REPEATS, _FEW = 7, 3
_ENOUGH_S = 1.0  # of repeats that train: a large network takes long and varies little


def latency_us(net: nn.Module, schema: Schema, *, rows: int) -> int:
    """Microseconds of one forward pass over a batch, as it would serve."""
    inputs = _inputs(net, schema, rows)
    with _serving(net):
        return _timed(lambda: net(inputs))


def candidate_latencies(net: Supernet, schema: Schema, *, rows: int) -> dict[str, np.ndarray]:
    """Per choice block the microseconds of each of its candidates, on the batch that reaches it.
    Blocks of the same form are timed once.

    Shape: by block (n,).
    """
    with _serving(net):
        return _by_candidate(net, schema, rows, lambda candidate, x: _timed(_call(candidate, x)))


def training_seconds(net: nn.Module, schema: Schema, *, rows: int) -> float:
    """Seconds that a row takes forward and backward on one thread, the best of a few: the figure of
    an idle machine. Of a compiled network, as it is written.
    """
    inputs = _inputs(net, schema, rows)
    parameters = [p for p in net.parameters() if p.requires_grad]
    with _training(net):
        return _timed(lambda: _back(net.forward(inputs), parameters), _FEW, _ENOUGH_S) / 1e6 / rows


def candidate_training_seconds(
    net: Supernet, schema: Schema, *, rows: int
) -> dict[str, np.ndarray]:
    """Per choice block the seconds that each of its candidates takes for a row, forward and
    backward, on the batch that reaches it. Blocks of the same form are timed once.

    Shape: by block (n,).
    """

    def timed(candidate: nn.Module, x: Tensor) -> int:
        x = x.detach().requires_grad_()
        call, sources = _call(candidate, x), [x, *candidate.parameters()]
        return _timed(lambda: _back([call()], sources), _FEW, _ENOUGH_S)

    with _training(net):
        microseconds = _by_candidate(net, schema, rows, timed)
    return {name: times / 1e6 / rows for name, times in microseconds.items()}


def _back(outputs: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """The backward pass, its gradients left nowhere."""
    torch.autograd.grad([out.sum() for out in outputs], sources, allow_unused=True)


def _by_candidate(
    net: Supernet, schema: Schema, rows: int, timed: Callable[[nn.Module, Tensor], int]
) -> dict[str, np.ndarray]:
    seen: dict[str, Tensor] = {}
    known: dict[tuple[bool, torch.Size], np.ndarray] = {}
    times = {}
    hooks = [
        block.register_forward_pre_hook(_keeper(seen, name)) for name, block in net.blocks().items()
    ]
    net.forward(_inputs(net, schema, rows))
    for hook in hooks:
        hook.remove()
    for name, block in net.blocks().items():
        key = name.startswith("interaction."), seen[name].shape
        if key not in known:
            known[key] = np.array([timed(c, seen[name]) for c in block.candidates], dtype=np.int64)
        times[name] = known[key]
    return times


def _keeper(seen: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[name] = inputs[0]

    return keep


def _call(candidate: nn.Module, x: Tensor) -> Callable[[], Any]:
    if isinstance(candidate, NestedMLP):
        return lambda: candidate(x, alone=True)
    return lambda: candidate(x)


def _timed(call: Callable[[], Any], repeats: int = _REPEATS, enough_s: float = math.inf) -> int:
    """The least microseconds of a few after a first: whatever else the machine does only adds. No
    other is begun after so many seconds.
    """
    times: list[int] = []
    for _ in range(repeats + 1):
        if sum(times[1:]) > enough_s * 1e9:
            break
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


@contextlib.contextmanager
def _training(net: nn.Module) -> Iterator[None]:
    """Training mode with gradients on one thread, and no trace after: noise goes on as before."""
    modes = {module: module.training for module in net.modules()}
    noise = {
        id(g): (g, g.get_state())
        for module in net.modules()
        if isinstance(g := getattr(module, "generator", None), torch.Generator)
    }
    threads = torch.get_num_threads()
    net.train()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad(), torch.random.fork_rng(), frozen_statistics(net):
            yield
    finally:
        torch.set_num_threads(threads)
        for generator, state in noise.values():
            generator.set_state(state)
        for module, mode in modes.items():
            module.training = mode


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
