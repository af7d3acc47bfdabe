"""`automtl predict`: a trained model on new rows."""

from pathlib import Path
from typing import Annotated

import typer

from automtl.cli._options import Device
from automtl.cli.progress import ConsoleReporter


def run(
    run: Annotated[
        Path,
        typer.Argument(help="A run's folder, a retrain folder inside it, or an export in ONNX."),
    ],
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="A file, as of CSV or Parquet, or a folder of them."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The Parquet file to write.")],
    keep: Annotated[
        str,
        typer.Option(
            "--keep", help="Columns to hand back, such as user_id,video_id.", show_default=False
        ),
    ] = "",
    device: Device = None,
) -> None:
    """Predict on new rows: one column per task, probs_<task> or value_<task>. Ids never seen in
    training are unknown ids.

    Example: automtl predict runs/first new_rows.csv -o scores.parquet --keep user_id,item_id
    """
    from automtl.phases.finished.predict import predict_file

    names = [name.strip() for name in keep.split(",") if name.strip()]
    with ConsoleReporter() as reporter:
        predict_file(run, source, out, keep=names, device=device or "auto", reporter=reporter)
