"""What is known of a data set without its rows: schema, vocabularies, the columns of its side
tables; every file with its checksum.

Layout: manifest.json, schema.json, vocabularies/<i>.arrow (the i-th field that owns one),
sides/<i>.parquet (of side table i what rows to predict on need). A prepared store has these files
beside its rows (`_store.py`), a run keeps copies of them (`snapshot.py`).
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import pyarrow as pa

from automtl.bounds import fitting, inside, need_file
from automtl.data.access.fingerprints import fingerprint
from automtl.data.store.schema import Schema
from automtl.errors import ArtifactError, ConfigError
from automtl.files import read_json
from automtl.strict import build, nearest

FORMAT = 3
MANIFEST = "manifest.json"
SCHEMA = "schema.json"
VOCABULARY = "vocabularies/{}.arrow"
SIDE = "sides/{}.parquet"
WORDS = pa.schema([("word", pa.string()), ("count", pa.int64())])
Check = Callable[[Path], dict[str, int | str]]


def checksum(value: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, allow_nan=False).encode("utf-8")
    ).hexdigest()


def sealed(body: dict[str, Any]) -> dict[str, Any]:
    """A manifest with its own checksum."""
    return body | {"checksum": checksum(body)}


class Encoding:
    """Schema and vocabularies, opened for reading.

    Args:
        path: the folder.
        manifest: what it holds, as `read_manifest` gives it.
        schema: of the rows.
    """

    remedy: ClassVar[str] = "restore it"

    def __init__(self, path: Path, manifest: dict[str, Any], schema: Schema) -> None:
        self.path, self.schema, self._manifest = path, schema, manifest

    @property
    def key(self) -> str:
        """The name of the prepared store, which is by settings and content of the raw files."""
        return str(self._manifest["key"])

    @property
    def files(self) -> dict[str, dict[str, int | str]]:
        """Every file below the folder but the manifest, with size and SHA-256."""
        return dict(self._manifest["files"])

    @property
    def summary(self) -> dict[str, Any]:
        """Rows per part, labels and positives per task and split, as counted when the store was
        made.
        """
        return dict(self._manifest["summary"])

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The raw files that the store was made from, with size and SHA-256."""
        return list(self._manifest["sources"])

    @property
    def left_out(self) -> dict[str, str]:
        """The columns of side tables that a run did not keep, since they are too large -> the
        table's name.
        """
        return {name: str(table) for name, table in self._manifest.get("left_out", {}).items()}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a folder, every file compared with its checksum.

        Raises:
            ArtifactError: a file is absent, cut short or changed; the message names it.
        """
        return cls(path, *cls._opened(path, fingerprint))

    @classmethod
    def _opened(cls, path: Path, check: Check | None) -> tuple[dict[str, Any], Schema]:
        """Manifest and schema of a folder whose files are as they were written.

        Args:
            path: the folder.
            check: gives a file's sum; None compares sizes only.

        Raises:
            ArtifactError: a file is absent, cut short or changed; the message names it.
        """
        manifest = _read_manifest(path / MANIFEST, cls.remedy)
        with fitting(path / MANIFEST):
            for name, known in manifest["files"].items():
                _check_file(inside(path, name), known, check, cls.remedy)
        return manifest, build(
            Schema, read_json(_listed(path, SCHEMA, manifest, cls.remedy)), path / SCHEMA
        )

    def listed(self, name: str) -> Path:
        """The path of a file that the manifest lists: others may be links that lead elsewhere.

        Raises:
            ArtifactError: it does not.
        """
        return _listed(self.path, name, self._manifest, self.remedy)

    def vocabulary(self, field: str) -> pa.Table:
        """`word` and `count` (training rows) of a field of ids; word i has id i + 1.

        Raises:
            ConfigError: there is no such field, or its ids are hashed.
            ArtifactError: it is none, or not of the schema's size.
        """
        by_name = {f.name: f for f in self.schema.fields if f.kind != "numeric"}
        if field not in by_name:
            raise ConfigError(
                "field",
                "must be a categorical field of the data set, or one of lists",
                field,
                nearest(field, by_name),
            )
        if by_name[field].hash_buckets:
            raise ConfigError("field", "must have a vocabulary", f"{field}, whose ids are hashed")
        name = VOCABULARY.format(self.schema.owners.index(by_name[field].owner))
        size = by_name[field].vocabulary_size - 1
        words = self._words(name)
        if len(words) != size:
            raise ArtifactError(
                self.path / name,
                f"must hold the {size} words that {SCHEMA} tells of",
                len(words),
                self.remedy,
            )
        return words

    def _words(self, name: str) -> pa.Table:
        path = self.listed(name)
        try:
            with path.open("rb") as stream:
                table = pa.ipc.open_file(stream).read_all()
            table.validate(full=True)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ArtifactError(
                path,
                "must be words of the data set",
                " ".join(str(error).split())[:200],
                self.remedy,
            ) from error
        if not table.schema.equals(WORDS):
            raise ArtifactError(
                path,
                "must be words of the data set",
                ", ".join(map(str, table.schema))[:200],
                self.remedy,
            )
        return table


def _read_manifest(path: Path, remedy: str) -> dict[str, Any]:
    need_file(path)
    manifest = read_json(path)
    body = (
        {key: value for key, value in manifest.items() if key != "checksum"}
        if isinstance(manifest, dict)
        else {}
    )
    if not body or manifest.get("checksum") != checksum(body):
        raise ArtifactError(path, "must be as it was written", "another content", remedy)
    if manifest.get("format") != FORMAT:
        raise ArtifactError(
            path, f"must be of format {FORMAT}", str(manifest.get("format"))[:80], remedy
        )
    kinds = {"files": dict, "summary": dict, "sources": list, "key": str, "left_out": dict}
    if wrong := [
        name
        for name, kind in kinds.items()
        if not isinstance({"left_out": {}, **manifest}.get(name), kind)
    ]:
        got = ", ".join(type(manifest.get(name)).__name__ for name in wrong)
        raise ArtifactError(path, f"must tell {', '.join(wrong)}", got, remedy)
    return dict(manifest)


def _listed(path: Path, name: str, manifest: dict[str, Any], remedy: str) -> Path:
    if name not in manifest["files"]:
        raise ArtifactError(path / MANIFEST, f"must list {name}", "none", remedy)
    return path / name


def _check_file(path: Path, known: dict[str, Any], check: Check | None, remedy: str) -> None:
    need_file(path)
    try:
        size = path.stat().st_size
        if size != known["bytes"]:
            raise ArtifactError(path, f"must have {known['bytes']} bytes", size, remedy)
        if check and check(path)["sha256"] != known["sha256"]:
            raise ArtifactError(path, "must be as it was written", "another content", remedy)
    except ArtifactError:
        raise
    except OSError as error:  # an EnvironmentFault among them
        raise ArtifactError(path, "must be readable", error.strerror or error, remedy) from error
