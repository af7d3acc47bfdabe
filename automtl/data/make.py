"""Raw files -> the files of a store, in bounded memory.

Pass 1 reads the raw files once, checks every row and spools what is needed of it (digests) beside the store to be; pass 2 goes
over the spool for vocabularies and statistics of the training split; pass 3 encodes and writes.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from automtl.data.ahead import ahead, worked_ahead
from automtl.data.copies import Copies
from automtl.data.dataset import DatasetConfig
from automtl.data.digest import ROLES, Digester
from automtl.data.encode import Arrays, Encoder, FeatureEncoder
from automtl.data.features import Categorical, Numeric
from automtl.data.fit import Fit
from automtl.data.leakage import LeakCheck
from automtl.data.remarks import remarks
from automtl.data.rows import RowReader
from automtl.data.schema import Schema
from automtl.data.sources import Source
from automtl.data.split import ALPHA, Rule, split_rule
from automtl.data.store import Store
from automtl.data.vectors import write_vectors
from automtl.data.writing import write_rows
from automtl.files import StagedFolder, write_json

SPOOL = "spool.arrow"
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
    rule, copies = _rule_and_copies(config, *_spool(config, sources, digester, folder, say))
    if digester.float_text.names:
        say(f"float columns read as categorical text (1.0 -> 1): {', '.join(digester.float_text.names)}")
    say("counting words and fitting scalers on the training rows")
    fit = Fit(config, digester.float_text.names, _older_words(config))
    for batch in ahead(copies.told_apart(_unspool(folder))):
        parts = _parts(rule, batch)
        fit.add(batch, parts)
        copies.add(batch.column("hash").to_numpy(), parts)
    fit.check_rows()
    schema, vocabularies = fit.result(config_hash)
    kept = fit.kept()
    _write_words(folder, "vocabularies", {name: vocabularies[name] for name in schema.owners})
    _write_words(folder, "kept", kept)
    write_vectors(folder, config, schema, vocabularies, say)
    say("encoding")
    features = FeatureEncoder(schema, {name: table["word"] for name, table in vocabularies.items()}, list_lengths(config))
    encoder = Encoder(features, schema, _weighted(config), {name: table["word"] for name, table in kept.items()})
    leaks, made = LeakCheck(config, schema, int(fit.part_rows[: ALPHA + 1].sum())), Made(schema, Counter())
    encoded = _encoded(copies.told_apart(_unspool(folder)), encoder, rule, leaks, made)
    write_rows(folder, schema, fit.part_rows, bool(_weighted(config)), encoded)
    leaks.check()
    write_json(folder / "schema.json", made.result().model_dump(mode="json"))
    folder.discard(SPOOL)
    summary = {**fit.summary(), "copies": copies.summary(), "split": config.split.model_dump(include={"kind", "column", "duplicates"})}
    for remark in remarks(summary):
        say(remark)
    return summary


def _older_words(config: DatasetConfig) -> dict[str, pa.Array]:
    """The words of the store that vocabularies grow from, per field that it and this data set have."""
    if config.vocabularies_from is None:
        return {}
    older = Store.open(Path(config.vocabularies_from))
    mine = {feature.name for feature in config.features}
    return {name: older.vocabulary(name)["word"].combine_chunks() for name in older.schema.owners if name in mine}


def list_lengths(config: DatasetConfig) -> dict[str, tuple[int | None, bool]]:
    """Per feature of lists, how many ids are kept at most, and whether the latest."""
    lists = [f for f in config.features if not isinstance(f, Categorical | Numeric)]
    return {feature.name: (feature.max_length, feature.kind == "sequence") for feature in lists}


def _write_words(folder: StagedFolder, name: str, tables: Mapping[str, pa.Table]) -> None:
    for i, table in enumerate(tables.values()):
        with folder.stream(f"{name}/{i}.arrow") as stream, pa.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table)


def _encoded(
    batches: Iterator[pa.RecordBatch], encoder: Encoder, rule: Rule, leaks: LeakCheck, made: Made
) -> Iterator[tuple[Arrays, np.ndarray]]:
    def work(batch: pa.RecordBatch) -> tuple[Arrays, np.ndarray, np.ndarray]:
        return encoder(batch), _parts(rule, batch), batch.column("draw").to_numpy()

    for arrays, parts, draws in worked_ahead(work, batches):
        leaks.add(arrays, parts <= ALPHA, draws)
        made.add(arrays, parts <= ALPHA)
        yield arrays, parts


def _weighted(config: DatasetConfig) -> frozenset[str]:
    return frozenset(task.name for task in config.tasks if task.sample_weight)


def _parts(rule: Rule, batch: pa.RecordBatch) -> np.ndarray:
    key = "key" if "key" in batch.schema.names else "draw"
    return rule(batch.column("role").to_numpy(), batch.column(key).to_numpy())


def _rule_and_copies(config: DatasetConfig, hashes: np.ndarray, times: np.ndarray) -> tuple[Rule, Copies]:
    """What decides on each row's part; hashes and times of all rows, which are large, are given up with it."""
    return split_rule(config, times), Copies(hashes, together=config.split.duplicates == "together")


def _spool(
    config: DatasetConfig, sources: tuple[Source, ...], digester: Digester, folder: StagedFolder, say: Say
) -> tuple[np.ndarray, np.ndarray]:
    """Pass 1; gives the hashes of all rows, and their times where the split is by time."""
    read, rows = RowReader(config, sources, digester.readings, say), 0
    hashes, times = array("Q"), array("q")  # these grow without a second copy of theirs
    with folder.stream(SPOOL, durable=False) as stream, pa.ipc.new_stream(stream, digester.schema) as writer:
        for role in (role for role in ROLES if any(source.role == role for source in sources)):
            for piece in ahead(read([source.path for source in sources if source.role == role])):
                digest = digester(piece, role)
                writer.write_batch(digest)
                hashes.frombytes(digest.column("hash").to_numpy().tobytes())
                if config.split.kind == "time":
                    times.frombytes(digest.column("key").to_numpy().tobytes())
                rows += len(digest)
                if rows // REPORT_ROWS > (rows - len(digest)) // REPORT_ROWS:
                    say(f"read {rows:,} rows")
    say(f"read {rows:,} rows")
    read.finish()
    digester.units.check()
    return np.frombuffer(hashes, np.uint64), np.frombuffer(times, np.int64)


def _unspool(folder: StagedFolder) -> Iterator[pa.RecordBatch]:
    """The digests again; read, not mapped, so that they do not count as memory held."""
    with (folder / SPOOL).open("rb") as stream:
        yield from pa.ipc.open_stream(stream)
