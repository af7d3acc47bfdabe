"""The course of a phase as a DataFrame and as a picture."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from automtl import files
from automtl.api.callbacks import figures_of
from automtl.data.access.paths import home
from automtl.phases.retrain import RetrainResult
from automtl.reports.charts import Line, curves
from automtl.reports.drawing import render
from automtl.runs.epoch_line import trained
from automtl.runs.run_dir import PhaseDir


def history_of(folder: PhaseDir) -> pd.DataFrame:
    """A row per epoch of a phase that trained anything."""
    lines = folder.read_metrics()
    frame = pd.DataFrame([{"epoch": line["epoch"], **figures_of(line)} for line in lines])
    return frame[[trained(line) for line in lines]]


def written(figure: Figure, path: str | Path | None) -> Figure:
    """The figure, also as a file where one is asked for."""
    if path is not None:
        files.write_bytes(Path(home(path)), render(figure, Path(home(path))))
    return figure


def loss_curves(models: Iterable[RetrainResult]) -> Figure:
    """The validation MTL-Loss of models over their epochs, the kept epoch ringed; a line for each
    net of a model that is several.
    """
    lines = []
    for model in models:
        history = history_of(model.folder)
        parts = history[history["validation.loss"].notna()].groupby("part", sort=False)
        for (name, part), best in zip(parts, model.best_epochs, strict=True):
            losses = zip(part["epoch"], part["validation.loss"], strict=True)
            points = [(int(epoch) + 1, float(loss)) for epoch, loss in losses]
            word = model.folder.path.name + (f", {name}" if len(model.best_epochs) > 1 else "")
            lines.append(Line(word, points, best + 1))
    return curves(lines, title="validation MTL-Loss")
