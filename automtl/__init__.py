"""Neural architecture search for multi-task recommenders.

The method is that of "AutoMTL: Automatic Multi-Task Learning Framework with Neural Architecture
Search for Recommender Systems" (anonymous manuscript, 2022 or later). The sharing systems of four
more papers are in ``automtl.sharing``, which cites them.

>>> import automtl
>>> automtl.Architecture.load("mmoe").sharing.kind
'mmoe'
"""

from typing import TYPE_CHECKING, Any

from automtl.spaces.pictures import draw_by

if TYPE_CHECKING:
    from automtl import benchmarks, nn, testing
    from automtl.api import (
        Callback,
        Dataset,
        Model,
        Models,
        MultiTaskRecommender,
        Search,
        StopTraining,
        compare,
        describe,
        evaluate,
        export,
        open,
        pareto,
        predict,
        rank,
        report,
        retrain,
        search,
        show,
        tune,
    )
    from automtl.layers.register import register_operation
    from automtl.models.derived import build_model
    from automtl.nn import Darts, Supernet
    from automtl.plugins import load_plugin
    from automtl.sharing.base import SharingModule
    from automtl.sharing.network import GatedNetwork
    from automtl.sharing.register import register_sharing
    from automtl.spaces.architecture import Architecture
    from automtl.spaces.settings import Setting
    from automtl.spaces.space import SearchSpace

__all__ = [
    "Architecture",
    "Callback",
    "Darts",
    "Dataset",
    "GatedNetwork",
    "Model",
    "Models",
    "MultiTaskRecommender",
    "Search",
    "SearchSpace",
    "Setting",
    "SharingModule",
    "StopTraining",
    "Supernet",
    "benchmarks",
    "build_model",
    "compare",
    "describe",
    "evaluate",
    "export",
    "load_plugin",
    "nn",
    "open",
    "pareto",
    "predict",
    "rank",
    "register_operation",
    "register_sharing",
    "report",
    "retrain",
    "search",
    "show",
    "testing",
    "tune",
]

# where public names come from that are none of automtl.api
_HOMES = {
    "Architecture": "automtl.spaces.architecture",
    "Darts": "automtl.nn",
    "GatedNetwork": "automtl.sharing.network",
    "SearchSpace": "automtl.spaces.space",
    "Setting": "automtl.spaces.settings",
    "SharingModule": "automtl.sharing.base",
    "Supernet": "automtl.nn",
    "build_model": "automtl.models.derived",
    "load_plugin": "automtl.plugins",
    "register_operation": "automtl.layers.register",
    "register_sharing": "automtl.sharing.register",
}
_PACKAGES = ("benchmarks", "nn", "testing")


@draw_by
def _drawn(architecture: Any) -> str:
    from automtl.reports.results import architecture_html

    return architecture_html(architecture)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `automtl --help` does not wait for
    torch.
    """
    if name == "__version__":
        from importlib.metadata import version

        return version("automtl")
    if name not in __all__:
        raise AttributeError(f"module 'automtl' has no attribute {name!r}")
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f"automtl.{name}")
    return getattr(import_module(_HOMES.get(name, "automtl.api")), name)


def __dir__() -> list[str]:
    """The public names, not yet imported ones too, for completion."""
    return sorted({*globals(), *__all__})
