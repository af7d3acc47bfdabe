"""The commands that read what was trained, by the panel of `automtl --help` that lists them."""

from collections.abc import Callable

from automtl.cli import (
    _evaluate,
    _export,
    _pareto,
    _predict,
    _rank,
    _report,
    _show,
    _status,
    compare,
)

PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Compare and look": {
        "evaluate": _evaluate.run,
        "compare": compare.run,
        "status": _status.run,
        "show": _show.run,
        "report": _report.run,
        "rank": _rank.run,
        "pareto": _pareto.run,
    },
    "Use a model": {"predict": _predict.run, "export": _export.run},
}
