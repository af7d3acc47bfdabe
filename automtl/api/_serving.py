"""Predicts with a trained model, and exports it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from automtl.api._progress import Listening
from automtl.api._settings import path_of
from automtl.api._wording import speaks_python
from automtl.api.judging import Runs, folder_of
from automtl.api.models import Models
from automtl.phases.finished.export import ExportResult
from automtl.phases.finished.export import export as _export
from automtl.phases.finished.predict import predict_frame
from automtl.phases.run.reporter import Reporter


@speaks_python
def predict(
    run: Runs,
    rows: Any,
    *,
    keep: Sequence[str] = (),
    device: str = "auto",
    verbose: bool | None = None,
    reporter: Reporter | None = None,
) -> pd.DataFrame:
    """Predict on rows: a DataFrame with the kept columns and one column per task (``probs_click``,
    ``value_watch_time``).

    >>> automtl.predict(models[0], rows, keep=["user"]).columns.tolist()
    ['user', 'probs_click', 'probs_buy']

    Args:
        run: a trained model; a retrain folder, a run with one, or an export in ONNX. Of several
            models the best on the validation rows.
        rows: a DataFrame of pandas (whose index the answer has) or polars, an Arrow table, a list
            of dicts or a dict of columns; columns that the model does not read are ignored; ids
            never seen in training are unknown ids.
        keep: columns to hand back.
        device: where to run.
        verbose: whether to tell what is ignored; default in terminals and notebooks.
        reporter: told what is ignored.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    run = run.best if isinstance(run, Models) else run
    with Listening(verbose, reporter) as listener:
        return predict_frame(folder_of(run), rows, keep=keep, device=device, reporter=listener)


@speaks_python
def export(
    run: Runs,
    format: str = "onnx",
    *,
    out: str | Path | None = None,
    verbose: bool | None = None,
    reporter: Reporter | None = None,
) -> ExportResult:
    """Hand a trained model over as a folder: the model, vocabularies and transforms, a README that
    scores a row, a model card.

    >>> automtl.export(models[0], "python", out="handed_over").path.name
    'handed_over'

    Args:
        run: a trained model; a retrain folder, or a run with one. Of several models the best on the
            validation rows.
        format: "onnx", "pt2" (torch.export) or "python" (one plain PyTorch file).
        out: the folder to write; it must not exist. Default: in the run, below export/.
        verbose: whether to show progress; default in terminals and notebooks.
        reporter: told what is done.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    run = run.best if isinstance(run, Models) else run
    with Listening(verbose, reporter) as listener:
        return _export(folder_of(run), format, out=path_of(out), reporter=listener)
