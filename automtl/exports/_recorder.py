"""What a network calls in a forward pass, module by module: the material of the plain PyTorch file.

The pass runs for real, so whatever Python decides on the way is decided, and what is written down
is the calls of torch's own functions on the very tensors. Nothing is interpreted: the calls in the
same order give the same bits.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from automtl.layers.masks import HardConcrete
from automtl.layers.normalization import ClosingNorm, Dropout, frozen_statistics
from automtl.models.derived import IndependentNets
from automtl.models.skeleton import MultiTaskNet
from automtl.sharing.base import SharingModule

# Modules whose calls are written where they happen: they arrange others, or do nothing when served.
OPEN = (
    IndependentNets,
    MultiTaskNet,
    SharingModule,
    ClosingNorm,
    Dropout,
    HardConcrete,
    nn.Identity,
    nn.Sequential,
)
# torch's own layers, written by their constructors.
LAYERS = (nn.Linear, nn.BatchNorm1d, nn.LayerNorm, nn.Conv1d)


@dataclass
class Call:
    """One call: of a torch function, or of a module.

    Args:
        function: the function, or the called module.
        args, kwargs: what it was given, tensors as they were.
        output: what it gave, a tensor or several.
    """

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


@dataclass
class Record:
    """One module's forward pass.

    Args:
        module: whose.
        path: its name in the whole network.
        inputs: the tensors it was given, by name.
        calls: in order.
        output: what it returned.
    """

    module: nn.Module
    path: str
    inputs: dict[str, Tensor]
    calls: list[Call] = field(default_factory=list)
    output: Any = None


def record(net: nn.Module, inputs: Any) -> tuple[Record, dict[nn.Module, Record]]:
    """Run a network once in evaluation; its own record, and those of the modules that are written
    as classes of their own.
    """
    with torch.no_grad(), frozen_statistics(net):
        recorder = _Recorder(net, inputs)
        with recorder.hooked(), recorder:
            output = net(inputs)
    recorder.root.output = output
    return recorder.root, recorder.records


class _Recorder(TorchFunctionMode):
    """Writes down calls while it is entered."""

    def __init__(self, net: nn.Module, inputs: Any) -> None:
        super().__init__()
        self.paths = {module: path for path, module in net.named_modules()}
        self.root = Record(net, "", named_tensors(net, (inputs,)))
        self.records: dict[nn.Module, Record] = {}
        self._open: list[Record] = [self.root]
        # a torch layer at work: what it calls is its own business
        self._layer: nn.Module | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if self._layer is not None:
            return output
        if getattr(func, "__name__", "") == "__iter__":
            parts = list(output)
            for i, part in enumerate(parts):
                self._open[-1].calls.append(Call(torch.Tensor.__getitem__, (args[0], i), {}, part))
            return iter(parts)
        if tensors_in(output):
            self._open[-1].calls.append(Call(func, tuple(args), dict(kwargs or {}), output))
        return output

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Hear of every module that is called."""
        handles = [
            hooks.register_module_forward_pre_hook(self._enter),
            hooks.register_module_forward_hook(self._leave),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: Any) -> None:
        if self._layer is not None or isinstance(module, OPEN):
            return
        if isinstance(module, LAYERS):
            self._layer = module
        else:
            self._open.append(Record(module, self.paths[module], named_tensors(module, args)))

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._layer is not None:
            if self._layer is not module:
                return
            self._layer = None
        elif isinstance(module, OPEN):
            return
        else:
            record = self._open.pop()
            record.output = output
            self.records.setdefault(module, record)
        self._open[-1].calls.append(Call(module, tuple(tensors_in(args)), {}, output))


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors of a value, of a tuple, of a list, in order."""
    if isinstance(value, Tensor):
        return [value]
    return (
        [tensor for part in value for tensor in tensors_in(part)]
        if isinstance(value, tuple | list)
        else []
    )


def named_tensors(module: nn.Module, args: Sequence[Any]) -> dict[str, Tensor]:
    """A forward pass's tensors by the names of its parameters, or of a named tuple's fields."""
    forward: Callable[..., Any] = module.forward
    named: dict[str, Tensor] = {}
    for name, value in zip(inspect.signature(forward).parameters, args, strict=False):
        parts = value._asdict() if hasattr(value, "_asdict") else {name: value}
        for part, inner in parts.items():
            tensors = tensors_in(inner)
            alone = isinstance(inner, Tensor)
            named |= {part if alone else f"{part}_{i}": tensor for i, tensor in enumerate(tensors)}
    return named
