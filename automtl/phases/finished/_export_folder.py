"""The files of an export: the model, its encoding and its card, checked against the network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from automtl import files
from automtl.data.store import Store
from automtl.exports.card import Facts, first_words, readme
from automtl.exports.encoding import portable, write_encoding
from automtl.exports.folder import write_manifest
from automtl.exports.formats import Format
from automtl.exports.network import Served, arrays, names, random_inputs, with_unknown
from automtl.exports.parity import compare
from automtl.phases.finished.open import load_net
from automtl.phases.run.session import Session
from automtl.runs.constant import remarks
from automtl.runs.manifest import Manifest, now
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture

CHECKED_ROWS = 1000


@dataclass
class ExportFolder:
    """One export being made.

    Args:
        folder: of the retrain.
        session: its data.
        store: its rows, where they are at hand.

    Attributes:
        rows: that it was checked on.
        remarks: for the card.
    """

    folder: PhaseDir
    session: Session
    store: Store | None
    rows: int = 0
    remarks: list[str] = field(default_factory=list)

    def write(self, staged: files.StagedFolder, form: str, chosen: Format) -> dict[str, float]:
        """All files; the largest difference per output."""
        data, schema = self.session.encoding, self.session.schema
        net = load_net(self.folder, self.session).eval().requires_grad_(False)
        judged = self._judged()
        served = Served(net, schema).eval()
        features = self._features()
        parity = compare(chosen.write(staged, served), served, features, exact=chosen.exact)
        write_encoding(staged, data, self.session.dataset)
        bound = Architecture.load(self.folder.architecture)
        bound.save(staged / "architecture.json")
        words = first_words({name: data.vocabulary(name) for name in schema.owners})
        origin = self._origin()
        facts = Facts(
            bound,
            schema,
            portable(self.session.dataset),
            data.summary,
            {split: part["tasks"] for split, part in judged.items()},
            origin,
            parity,
            self.rows,
            words,
            self.remarks,
            remarks([judged.get("test", judged["validation"])]),
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
            features = random_inputs(schema, CHECKED_ROWS)
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
        """The origin of the model, without paths of the machine."""
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
