"""Raw files -> the files of a store, in bounded memory.

Pass 1 reads the raw files once, checks every row and spools what is needed of it (digests) beside the store to be; pass 2 goes
over the spool for vocabularies and statistics of the training split; pass 3 encodes and writes.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from automtl.data.ahead import ahead, worked_ahead
from automtl.data.columns import plan_readings
from automtl.data.dataset import DatasetConfig
from automtl.data.digest import ROLES, Digester
from automtl.data.encode import Arrays, Encoder, FeatureEncoder
from automtl.data.encoding import SIDE, Encoding
from automtl.data.features import Categorical, Numeric
from automtl.data.fit import Fit
from automtl.data.joins import read_side_table
from automtl.data.leakage import LeakCheck
from automtl.data.rows import RowReader, needed
from automtl.data.schema import Schema
from automtl.data.sources import JOIN, Source
from automtl.data.split import ALPHA, Rule, split_rule
from automtl.data.vectors import write_vectors
from automtl.data.writing import write_rows
from automtl.files import StagedFolder, write_json

SPOOL = "spool.arrow"
COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")
REPORT_ROWS = 1_000_000
Say = Callable[[str], None]


@dataclass
class Made:
    """What is counted while rows are encoded: training rows with no known id, by field of ids."""

    schema: Schema
    unknown: Counter[str]

    def add(self, arrays: Arrays, train: np.ndarray) -> None:
        """Take in one batch; `train` marks the rows of the training split."""
        unknown = (arrays.ids[train] == 0).sum(axis=0).tolist()
        empty = {field.name: count for field, count in zip(self.schema.categorical, unknown, strict=True)}
        for field, lists in zip(self.schema.lists, arrays.lists, strict=True):
            empty[field.name] = int((np.diff(lists.offsets)[train] == 0).sum())
        self.unknown.update(empty)

    def result(self) -> Schema:
        """The schema with these counts."""
        counts = {f.name: {"unknown_count": self.unknown[f.name]} for f in self.schema.fields if f.name in self.unknown}
        return self.schema.model_copy(update={"fields": tuple(f.model_copy(update=counts.get(f.name)) for f in self.schema.fields)})


def make(config: DatasetConfig, sources: tuple[Source, ...], folder: StagedFolder, config_hash: str, say: Say) -> dict[str, Any]:
    """Write a store's files but its manifest; gives the counts for people."""
    digester = Digester(config)
    times = _spool(config, sources, digester, folder, say)
    rule = split_rule(config, times)
    if digester.float_text.names:
        say(f"float columns read as categorical text (1.0 -> 1): {', '.join(digester.float_text.names)}")
    say("counting words and fitting scalers on the training rows")
    fit = Fit(config, digester.float_text.names, _older_words(config))
    for batch in ahead(_unspool(folder)):
        fit.add(batch, _parts(rule, batch))
    fit.check_rows()
    schema, vocabularies = fit.result(config_hash)
    kept = fit.kept()
    _write_words(folder, "vocabularies", {name: vocabularies[name] for name in schema.owners})
    _write_words(folder, "kept", kept)
    _write_sides(folder, config, sources)
    write_vectors(folder, config, schema, vocabularies, say)
    say("encoding")
    features = FeatureEncoder(schema, {name: table["word"] for name, table in vocabularies.items()}, list_lengths(config))
    encoder = Encoder(features, schema, _weighted(config), {name: table["word"] for name, table in kept.items()})
    leaks, made = LeakCheck(config, schema, int(fit.part_rows[: ALPHA + 1].sum())), Made(schema, Counter())
    write_rows(folder, schema, fit.part_rows, bool(_weighted(config)), _encoded(folder, encoder, rule, leaks, made))
    leaks.check()
    write_json(folder / "schema.json", made.result().model_dump(mode="json"))
    folder.discard(SPOOL)
    return fit.summary()


def _older_words(config: DatasetConfig) -> dict[str, pa.Array]:
    """The words of the data that vocabularies grow from, per field that it and this data set have."""
    if config.vocabularies_from is None:
        return {}
    older = Encoding.open(Path(config.vocabularies_from))
    mine = {feature.name for feature in config.features}
    return {name: older.vocabulary(name)["word"].combine_chunks() for name in older.schema.owners if name in mine}


def list_lengths(config: DatasetConfig) -> dict[str, tuple[int | None, bool]]:
    """Per feature of lists, how many ids are kept at most, and whether the latest."""
    lists = [f for f in config.features if not isinstance(f, Categorical | Numeric)]
    return {feature.name: (feature.max_length, feature.kind == "sequence") for feature in lists}


def _write_words(folder: StagedFolder, name: str, tables: Mapping[str, pa.Table]) -> None:
    for i, table in enumerate(tables.values()):
        with folder.stream(f"{name}/{i}.arrow") as stream, pa.ipc.new_file(stream, table.schema, options=COMPRESSED) as writer:
            writer.write_table(table)


def _write_sides(folder: StagedFolder, config: DatasetConfig, sources: tuple[Source, ...]) -> None:
    """What rows to predict on need of the side tables, so that a run can keep it."""
    wanted = needed(plan_readings(config, served=True), config.derived)
    for i, join in enumerate(config.joins):
        table, _ = read_side_table(join, [source.path for source in sources if source.role == f"{JOIN}{i}"], wanted)
        if table.num_columns > 1:
            with folder.stream(SIDE.format(i)) as stream:
                pq.write_table(table, stream, compression="zstd")


def _encoded(folder: StagedFolder, encoder: Encoder, rule: Rule, leaks: LeakCheck, made: Made) -> Iterator[tuple[Arrays, np.ndarray]]:
    def work(batch: pa.RecordBatch) -> tuple[Arrays, np.ndarray, np.ndarray]:
        return encoder(batch), _parts(rule, batch), batch.column("hash").to_numpy()

    for arrays, parts, hashes in worked_ahead(work, _unspool(folder)):
        leaks.add(arrays, parts <= ALPHA, hashes)
        made.add(arrays, parts <= ALPHA)
        yield arrays, parts


def _weighted(config: DatasetConfig) -> frozenset[str]:
    return frozenset(task.name for task in config.tasks if task.sample_weight)


def _parts(rule: Rule, batch: pa.RecordBatch) -> np.ndarray:
    return rule(batch.column("role").to_numpy(), batch.column("key").to_numpy())


def _spool(config: DatasetConfig, sources: tuple[Source, ...], digester: Digester, folder: StagedFolder, say: Say) -> np.ndarray | None:
    """Pass 1; gives the times of all rows where the split is by time."""
    read, rows, times = RowReader(config, sources, digester.readings, say), 0, list[np.ndarray]()
    with folder.stream(SPOOL, durable=False) as stream, pa.ipc.new_stream(stream, digester.schema) as writer:
        for role in (role for role in ROLES if any(source.role == role for source in sources)):
            for piece in ahead(read([source.path for source in sources if source.role == role])):
                digest = digester(piece, role)
                writer.write_batch(digest)
                if config.split.kind == "time":
                    times.append(digest.column("key").to_numpy())
                rows += len(digest)
                if rows // REPORT_ROWS > (rows - len(digest)) // REPORT_ROWS:
                    say(f"read {rows:,} rows")
    say(f"read {rows:,} rows")
    read.finish()
    return np.concatenate(times) if times else None


def _unspool(folder: StagedFolder) -> Iterator[pa.RecordBatch]:
    """The digests again; read, not mapped, so that they do not count as memory held."""
    with (folder / SPOOL).open("rb") as stream:
        yield from pa.ipc.open_stream(stream)
