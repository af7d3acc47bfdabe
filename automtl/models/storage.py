"""A finished network as it is stored: its state, with the sharing module's part packed, and how
many bytes each part takes.
"""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from automtl.models.skeleton import MultiTaskNet
from automtl.sharing.base import SharingModule

PARTS = ("tables", "trunk", "experts", "towers")


def packed_state(net: nn.Module) -> dict[str, Tensor]:
    """All that evaluation needs of a network, each sharing module as it packs itself."""
    state: dict[str, Tensor] = net.state_dict()
    for prefix, sharing in _sharing(net):
        state = {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
        state |= {prefix + name: tensor for name, tensor in sharing.pack().items()}
    return state


def unpacked(net: nn.Module, packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state that a packed one is of, for a fresh network of the same architecture to take.

    Raises:
        RuntimeError, KeyError: the state is of another architecture.
    """
    state = dict(packed)
    for prefix, sharing in _sharing(net):
        own = {
            name.removeprefix(prefix): state.pop(name)
            for name in list(state)
            if name.startswith(prefix)
        }
        state |= {prefix + name: tensor for name, tensor in sharing.unpack(own).items()}
    return state


def stored_megabytes(net: nn.Module) -> dict[str, float]:
    """What a stored network's parts take, in units of 2**20 bytes.

    "tables": embeddings. "trunk": numbers' weights, interaction, projection. "experts": the sharing
    module, gates included. "towers": of all tasks. Running statistics count, since evaluation needs
    them.
    """
    sizes = dict.fromkeys(PARTS, 0)
    for single in (module for module in net.modules() if isinstance(module, MultiTaskNet)):
        tables = {id(table) for table in single.tables()}
        sizes["tables"] += sum(_bytes(table) for table in single.tables())
        sizes["experts"] += sum(_bytes(tensor) for tensor in single.sharing.pack().values())
        sizes["towers"] += sum(_bytes(tensor) for tensor in single.towers.state_dict().values())
        trunk = [
            module
            for module in (single.input, single.interaction, single.projection)
            if module is not None
        ]
        tensors = [
            tensor for module in trunk for tensor in module.state_dict(keep_vars=True).values()
        ]
        sizes["trunk"] += sum(_bytes(tensor) for tensor in tensors if id(tensor) not in tables)
    return {part: size / 2**20 for part, size in sizes.items()}


def _sharing(net: nn.Module) -> Iterator[tuple[str, SharingModule]]:
    for name, module in net.named_modules():
        if isinstance(module, SharingModule):
            yield f"{name}." if name else "", module


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
