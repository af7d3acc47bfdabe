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
        typer.Argument(
            metavar="INPUT", help="A CSV or Parquet file, another that training reads, or a folder."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write, .csv or .parquet.")],
    keep: Annotated[
        str,
        typer.Option(
            "--keep", help="Columns to hand back, such as user_id,video_id.", show_default=False
        ),
    ] = "",
    average: Annotated[
        bool, typer.Option("--average", help="Average the predictions of the run's seeds.")
    ] = False,
    device: Device = None,
) -> None:
    """Predict on new rows: one column per task, probs_<task> or value_<task>.

    Ids never seen in training count as unknown. Of a run with several seeds the best one on the
    validation rows predicts.

    Example:
        automtl predict runs/first new_rows.csv -o scores.parquet --keep user_id,item_id
    """
    _check(run, source, out)
    from automtl.phases.finished.predict import predict_file

    names = [name.strip() for name in keep.split(",") if name.strip()]
    with ConsoleReporter() as reporter:
        predict_file(
            run,
            source,
            out,
            keep=names,
            device=device or "auto",
            average=average,
            reporter=reporter,
        )


def _check(run: Path, source: Path, out: Path) -> None:
    """Refuse what can be seen to be wrong before torch is imported."""
    from automtl.errors import ArtifactError, ConfigError

    if out.suffix not in (".parquet", ".pq", ".csv"):
        raise ConfigError("--out", "must end in .parquet, .pq or .csv", repr(out.name))
    if not run.exists():
        raise ArtifactError(run, "must be a run or an export", "no such folder")
    if not any(sign in str(source) for sign in "*?[:") and not source.exists():
        raise ConfigError(source, "must be a file of rows", "no such file")
