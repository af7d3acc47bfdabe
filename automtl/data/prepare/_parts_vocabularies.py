"""The words of all parts counted and numbered, and the files of a store that follow from them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from automtl import files
from automtl.data.prepare._fit import Fit
from automtl.data.prepare._parts_learn import RowsOrder, WordsOrder, count_words
from automtl.data.prepare._parts_plan import Work, read_facts
from automtl.data.prepare._parts_words import (
    SPILLS,
    BucketOrder,
    Columns,
    MergeOrder,
    merge_words,
    sort_bucket,
    tell_ids,
)
from automtl.data.prepare._parts_workers import Workers
from automtl.data.prepare._pretrained import write_vectors
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import Numeric
from automtl.data.store.encoding import VOCABULARY
from automtl.data.store.schema import Schema


def word_columns(config: DatasetConfig, work: Work, parts: int, buckets: int) -> Columns:
    """The columns of a data set whose words are counted."""
    least = {
        f"f:{f.name}": f.min_count
        for f in config.features
        if not isinstance(f, Numeric) and not (f.share_embedding or f.hash_buckets)
    }
    least |= {f"k:{name}": 1 for name in config.kept}
    return Columns(work, least, parts, buckets)


def number_words(
    fit: Fit, columns: Columns, rows: Sequence[RowsOrder], workers: Workers
) -> dict[str, int]:
    """Count and number all words; gives how many each field that owns a vocabulary has.

    Args:
        fit: what all rows taught.
        columns: whose words they are.
        rows: the parts.
        workers: who count.
    """
    work, forms = columns.work, fit.forms()
    counting = [WordsOrder(order, columns, forms, workers.how.memory) for order in rows]
    paths = [work.of(order.part.number, SPILLS) for order in rows]
    workers.each("counting words, parts", count_words, counting, paths)
    buckets = [BucketOrder(columns, bucket) for bucket in range(columns.buckets)]
    paths = [work.bucket("sorted", b, "json") for b in range(columns.buckets)]
    workers.each("sorting words, buckets", sort_bucket, buckets, paths)
    merging = [MergeOrder(columns, name) for name in columns.names]
    paths = [columns.vocabulary(name, "json") for name in columns.names]
    workers.each("numbering words, columns", merge_words, merging, paths)
    paths = [work.bucket("found", b, "arrow") for b in range(columns.buckets)]
    workers.each("telling the parts their ids, buckets", tell_ids, buckets, paths)
    return {
        name.removeprefix("f:"): int(read_facts(columns.vocabulary(name, "json")))
        for name in columns.names
        if name.startswith("f:")
    }


def write_vocabularies_of(
    folder: files.StagedFolder,
    config: DatasetConfig,
    columns: Columns,
    schema: Schema,
    say: Callable[[str], None],
) -> None:
    """Write the vocabularies of a store, and the pretrained vectors of their words."""
    targets = {f"f:{name}": VOCABULARY.format(i) for i, name in enumerate(schema.owners)}
    targets |= {f"k:{name}": f"kept/{i}.arrow" for i, name in enumerate(config.kept)}
    for name, target in targets.items():
        files.link_or_copy(columns.vocabulary(name, "arrow"), folder / target)
    tables = {
        feature.name: _table(columns.vocabulary(f"f:{feature.name}", "arrow"))
        for feature in config.features
        if not isinstance(feature, Numeric) and feature.pretrained
    }
    write_vectors(folder, config, schema, tables, say)


def _table(path: Path) -> pa.Table:
    with path.open("rb") as stream:
        return pa.ipc.open_file(stream).read_all()
