"""The export phase: a trained model as a folder that others can serve, checked against the network
itself.
"""

from dataclasses import dataclass
from pathlib import Path

from automtl import files
from automtl.errors import ArtifactError, ConfigError
from automtl.exports.formats import FORMATS
from automtl.exports.network import names
from automtl.phases.finished._export_folder import ExportFolder
from automtl.phases.finished._seeds import models_of
from automtl.phases.finished.open import session_of
from automtl.phases.run.reporter import Reporter, Silent
from automtl.strict import nearest


@dataclass(frozen=True)
class ExportResult:
    """One export.

    Args:
        path: its folder.
        parity: the largest difference from the network itself, per output.
    """

    path: Path
    parity: dict[str, float]


def export(
    run: Path, form: str, *, out: Path | None = None, reporter: Reporter | None = None
) -> ExportResult:
    """Write a trained model in one of the formats, with what its reader needs; nothing is left
    where it would answer otherwise.

    Args:
        run: a retrain folder, or a run with seeds of one model, of which the best on the validation
            rows is exported.
        form: a name of ``exports.formats.FORMATS``.
        out: the folder to write; it must not exist. Default: beside the retrain folders, in
            export/.
        reporter: told what is done.

    Raises:
        ConfigError: an unknown format, or a feature and an output of one name.
        ArtifactError: the folder exists, or there is no finished retrain.
        EnvironmentFault: a library for the format is not installed.
        NumericalError: the export answers otherwise than the network.
    """
    if form not in FORMATS:
        raise ConfigError(
            "--format", f"must be one of {', '.join(FORMATS)}", form, nearest(form, FORMATS)
        )
    reporter, chosen = reporter or Silent(), FORMATS[form]
    [folder] = models_of(run, average=False, reporter=reporter)
    out = out or folder.run / "export" / f"{folder.path.name}-{form}"
    if out.exists():
        raise ArtifactError(
            out, "must not exist yet", "an existing one", "choose another --out, or remove it"
        )
    if folder.state() != "done":
        raise ArtifactError(
            folder.path, "must be a finished retrain", folder.state(), "retrain it to the end"
        )
    chosen.check()
    session = session_of(folder, "cpu", reporter)
    work = ExportFolder(folder, session, session.rows_at_hand())
    names(work.session.schema)
    with files.StagedFolder(out) as staged:
        parity = work.write(staged, form, chosen)
    differences = ", ".join(f"{name} {value:.2g}" for name, value in parity.items())
    reporter.say(
        f"{out}: {chosen.title}; largest difference from the network itself on {work.rows:,} "
        f"rows: {differences}"
    )
    return ExportResult(out, parity)
