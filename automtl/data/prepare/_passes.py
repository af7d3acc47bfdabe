"""Raw files -> the files of a store, in bounded memory.

Pass 1 reads the raw files once, checks every row and spools what is needed of it (digests) beside
the store to be; pass 2 goes over the spool for vocabularies and statistics of the training split;
pass 3 encodes and writes.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from automtl.data.prepare._alike import AlikeLabels
from automtl.data.prepare._copies import Copies
from automtl.data.prepare._digest import ROLES, Digester
from automtl.data.prepare._fit import Fit
from automtl.data.prepare._prefetch import ahead, worked_ahead
from automtl.data.prepare._pretrained import write_vectors
from automtl.data.prepare._writing import write_rows
from automtl.data.prepare.encode import Arrays, Encoder, FeatureEncoder, Lookup, indexed
from automtl.data.prepare.leakage import LeakCheck
from automtl.data.prepare.remarks import remarks
from automtl.data.prepare.rows import RowReader, needed
from automtl.data.prepare.split import ALPHA, Rule, Times, split_rule
from automtl.data.raw.columns import plan_readings
from automtl.data.raw.joins import read_side_table
from automtl.data.raw.sources import JOIN, Source
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import Categorical, Numeric
from automtl.data.store.encoding import SIDE, VOCABULARY, WORDS, Encoding
from automtl.data.store.schema import SPLITS, Schema
from automtl.data.store.unknown import unknown_rows, unknown_warnings
from automtl.data.values.forms import Form, missing_words
from automtl.data.values.sums import Sum
from automtl.files import StagedFolder, write_json, write_table

SPOOL = "spool.arrow"
COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")
REPORT_ROWS = 1_000_000
WORDS_A_BATCH = 2**20
Say = Callable[[str], None]


class Made(Sum):
    """What is counted while rows are encoded: rows without a known id, by field of ids and split,
    and tasks with the same labels.
    """

    summed = ("unknown", "alike")

    def __init__(self, schema: Schema) -> None:
        self.schema, self.alike = schema, AlikeLabels(schema)
        self.unknown = {field.name: np.zeros(len(SPLITS), np.int64) for field in schema.id_fields}

    def add(self, arrays: Arrays, parts: np.ndarray) -> None:
        """Take in one batch and the parts of its rows."""
        self.alike.add(arrays.labels)
        splits = np.maximum(parts - ALPHA, 0)
        for name, unknown in unknown_rows(self.schema, arrays.ids, arrays.lists).items():
            self.unknown[name] += np.bincount(splits[unknown], minlength=len(SPLITS))

    def result(self) -> Schema:
        """The schema with the counts of the training rows."""
        counts = {name: {"unknown_count": int(counts[0])} for name, counts in self.unknown.items()}
        return self.schema.model_copy(
            update={
                "fields": tuple(f.model_copy(update=counts.get(f.name)) for f in self.schema.fields)
            }
        )

    def warnings(self, part_rows: np.ndarray) -> list[str]:
        """A line for each column and part whose ids are mostly unknown."""
        schema, found = self.result(), list[str]()
        for i, split in enumerate(SPLITS[1:], start=1):
            unknown = {name: int(counts[i]) for name, counts in self.unknown.items()}
            found += unknown_warnings(schema, unknown, int(part_rows[ALPHA + i]), f"{split} rows")
        return found

    def summary(self) -> dict[str, dict[str, int]]:
        """Per field of ids, the rows of each split without a known one."""
        return {
            name: dict(zip(SPLITS, counts.tolist(), strict=True))
            for name, counts in self.unknown.items()
        }


def make(
    config: DatasetConfig,
    sources: tuple[Source, ...],
    folder: StagedFolder,
    config_hash: str,
    say: Say,
) -> dict[str, Any]:
    """Write a store's files but its manifest; gives the counts for people."""
    digester = Digester(config)
    rows = RowReader(config, sources, digester.readings, say)
    rule, copies = _rule_and_copies(config, *_spool(config, sources, digester, rows, folder, say))
    say("counting words and fitting scalers on the training rows")
    fit = Fit(config, _older_words(config))
    for batch in ahead(copies.told_apart(_unspool(folder))):
        parts = parts_of(rule, batch)
        fit.add(batch, parts)
        copies.add(batch.column("hash").to_numpy(), parts)
    fit.check_rows()
    vocabularies, kept = fit.vocabularies(), fit.kept()
    schema = fit.schema(config_hash, {name: len(table) for name, table in vocabularies.items()})
    schema = schema.model_copy(update={"times": rows.times})
    for i, name in enumerate(schema.owners):
        _write_words(folder, VOCABULARY.format(i), vocabularies[name])
    for i, table in enumerate(kept.values()):
        _write_words(folder, f"kept/{i}.arrow", table)
    write_sides(folder, config, sources)
    write_vectors(folder, config, schema, vocabularies, say)
    say("encoding")
    encoder = encoder_of(
        config,
        schema,
        indexed({name: table["word"] for name, table in vocabularies.items()}),
        indexed({name: table["word"] for name, table in kept.items()}),
    )
    leaks, made = LeakCheck(config, schema, int(fit.part_rows[: ALPHA + 1].sum())), Made(schema)
    encoded = encoded_rows(copies.told_apart(_unspool(folder)), encoder, rule, leaks, made)
    write_rows(folder, schema, fit.part_rows, bool(weighted(config)), encoded)
    leaks.check()
    write_json(folder / "schema.json", made.result().model_dump(mode="json"))
    folder.discard(SPOOL)
    return summed_up(config, digester, fit, made, copies.summary(), say)


def summed_up(  # each is asked once
    config: DatasetConfig,
    digester: Digester,
    fit: Fit,
    made: Made,
    copies: dict[str, int],
    say: Say,
) -> dict[str, Any]:
    """The counts for people, their remarks told."""
    summary = {
        **fit.summary(),
        "copies": copies,
        "split": config.split.model_dump(include={"kind", "column", "duplicates"}),
    }
    summary |= {
        "unknown": made.summary(),
        "missing": {name: dict(words) for name, words in sorted(digester.lost.items())},
    }
    summary["notes"] = [
        *(line for looks in digester.looks for line in looks.remarks()),
        *fit.remarks(),
        *made.alike.remarks(),
    ]
    for line in [*made.warnings(fit.part_rows), *remarks(summary)]:
        say(line)
    return summary


def encoder_of(
    config: DatasetConfig,
    schema: Schema,
    words: Mapping[str, Lookup],
    kept: Mapping[str, Lookup],
) -> Encoder:
    """Encodes a data set's digests."""
    features = FeatureEncoder(schema, words, list_lengths(config))
    return Encoder(features, schema, weighted(config), kept)


def _older_words(config: DatasetConfig) -> dict[str, tuple[Form, pa.Array | None]]:
    """The form and the words (none, where they are hashed) of the data that vocabularies grow from,
    per field that both have.
    """
    if config.vocabularies_from is None:
        return {}
    older = Encoding.open(Path(config.vocabularies_from))
    mine = {feature.name for feature in config.features}
    fields = [field for field in older.schema.id_fields if field.name in mine and not field.shares]
    words = {
        field.name: None
        if field.hash_buckets
        else older.vocabulary(field.name)["word"].combine_chunks()
        for field in fields
    }
    return {field.name: (field.words, words[field.name]) for field in fields}


def list_lengths(config: DatasetConfig) -> dict[str, tuple[int | None, bool]]:
    """Per feature of lists, how many ids are kept at most, and whether the latest."""
    lists = [f for f in config.features if not isinstance(f, Categorical | Numeric)]
    return {feature.name: (feature.max_length, feature.kind == "sequence") for feature in lists}


def _write_words(folder: StagedFolder, name: str, table: pa.Table) -> None:
    with folder.stream(name) as stream:
        write_batches(stream, table.to_batches(max_chunksize=WORDS_A_BATCH))


def write_batches(stream: Any, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a vocabulary, some words at a time: no array of Arrow's holds more than 2 GiB of them.

    Args:
        stream: to write to.
        batches: of `WORDS_A_BATCH` words each, but for the last.
    """
    with pa.ipc.new_file(stream, WORDS, options=COMPRESSED) as writer:
        for batch in batches:
            if batch.num_rows:
                # a copy: of a slice's buffers Arrow writes some bytes that lie behind it
                arrays = [pa.concat_arrays([array, array[:0]]) for array in batch.columns]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=batch.schema))


def write_sides(folder: StagedFolder, config: DatasetConfig, sources: tuple[Source, ...]) -> None:
    """Write what rows to predict on need of the side tables, so that a run can keep it."""
    wanted = needed(plan_readings(config, served=True), config.derived)
    missing = missing_words(config.csv.null_values)
    for i, join in enumerate(config.joins):
        table = read_side_table(
            join,
            [source.path for source in sources if source.role == f"{JOIN}{i}"],
            wanted,
            missing,
        )
        if table.num_columns > 1:
            write_table(folder / SIDE.format(i), table)


def encoded_rows(
    batches: Iterator[pa.RecordBatch], encoder: Encoder, rule: Rule, leaks: LeakCheck, made: Made
) -> Iterator[tuple[Arrays, np.ndarray]]:
    """Each digest's arrays and the parts of its rows, looked at by those who count."""

    def work(batch: pa.RecordBatch) -> tuple[Arrays, np.ndarray, np.ndarray]:
        return encoder(batch), parts_of(rule, batch), batch.column("draw").to_numpy()

    for arrays, parts, draws in worked_ahead(work, batches):
        leaks.add(arrays, parts <= ALPHA, draws)
        made.add(arrays, parts)
        yield arrays, parts


def weighted(config: DatasetConfig) -> frozenset[str]:
    """The tasks with a column of weights."""
    return frozenset(task.name for task in config.tasks if task.sample_weight)


def parts_of(rule: Rule, batch: pa.RecordBatch) -> np.ndarray:
    """The part of each row of a digest."""
    key = "key" if "key" in batch.schema.names else "draw"
    return rule(batch.column("role").to_numpy(), batch.column(key).to_numpy())


def _rule_and_copies(
    config: DatasetConfig, hashes: np.ndarray, times: np.ndarray
) -> tuple[Rule, Copies]:
    """What decides on each row's part; hashes and times of all rows, which are large, are given up
    with it.
    """
    times.sort()
    together = config.split.duplicates == "together"
    return split_rule(config, Times([times])), Copies.among(hashes, together=together)


def _spool(
    config: DatasetConfig,
    sources: tuple[Source, ...],
    digester: Digester,
    read: RowReader,
    folder: StagedFolder,
    say: Say,
) -> tuple[np.ndarray, np.ndarray]:
    """Pass 1; gives the hashes of all rows, and their times where the split is by time."""
    rows = 0
    hashes, times = array("Q"), array("q")  # these grow without a second copy of theirs
    with (
        folder.stream(SPOOL, durable=False) as stream,
        pa.ipc.new_stream(stream, digester.schema) as writer,
    ):
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
