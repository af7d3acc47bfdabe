"""Sharing modules of a user's own: one call puts a kind into the catalogue, its slots and wiring,
and its class into the table.

Legend: B rows, F fields, d embedding width, D width of the experts' input, T tasks.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from automtl import plugins
from automtl.errors import ConfigError
from automtl.layers.register import answer, check_shape, made
from automtl.sharing import SEARCH_MODULES, SHARING_MODULES
from automtl.sharing.base import SharingModule
from automtl.spaces.catalogue import SHARING, SharingSignature
from automtl.spaces.settings import Setting
from automtl.strict import nearest

LIKE = ("moe", "mmoe", "ml_mmoe", "shared_bottom", "cgc", "ple", "adatt", "cross_stitch")
_ROWS = 2


def register_sharing(
    module: type[SharingModule],
    *,
    like: str,
    settings: Mapping[str, Any] | None = None,
    source: str = "",
    in_supernet: bool = True,
) -> None:
    """Register a sharing module under the name in its attribute ``kind``, for searches, retrains,
    pictures and costs.

    >>> own = {"sharpness": 2.0}
    >>> automtl.register_sharing(SharpMMoE, like="mmoe", settings=own)  # doctest: +SKIP

    Args:
        module: a subclass of ``automtl.SharingModule``, most simply of ``automtl.GatedNetwork``.
        like: the built-in kind whose experts it has and whose wires it draws, one of ``LIKE``.
        settings: its own settings with their defaults, passed to the class by keyword; a
            ``automtl.Setting`` has bounds too.
        source: the paper or person it comes from, for model cards.
        in_supernet: it can stand in the supernet.

    Raises:
        ConfigError: no sharing module, a kind that is taken or unknown, or settings that cannot be.
    """
    kind, where = _kind_of(module), f"sharing module {module.__name__}"
    if like not in LIKE:
        raise ConfigError(
            where, f"like must be one of {', '.join(LIKE)}", repr(like), nearest(str(like), LIKE)
        )
    places = {name: setting for name, setting in SHARING[like].settings.items() if setting.places}
    own = {
        name: _setting(f"{where}, setting {name}", value)
        for name, value in (settings or {}).items()
    }
    plugin = plugins.claim(kind, SHARING, "sharing kind")
    SHARING[kind] = SharingSignature(
        source or str(plugin),
        SHARING[like].slots,
        SHARING[like].wiring,
        settings={**places, **own},
        in_supernet=in_supernet,
    )

    def checked(**socket: Any) -> SharingModule:
        built = made(where, plugin, module, socket)
        assert isinstance(built, SharingModule)
        _check(where, plugin, built, socket)
        return built

    SHARING_MODULES[kind] = SEARCH_MODULES[kind] = checked


def _kind_of(module: object) -> str:
    """The kind that a class names, if it is a sharing module."""
    if not (isinstance(module, type) and issubclass(module, SharingModule)):
        raise ConfigError(
            "register_sharing",
            "must be given a subclass of automtl.SharingModule",
            repr(module)[:100],
        )
    kind = vars(module).get("kind")
    if not isinstance(kind, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", kind):
        raise ConfigError(
            f"sharing module {module.__name__}",
            "must have an attribute `kind` of its own: lower case letters, digits and underscores",
            repr(kind),
        )
    return kind


def _setting(where: str, value: Any) -> Setting:
    """A setting as it is, or one of any value of the default's type."""
    setting = value if isinstance(value, Setting) else Setting(value, minimum=float("-inf"))
    if not isinstance(setting.default, bool | int | float | str) and not setting.optional:
        raise ConfigError(
            where, "must have a default that is a number, a word, true or false", repr(value)
        )
    setting.check(where, setting.default)
    return setting


def _check(
    where: str, plugin: plugins.Plugin, built: SharingModule, socket: Mapping[str, Any]
) -> None:
    """Refuse a module that does not give one representation per task, as wide as it says."""
    tasks, fix = len(socket["tasks"]), f"mend it in {plugin}"
    widths = getattr(built, "width_out", None)
    if (
        not isinstance(widths, list)
        or len(widths) != tasks
        or not all(isinstance(width, int) for width in widths)
    ):
        raise ConfigError(
            where,
            f"must have `width_out`, one width for each of the {tasks} tasks",
            repr(widths)[:100],
            fix,
        )
    shared = torch.zeros(_ROWS, socket["width_in"])
    generator: torch.Generator | None = socket.get("generator")
    state = None if generator is None else generator.get_state()
    outputs = answer(
        where,
        plugin,
        built,
        torch.zeros(_ROWS, *socket["field_shape"]),
        lambda fields: _repeated(shared, fields),
    )
    if generator is not None and state is not None:
        generator.set_state(state)
    if not isinstance(outputs, list | tuple) or len(outputs) != tasks:
        got = (
            f"{len(outputs)}"
            if isinstance(outputs, list | tuple)
            else f"a {type(outputs).__name__}"
        )
        raise ConfigError(
            where, f"must give one representation for each of the {tasks} tasks", got, fix
        )
    for task, output, width in zip(socket["tasks"], outputs, widths, strict=True):
        check_shape(where, plugin, output, width, f"must answer for task {task!r}")


def _repeated(shared: Tensor, fields: Tensor) -> Tensor:
    """The shared representation of as many rows as a module may ask for at once."""
    return shared[:1].expand(len(fields), -1)
