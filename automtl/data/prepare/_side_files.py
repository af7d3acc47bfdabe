"""What a store has beside its rows: the words of its vocabularies, and its side tables."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from automtl.data.prepare.rows import source_readings
from automtl.data.raw.columns import plan_readings
from automtl.data.raw.joins import read_side_table
from automtl.data.raw.sources import JOIN, Source
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.store.encoding import SIDE, VOCABULARY, WORDS
from automtl.data.store.schema import Schema
from automtl.data.values.forms import missing_words
from automtl.files import StagedFolder, write_table

COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")
WORDS_A_BATCH = 2**20


def write_vocabularies(
    folder: StagedFolder,
    schema: Schema,
    vocabularies: Mapping[str, pa.Table],
    kept_words: Mapping[str, pa.Table],
) -> None:
    """Write the words and counts of fields that own a vocabulary, and of kept columns."""
    tables = {VOCABULARY.format(i): vocabularies[name] for i, name in enumerate(schema.owners)}
    tables |= {f"kept/{i}.arrow": table for i, table in enumerate(kept_words.values())}
    for name, table in tables.items():
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
    wanted = source_readings(plan_readings(config, served=True), config.derived)
    missing = missing_words(config.csv.null_values)
    for i, join in enumerate(config.joins):
        paths = [source.path for source in sources if source.role == f"{JOIN}{i}"]
        table = read_side_table(join, paths, wanted, missing)
        if table.num_columns > 1:
            write_table(folder / SIDE.format(i), table)
