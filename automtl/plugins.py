"""Plugins: Python files of a user's own that register operations and sharing modules. One is loaded
only where someone names it.

Who registered what is kept here, so that a run can say which file it needs. The tables that a
registration extends live with the families: ``automtl.layers.register`` and
``automtl.sharing.register``.
"""

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automtl.errors import ArtifactError, AutoMTLError, ConfigError


@dataclass(frozen=True)
class Plugin:
    """A file of registrations as it was when it was loaded; without a path: registered in Python,
    by hand.
    """

    path: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        return self.path or "your Python code"


REGISTERED: dict[str, Plugin] = {}  # name of an operation or a sharing kind -> where it comes from
_loading: list[Plugin] = []


def load_plugin(path: str | Path) -> Plugin:
    """Run a Python file that registers operations or sharing modules; a file that is loaded already
    is not run again.

    >>> automtl.load_plugin("my_ops.py")  # doctest: +SKIP

    Raises:
        ConfigError: no such file, one that fails, or one that registers nothing.
    """
    place = Path(path).absolute()
    if place.suffix != ".py" or not place.is_file():
        raise ConfigError(
            path,
            "must be a Python file",
            "no such file" if place.suffix == ".py" else f"a name ending in {place.suffix!r}",
        )
    plugin = Plugin(str(place), hashlib.sha256(place.read_bytes()).hexdigest())
    if plugin not in REGISTERED.values():
        _run(plugin, path)
    if plugin not in REGISTERED.values():
        raise ConfigError(
            path,
            "must register an operation or a sharing module",
            "none",
            "call automtl.register_operation in it",
        )
    return plugin


def _run(plugin: Plugin, path: object) -> None:
    name = f"automtl_plugin_{plugin.sha256[:16]}"
    spec = importlib.util.spec_from_file_location(name, plugin.path)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    _loading.append(plugin)
    try:
        spec.loader.exec_module(module)
    except AutoMTLError:
        raise
    except Exception as fault:
        lines = [
            str(frame.lineno)
            for frame in traceback.extract_tb(fault.__traceback__)
            if frame.filename == plugin.path
        ]
        place = f"{path}, line {lines[-1]}" if lines else path
        raise ConfigError(
            place,
            "must run without an error",
            f"{type(fault).__name__}: {fault}",
            "mend the plugin",
        ) from fault
    finally:
        _loading.pop()


def claim(name: str, taken: Iterable[str], what: str) -> Plugin:
    """Keep a name for whoever registers now; the same file may register it anew.

    Raises:
        ConfigError: it is taken, by the package or by another file.
    """
    plugin = _loading[-1] if _loading else Plugin()
    owner = REGISTERED.get(name)
    if (owner is None and name in taken) or (owner is not None and owner.path != plugin.path):
        raise ConfigError(
            f"{what} {name!r}",
            "must have a name of its own",
            f"that of {owner or 'a built-in one'}",
            "choose another name",
        )
    REGISTERED[name] = plugin
    return plugin


def record(names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """The plugins behind some names, for a manifest or an architecture; without names, all that
    registered something.
    """
    by_plugin: dict[Plugin, list[str]] = {}
    for name in sorted(REGISTERED if names is None else REGISTERED.keys() & set(names)):
        by_plugin.setdefault(REGISTERED[name], []).append(name)
    return [
        {"path": plugin.path, "sha256": plugin.sha256, "names": known}
        for plugin, known in by_plugin.items()
    ]


def require(where: object, recorded: object) -> None:
    """Refuse to read what was made with plugins that are not loaded, or that changed since.

    Args:
        where: the file that was made with them.
        recorded: what ``record`` said then.

    Raises:
        ArtifactError: as above, with the plugin's path.
    """
    for plugin in recorded if isinstance(recorded, list) else []:
        path, digest = (str(plugin.get(key, "")) for key in ("path", "sha256"))
        source = path or "Python code that is no file"
        for name in plugin.get("names", ()):
            if name not in REGISTERED:
                fix = f"add --plugin {path}" if path else "register it first"
                raise ArtifactError(
                    where, f"needs {name!r} from {source}", "no such plugin loaded", fix
                )
            if REGISTERED[name].sha256 != digest:
                rule = f"needs {name!r} from {source} as it was (sha256 {digest[:12]})"
                raise ArtifactError(
                    where,
                    rule,
                    f"{REGISTERED[name]}, whose content is another",
                    "restore it, or start anew",
                )
