"""An export's folder: what is in it, with checksums, read back and verified."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automtl import files
from automtl.bounds import inside
from automtl.data.access.fingerprints import fingerprint, fingerprints_below
from automtl.errors import ArtifactError
from automtl.strict import shown

MANIFEST, VERSION = "manifest.json", 2
KIND = "automtl.export"
FIX = "export the run again"


def write_manifest(folder: files.StagedFolder, values: Mapping[str, Any]) -> None:
    """Note every file of the folder with size and SHA-256; the last thing that is written."""
    listed = fingerprints_below(folder / ".")
    files.write_json(
        folder / MANIFEST, {"format": KIND, "version": VERSION, **values, "files": listed}
    )


def is_export(path: Path) -> bool:
    """Whether a folder is an export."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        return False
    values = files.read_json(manifest)
    return isinstance(values, dict) and values.get("format") == KIND


def open_export(path: Path) -> dict[str, Any]:
    """The manifest of an export whose files are all as they were written.

    Raises:
        ArtifactError: a file is absent, changed or more than there should be, or it is of a newer
            format.
    """
    values: Any = files.read_json(path / MANIFEST)
    if not isinstance(values, dict):
        raise ArtifactError(
            path / MANIFEST, "must be an export's manifest", type(values).__name__, FIX
        )
    if values.get("version") != VERSION:
        origin = values.get("made")
        by = f", made by {origin.get('versions')}" if isinstance(origin, dict) else ""
        fix = "use that automtl, or the folder's own encode.py, or export the run again"
        raise ArtifactError(
            path / MANIFEST,
            f"must be of version {VERSION}",
            shown(f"{values.get('version')}{by}"),
            fix,
        )
    listed = values.get("files")
    if not isinstance(listed, dict):
        raise ArtifactError(path / MANIFEST, "must list its files", type(listed).__name__, FIX)
    for name, known in listed.items():
        part = inside(path, name)
        if not part.is_file():
            raise ArtifactError(part, "must be there", "no such file", FIX)
        if fingerprint(part) != known:
            raise ArtifactError(part, "must be as it was written", "another content", FIX)
    if not isinstance(values.get("kind"), str):
        raise ArtifactError(path / MANIFEST, "must tell the kind of export", "nothing", FIX)
    return values
