"""The export phase: a trained model as a folder that others can serve, checked against the network
itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from automtl import files
from automtl.data.store import Store
from automtl.errors import ArtifactError, ConfigError
from automtl.exports.card import Facts, first_words, readme
from automtl.exports.encoding import portable, write_encoding
from automtl.exports.folder import write_manifest
from automtl.exports.formats import FORMATS, Format
from automtl.exports.network import Served, arrays, drawn, names, with_unknown
from automtl.exports.parity import compare
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.run.reporter import Reporter, Silent
from automtl.phases.run.session import Session
from automtl.runs.constant import remarks
from automtl.runs.manifest import Manifest, now
from automtl.runs.run_dir import PhaseDir, one_phase
from automtl.spaces.architecture import Architecture
from automtl.strict import nearest

CHECKED_ROWS = 1000


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
        run: a retrain folder, or a run with one.
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
    reporter, folder, chosen = reporter or Silent(), one_phase(run, "retrain"), FORMATS[form]
    out = out or folder.path.parent.parent / "export" / f"{folder.path.name}-{form}"
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
    work = _Work(folder, session, session.rows_at_hand())
    names(work.session.schema)
    with files.StagedFolder(out) as staged:
        parity = work.write(staged, form, chosen)
    differences = ", ".join(f"{name} {value:.2g}" for name, value in parity.items())
    reporter.say(
        f"{out}: {chosen.title}; largest difference from the network itself on {work.rows:,} "
        f"rows: {differences}"
    )
    return ExportResult(out, parity)


@dataclass
class _Work:
    """One export being made."""

    folder: PhaseDir
    session: Session
    store: Store | None
    rows: int = 0
    remarks: list[str] = field(default_factory=list)

    def write(self, staged: files.StagedFolder, form: str, chosen: Format) -> dict[str, float]:
        """All files; the largest difference per output."""
        data, schema, config = self.session.encoding, self.session.schema, self.session.dataset
        net = load_net(self.folder, self.session).eval().requires_grad_(False)
        judged = self._judged()
        served = Served(net, schema).eval()
        features = self._features()
        parity = compare(chosen.write(staged, served), served, features, exact=chosen.exact)
        write_encoding(staged, data, config)
        bound = Architecture.load(self.folder.architecture)
        bound.save(staged / "architecture.json")
        words = first_words({name: data.vocabulary(name) for name in schema.owners})
        metrics, warnings = (
            {split: part["tasks"] for split, part in judged.items()},
            remarks([judged.get("test", judged["validation"])]),
        )
        settings, origin = portable(config), self._origin()
        facts = Facts(
            bound,
            schema,
            settings,
            data.summary,
            metrics,
            origin,
            parity,
            self.rows,
            words,
            self.remarks,
            warnings,
        )
        files.write_text(staged / "README.md", readme(facts, chosen))
        inputs, outputs = names(schema)
        write_manifest(
            staged,
            {"kind": form, "inputs": inputs, "outputs": outputs, "parity": parity, "made": origin},
        )
        return parity

    def _features(self) -> dict[str, np.ndarray]:
        """Validation rows where they are at hand, else drawn ones; and one of unseen ids and
        missing numbers.
        """
        schema = self.session.schema
        if self.store is None:
            self.remarks.append(
                "the rows that it was checked on were drawn at random, since the validation "
                "rows were not at hand"
            )
            features = drawn(schema, CHECKED_ROWS)
        else:
            rows = self.store.rows("validation")
            features = arrays(rows, schema, np.arange(min(len(rows), CHECKED_ROWS)))
        features = with_unknown(features, schema)
        self.rows = len(features[schema.fields[0].name])
        return features

    def _judged(self) -> dict[str, Mapping[str, Any]]:
        """Its figures per split: the network is handed over as it was evaluated."""
        results = files.read_json(self.folder.results)
        return {split: results[split] for split in ("validation", "test") if split in results}

    def _origin(self) -> dict[str, Any]:
        """How the model was made, without paths of the machine."""
        known = Manifest.read(self.folder.manifest).values
        versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
        return {
            "seed": known["seed"],
            "trained": known["end"],
            "exported": now(),
            "versions": versions,
            "git revision": known["git_revision"] or "none",
            "data": known["data"]["name"],
            "data hash": known["data"]["hash"],
            "split hash": known["data"]["split_hash"],
        }
