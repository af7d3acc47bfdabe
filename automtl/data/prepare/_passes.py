"""Raw files -> the files of a store, in bounded memory.

Pass 1 reads the raw files once, checks every row and spools what is needed of it (digests) beside
the store to be; pass 2 goes over the spool for vocabularies and statistics of the training split;
pass 3 encodes and writes.
"""

from array import array
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from automtl.data.prepare._copies import Copies
from automtl.data.prepare._digest import ROLES, Digester
from automtl.data.prepare._encode import indexed
from automtl.data.prepare._encoding_pass import EncodingPass
from automtl.data.prepare._fit import Fit, older_words
from automtl.data.prepare._prefetch import prefetch
from automtl.data.prepare._pretrained import write_vectors
from automtl.data.prepare._side_files import write_sides, write_vocabularies
from automtl.data.prepare._summary import summed_up
from automtl.data.prepare._writing import write_rows
from automtl.data.prepare.rows import RowReader
from automtl.data.prepare.split import Rule, Times, parts_of, split_rule
from automtl.data.raw.sources import Source
from automtl.data.spec.dataset import DatasetConfig
from automtl.files import StagedFolder, write_json

SPOOL = "spool.arrow"
REPORT_ROWS = 1_000_000
Say = Callable[[str], None]


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
    fit = _fitted(config, folder, rule, copies)
    vocabularies, kept_words = fit.vocabularies(), fit.kept()
    schema = fit.schema(config_hash, {name: len(table) for name, table in vocabularies.items()})
    schema = schema.model_copy(update={"times": rows.times})
    write_vocabularies(folder, schema, vocabularies, kept_words)
    write_sides(folder, config, sources)
    write_vectors(folder, config, schema, vocabularies, say)
    say("encoding")
    encoding = EncodingPass(config, schema, indexed(vocabularies), indexed(kept_words))
    encoded = encoding(copies.with_draws(_unspool(folder)), rule)
    write_rows(folder, schema, fit.part_rows, encoding.has_weights, encoded)
    encoding.leaks.check()
    write_json(folder / "schema.json", encoding.counts.schema().model_dump(mode="json"))
    folder.discard(SPOOL)
    return summed_up(config, digester, fit, encoding.counts, copies.summary(), say)


def _fitted(config: DatasetConfig, folder: StagedFolder, rule: Rule, copies: Copies) -> Fit:
    """Pass 2: what the training rows teach; `copies` learns the split of each content."""
    fit = Fit(config, older_words(config))
    for batch in prefetch(copies.with_draws(_unspool(folder))):
        parts = parts_of(rule, batch)
        fit.add(batch, parts)
        copies.add(batch.column("hash").to_numpy(), parts)
    fit.check_rows()
    return fit


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
            for piece in prefetch(read([source.path for source in sources if source.role == role])):
                digest = digester(piece, role)
                writer.write_batch(digest)
                hashes.frombytes(digest.column("hash").to_numpy().tobytes())
                if config.split.kind == "time":
                    times.frombytes(digest.column("key").to_numpy().tobytes())
                rows += len(digest)
                if rows // REPORT_ROWS > (rows - len(digest)) // REPORT_ROWS:
                    say(f"read {rows:,} rows")
    say(f"read {rows:,} row{'s'[: rows != 1]}")
    read.finish()
    digester.units.check()
    return np.frombuffer(hashes, np.uint64), np.frombuffer(times, np.int64)


def _unspool(folder: StagedFolder) -> Iterator[pa.RecordBatch]:
    """The digests again; read, not mapped, so that they do not count as memory held."""
    with (folder / SPOOL).open("rb") as stream:
        yield from pa.ipc.open_stream(stream)
