"""Validation figures of trained models, for tables."""

from dataclasses import asdict

from automtl import files
from automtl.reports.tables import HEADLINES
from automtl.runs.constant import LOSS, flagged, loss_of, metrics_of
from automtl.runs.run_dir import PhaseDir
from automtl.runs.stored import stored_megabytes
from automtl.training.metrics.evaluation import Evaluation


def headlines(evaluation: Evaluation) -> dict[str, float | None]:
    """Per task the metric people look at first, under "<task> <metric>"."""
    figures = {}
    for task, metrics in evaluation.tasks.items():
        name = next((name for name in HEADLINES if name in metrics), None)
        if name is not None:
            figures[f"{task} {name}"] = metrics[name]
    return figures


def constant_of(evaluation: Evaluation) -> dict[str, float]:
    """The constant's figures under the same names, and its MTL-Loss; {} where it is not known."""
    plain = asdict(evaluation)
    loss = loss_of(plain)
    if loss is None:
        return {}
    named = {
        f"{task} {name}": value
        for task, metrics in metrics_of(plain).items()
        for name, value in metrics.items()
    }
    return {LOSS: loss, **{name: named[name] for name in headlines(evaluation) if name in named}}


def beside(evaluation: Evaluation) -> dict[str, list[str]]:
    """The figures in which a model is not better than the constant (see `runs/constant.py`)."""
    return flagged([asdict(evaluation)])


def size_and_seconds(folder: PhaseDir) -> tuple[float | None, float]:
    """Megabytes of a stored model, and seconds of its training."""
    cost = files.read_json(folder.cost)
    return stored_megabytes(cost), float(cost["seconds"])
