"""The prepared rows on disk: NumPy arrays per split, memory-mapped; vocabularies in Arrow; every file with its checksum.

Layout: manifest.json, schema.json, vocabularies/<i>.arrow, and train/, validation/, test/ with ids.npy, dense.npy, labels.npy,
weights.npy (where a task is weighted); train/ also has alpha.npy.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from automtl.data.schema import Schema
from automtl.data.split import SPLITS
from automtl.errors import ArtifactError, ConfigError
from automtl.files import read_json
from automtl.strict import build, nearest

FORMAT = 1
REMEDY = "run `automtl data prepare` again"


@dataclass(frozen=True)
class Rows:
    """The rows of one split. n rows, Fc categorical fields, M numeric fields, T tasks.

    Attributes:
        ids: (n, Fc) int32, 0 = unknown or missing.
        dense: (n, M) float32, standardised by the training split.
        labels: (n, T) float32, NaN = missing.
        weights: (n, T) float32, or None where every weight is 1.
    """

    ids: np.ndarray
    dense: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


def checksum(value: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode("utf-8")).hexdigest()


class Store:
    """A prepared data set, opened for reading; use `Store.open`."""

    def __init__(self, path: Path, manifest: dict[str, Any], schema: Schema) -> None:
        self.path, self.schema = path, schema
        self._manifest = manifest
        self._rows: dict[str, Rows] = {}

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> "Store":
        """Open a store.

        Args:
            path: its folder.
            verify: read every file once and compare its checksum (about a second per GB); sizes are always compared.

        Raises:
            ArtifactError: a file is absent, cut short or changed; the message names it.
        """
        manifest = _read_manifest(path / "manifest.json")
        for name, known in manifest["files"].items():
            _check_file(path / name, known, verify)
        return cls(path, manifest, build(Schema, read_json(path / "schema.json"), path / "schema.json"))

    @property
    def summary(self) -> dict[str, Any]:
        """Rows per part, labels and positives per task and split, as counted when the store was made."""
        return dict(self._manifest["summary"])

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The raw files that the store was made from, with size and SHA-256."""
        return list(self._manifest["sources"])

    def rows(self, split: str) -> Rows:
        """The rows of `train`, `validation` or `test`, mapped at the first call; other splits are not touched.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in SPLITS:
            raise ConfigError("split", f"must be one of {', '.join(SPLITS)}", split, nearest(split, SPLITS))
        if split not in self._rows:
            weights = self._array(f"{split}/weights.npy") if f"{split}/weights.npy" in self._manifest["files"] else None
            ids, dense, labels = (self._array(f"{split}/{name}.npy") for name in ("ids", "dense", "labels"))
            self._rows[split] = Rows(ids, dense, labels, weights)
        return self._rows[split]

    @cached_property
    def alpha_index(self) -> np.ndarray:
        """(n_alpha,) int64: the training rows that the alpha steps own."""
        return np.asarray(self._array("train/alpha.npy"))

    @cached_property
    def fit_index(self) -> np.ndarray:
        """(n_fit,) int64: the other training rows."""
        mine = np.ones(self.summary["rows"]["fit"] + self.summary["rows"]["alpha"], bool)
        mine[self.alpha_index] = False
        return np.flatnonzero(mine)

    def vocabulary(self, field: str) -> pa.Table:
        """`word` and `count` (training rows) of a categorical field; word i has id i + 1.

        Raises:
            ConfigError: there is no such field.
        """
        names = [f.name for f in self.schema.categorical]
        if field not in names:
            raise ConfigError("field", "must be a categorical field of the data set", field, nearest(field, names))
        with (self.path / "vocabularies" / f"{names.index(field)}.arrow").open("rb") as stream:
            return pa.ipc.open_file(stream).read_all()

    def _array(self, name: str) -> np.ndarray:
        path = self.path / name
        try:
            # copy on write: torch refuses to share a read-only array in silence, and nothing reaches the file
            return np.load(path, mmap_mode="c", allow_pickle=False)  # type: ignore[no-any-return]
        except (OSError, ValueError) as error:
            raise ArtifactError(path, "must be an array of the store", error, REMEDY) from error


def _read_manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path)
    body = {key: value for key, value in manifest.items() if key != "checksum"} if isinstance(manifest, dict) else {}
    if not body or manifest.get("checksum") != checksum(body):
        raise ArtifactError(path, "must be as it was written", "another content", REMEDY)
    if manifest["format"] != FORMAT:
        raise ArtifactError(path, f"must be of format {FORMAT}", manifest["format"], REMEDY)
    return dict(manifest)


def _check_file(path: Path, known: dict[str, Any], verify: bool) -> None:
    try:
        size = path.stat().st_size
        if size != known["bytes"]:
            raise ArtifactError(path, f"must have {known['bytes']} bytes", size, REMEDY)
        if verify:
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != known["sha256"]:
                    raise ArtifactError(path, "must be as it was written", "another content", REMEDY)
    except OSError as error:
        raise ArtifactError(path, "must be readable", error.strerror, REMEDY) from error
