"""Neural architecture search for multi-task recommenders.

>>> import automtl
>>> automtl.Architecture.load("mmoe").sharing.kind
'mmoe'
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automtl.models.derived import build_model
    from automtl.phases.api import export, predict, retrain, search
    from automtl.spaces.architecture import Architecture
    from automtl.spaces.space import SearchSpace

__all__ = ["Architecture", "SearchSpace", "build_model", "export", "predict", "retrain", "search"]

_HOMES = {
    "Architecture": "automtl.spaces.architecture",
    "SearchSpace": "automtl.spaces.space",
    "build_model": "automtl.models.derived",
    "export": "automtl.phases.api",
    "predict": "automtl.phases.api",
    "retrain": "automtl.phases.api",
    "search": "automtl.phases.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `automtl --help` does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'automtl' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
