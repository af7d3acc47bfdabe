"""The commands up to a trained model, by the panel of `automtl --help` that lists them."""

from collections.abc import Callable

from automtl.cli import _benchmark, _config, _retrain, _search, _space, _tune

PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Data and settings": {"space": _space.run, "config": _config.run},
    "Search and train": {
        "search": _search.run,
        "retrain": _retrain.run,
        "tune": _tune.run,
        "benchmark": _benchmark.run,
    },
}
