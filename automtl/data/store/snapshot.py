"""A data set as a run keeps it: settings, schema, vocabularies and side tables as they were,
without the rows.

A snapshot is a folder named by its content, `<run>/data/<sum>`, for all phases of a run that are of
that data. Its files are those of the prepared store, by hard links where the file system has them,
and `dataset.json`, the settings.
"""

from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import pyarrow.parquet as pq

from automtl import files
from automtl.data.spec.dataset import Csv, DatasetConfig
from automtl.data.spec.features import Categorical, ListFeature, Numeric
from automtl.data.store.encoding import (
    FORMAT,
    MANIFEST,
    SCHEMA,
    SIDE,
    VOCABULARY,
    Encoding,
    checksum,
    sealed,
)
from automtl.errors import ArtifactError
from automtl.strict import build

DATASET = "dataset.json"
_NAME_LETTERS = 16


class Snapshot(Encoding):
    """A kept data set; use `Snapshot.open`."""

    remedy = "restore it, or make the run anew"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a snapshot, as any encoding; its folder must be named by its content, too."""
        opened = super().open(path)
        if path.name != _name(opened.files):
            raise ArtifactError(
                path, "must be named by its content", f"that of {_name(opened.files)}", cls.remedy
            )
        return opened

    @cached_property
    def config(self) -> DatasetConfig:
        """The data set's settings when the snapshot was made.

        Raises:
            ArtifactError: they are of other features than the schema.
        """
        path = self.listed(DATASET)
        config = build(DatasetConfig, files.read_json(path), path)
        schema = self.schema
        for what, kind, known in (
            ("categorical", Categorical, {field.name for field in schema.categorical}),
            ("numeric", Numeric, {field.indicator_of or field.name for field in schema.numeric}),
            ("list", ListFeature, {field.name for field in schema.lists}),
        ):
            named = {feature.name for feature in config.features if isinstance(feature, kind)}
            if named != known:
                rule = f"must have the {what} features of {SCHEMA}, {', '.join(sorted(known))}"
                got = ", ".join(sorted(named)) or "none"
                raise ArtifactError(path, rule, got[:200], self.remedy)
        return config

    def served(self) -> DatasetConfig:
        """The settings by which rows to predict on are read: side tables are those kept here."""
        sides = {
            i: SIDE.format(i) for i in range(len(self.config.joins)) if SIDE.format(i) in self.files
        }
        joins = {
            i: {"file": (str(self.listed(name).absolute()),), "csv": Csv()}
            for i, name in sides.items()
        }
        return self.config.model_copy(
            update={
                "joins": tuple(
                    self.config.joins[i].model_copy(update=join) for i, join in joins.items()
                )
            }
        )


def keep(source: Encoding, config: DatasetConfig, home: Path, *, most_bytes: int) -> Snapshot:
    """Make a snapshot of a data set in a folder, unless it is there already.

    Args:
        source: a prepared store, or another snapshot.
        config: its settings.
        home: of all snapshots of a run.
        most_bytes: side tables are kept while they have no more in all.

    Raises:
        EnvironmentFault: the disk is full, or the folder cannot be written.
    """
    settings = files.json_text(config.model_dump(mode="json", exclude_unset=True)).encode()
    names, left_out = _chosen(source, config, most_bytes)
    listed = {name: source.files[name] for name in names}
    listed[DATASET] = {"bytes": len(settings), "sha256": sha256(settings).hexdigest()}
    path = home / _name(listed)
    with files.locked(home, wait=True):  # two phases of a run may begin at once
        if _whole(path):
            return Snapshot.open(path)
        with files.StagedFolder(path) as staged:
            for name in names:
                files.link_or_copy(source.path / name, staged / name)
            files.write_bytes(staged / DATASET, settings)
            facts = {"key": source.key, "sources": source.sources, "summary": source.summary}
            files.write_json(
                staged / MANIFEST,
                sealed({"format": FORMAT, **facts, "left_out": left_out, "files": listed}),
            )
    return Snapshot.open(path)


def _name(listed: Mapping[str, Any]) -> str:
    return checksum(listed)[:_NAME_LETTERS]


def _whole(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        Snapshot.open(path)
    except ArtifactError:
        return False
    return True


def _chosen(
    source: Encoding, config: DatasetConfig, most_bytes: int
) -> tuple[list[str], dict[str, str]]:
    """The files to keep, and the columns of the side tables that are left out."""
    names = [SCHEMA, *(VOCABULARY.format(i) for i in range(len(source.schema.owners)))]
    left_out = dict[str, str]()
    for i, join in enumerate(config.joins):
        if (name := SIDE.format(i)) not in source.files:  # what rows to predict on need nothing of
            continue
        most_bytes -= int(source.files[name]["bytes"])
        if most_bytes >= 0:
            names.append(name)
        else:
            left_out |= dict.fromkeys(
                pq.read_schema(source.path / name).names, Path(join.file[0]).name
            )
            del left_out[join.on]
    return names, left_out
