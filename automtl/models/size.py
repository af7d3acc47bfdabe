"""How large a network would be, counted before any of it is made: a legal file of a stranger's may
still ask for terabytes.

It is made on torch's `meta` device first, where tensors have shapes and no memory.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from automtl import plugins
from automtl.errors import AutoMTLError, ConfigError
from automtl.layers.interaction import build_interaction
from automtl.spaces.operations import Operation

# parameters that a module counts for at least, some tens of kilobytes of Python objects and half a
# millisecond
MODULE = 50_000
_PARTS = {
    "input": "embeddings",
    "interaction": "interaction",
    "projection": "projection",
    "sharing": "experts",
    "towers": "towers",
}


def check_size(where: str, make: Callable[[], nn.Module], most: int | None) -> bool:
    """Refuse a network of more than `most` parameters; whether it could be made without memory, and
    was counted.

    Args:
        where: whose network it is, for the error.
        make: makes it; called on the `meta` device.
        most: tables included, a module counted as at least `MODULE`; None for any number.

    Raises:
        ConfigError: it has more, or cannot be made.
    """
    if most is None:
        return False
    modules = 0

    def count(*_: object) -> None:
        nonlocal modules
        modules += 1
        if modules * MODULE > most:
            _refuse(
                where,
                most,
                f"more than {most // MODULE:,} modules, of which each counts as {MODULE:,} "
                "parameters",
            )

    hook = register_module_module_registration_hook(count)
    try:
        with torch.device("meta"):
            net = make()
    except AutoMTLError:
        raise
    except Exception:
        # code that was named on the command line may do what only real tensors can; then it is not
        # counted
        if plugins.REGISTERED:
            return False
        raise
    finally:
        hook.remove()
    total = _parameters(net)
    if total > most:
        parts = {
            name: _parameters(child)
            for single in getattr(net, "nets", [net])
            for name, child in single.named_children()
        }
        part = max(parts, key=parts.__getitem__)
        _refuse(where, most, f"{total:,}, most of them in the {_PARTS[part]}")
    return True


def heaviest(blocks: Sequence[str], *, num_fields: int, dim: int) -> tuple[str, int]:
    """The interaction operation with the most parameters over so many fields, and how many it has.

    Args:
        blocks: the operations, as spaces and architectures write them; at least one.
        num_fields: that they are given.
        dim: of the fields' vectors.
    """
    with torch.device("meta"):
        modules = {
            block: build_interaction(
                Operation.parse(block, "interaction"), num_fields=num_fields, dim=dim
            )
            for block in blocks
        }
    sizes = {block: _parameters(module) for block, module in modules.items()}
    name = max(sizes, key=sizes.__getitem__)
    return name, sizes[name]


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _refuse(where: str, most: int, got: str) -> None:
    fix = "make it smaller, or raise runtime.max_parameters where the memory is there"
    raise ConfigError(where, f"must make a network of at most {most:,} parameters", got, fix)
