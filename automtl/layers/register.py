"""Operations of a user's own: one call puts a name into the catalogue and its builder into the
table, with checks around it.

Legend: B rows, F fields, d embedding width, D width of an expert's input.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl import plugins
from automtl.errors import AutoMTLError, ConfigError
from automtl.layers import interaction, operations
from automtl.layers.normalization import ClosingNorm, frozen_statistics
from automtl.spaces.operations import MAX_WIDTH, OPERATIONS, OperationSignature

_SIZES = {"expert": ("width_in",), "interaction": ("num_fields", "dim")}
_BUILDERS = {"expert": operations.BUILDERS, "interaction": interaction.BUILDERS}
_ROWS = 2


class Custom(nn.Module):
    """A user's module, and what ends every candidate: BatchNorm and dropout.

    Shape: (B, D) or (B, F, d) -> (B, width_out).
    """

    def __init__(self, inner: nn.Module, *, width_out: int, **ending: Any) -> None:
        super().__init__()
        self.width_out = width_out
        self.inner = inner
        self.ending = ClosingNorm(width_out, **ending)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ending(self.inner(x))
        return out


def register_operation(
    name: str,
    build: Callable[..., nn.Module],
    *,
    place: str,
    argument: str = "",
    choices: Sequence[str] = (),
    maximum: int = MAX_WIDTH,
    odd: bool = False,
) -> None:
    """Make an operation known to spaces, architectures, pictures and costs. A closing BatchNorm and
    dropout are put behind it.

    >>> automtl.register_operation("scale", Scale, place="expert")  # doctest: +SKIP

    Args:
        name: as a space writes it; lower case, digits and underscores.
        build: makes the module; for an expert called as ``build(width_in=...)``, (B, D) -> (B, D);
            for an interaction as ``build(num_fields=..., dim=...)``, (B, F, d) -> (B, F*d); with
            the argument, by its name, where there is one.
        place: "expert" or "interaction".
        argument: name of the operation's argument, written ``name(argument)``; empty for none.
        choices: its legal words; without them it is a whole number from 1.
        maximum: the largest legal number.
        odd: the number must be odd.

    Raises:
        ConfigError: the name is taken or no name, the builder cannot be called so, or no argument
            is legal.
    """
    where = f"operation {name!r}"
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ConfigError(where, "must have a name of lower case letters, digits and underscores")
    if place not in _SIZES:
        raise ConfigError(where, "place must be expert or interaction", repr(place))
    _check_argument(where, argument, choices, maximum)
    check_callable(where, build, {*_SIZES[place], *([argument] if argument else [])})
    plugin = plugins.claim(name, OPERATIONS, "operation")
    OPERATIONS[name] = OperationSignature(
        frozenset({place}), argument, tuple(choices), maximum, odd
    )

    def checked(value: object, **common: Any) -> nn.Module:
        sizes = {size: common.pop(size) for size in _SIZES[place]}
        given = {**sizes, **({argument: value} if argument else {})}
        inner = made(where, plugin, build, given)
        width = sizes["width_in"] if place == "expert" else sizes["num_fields"] * sizes["dim"]
        check_shape(
            where, plugin, answer(where, plugin, inner, torch.zeros(_ROWS, *sizes.values())), width
        )
        return Custom(inner, width_out=width, **common)

    # a name stands in one table; a file that is run again may have moved it
    for known, table in _BUILDERS.items():
        table.pop(name, None) if known != place else table.update({name: checked})


def _check_argument(where: str, argument: str, choices: Sequence[str], maximum: int) -> None:
    if argument and not argument.isidentifier():
        raise ConfigError(where, "argument must be a Python name", repr(argument))
    if choices and not argument:
        raise ConfigError(
            where, "choices need the argument's name", ", ".join(choices), 'add argument="..."'
        )
    bad = [word for word in choices if not re.fullmatch(r"[a-z0-9_]{1,20}", word)]
    if bad or isinstance(choices, str) or not 1 <= maximum <= MAX_WIDTH:
        got = repr(choices if isinstance(choices, str) else bad[0] if bad else maximum)
        rule = (
            "must have a legal argument: words of lower case letters and digits, or a maximum "
            f"from 1 to {MAX_WIDTH}"
        )
        raise ConfigError(where, rule, got)


def check_callable(where: str, build: object, names: set[str]) -> None:
    """Refuse what cannot be called with these keyword arguments.

    Raises:
        ConfigError: as above.
    """
    rule = f"must be callable with {', '.join(sorted(names))} by keyword"
    if not callable(build):
        raise ConfigError(where, rule, f"a {type(build).__name__}")
    signature = inspect.signature(build)
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as fault:
        raise ConfigError(where, rule, f"the arguments {signature}") from fault


def made(
    where: str, plugin: plugins.Plugin, build: Callable[..., nn.Module], given: dict[str, Any]
) -> nn.Module:
    """What a user's builder makes.

    Raises:
        ConfigError: it fails, or makes no module.
    """
    try:
        built = build(**given)
    except AutoMTLError:
        raise
    except Exception as fault:
        raise ConfigError(
            where,
            "must be built without an error",
            f"{type(fault).__name__}: {fault}",
            f"mend it in {plugin}",
        ) from fault
    if not isinstance(built, nn.Module):
        raise ConfigError(
            where, "must build a torch module", f"a {type(built).__name__}", f"mend it in {plugin}"
        )
    return built


def answer(where: str, plugin: plugins.Plugin, module: nn.Module, *inputs: Any) -> Any:
    """What a module answers on a few rows in evaluation; it is left as it was.

    Raises:
        ConfigError: it fails.
    """
    training = module.training
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(), frozen_statistics(module):
            return module(*inputs)
    except AutoMTLError:
        raise
    except Exception as fault:
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs if isinstance(x, Tensor))
        got = f"{type(fault).__name__}: {' '.join(str(fault).split())[:300]}"
        raise ConfigError(
            where, f"must answer rows of shape {shapes}", got, f"mend it in {plugin}"
        ) from fault
    finally:
        module.train(training)


def check_shape(
    where: str, plugin: plugins.Plugin, output: object, width: int, rule: str = "must answer"
) -> None:
    """Refuse an output that is no tensor of `width` numbers a row.

    Raises:
        ConfigError: as above, with both shapes.
    """
    if not isinstance(output, Tensor) or output.shape != (_ROWS, width):
        got = tuple(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise ConfigError(
            where, f"{rule} (B, {width}), checked with B = {_ROWS}", got, f"mend it in {plugin}"
        )
