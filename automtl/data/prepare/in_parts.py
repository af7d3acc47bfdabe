"""Raw files -> the files of a store by several processes, each at a part of the rows: the very
bytes that one process writes, for any number of parts and whoever is at them.

Four maps over the parts (digest, learn, count words, encode) and, between them, what is decided of
all: contents that come twice, cuts between times, forms, vocabularies. All that is made lies in a
folder that outlives the process, so that a part that is done is not done again.
"""

from pathlib import Path
from typing import Any

from automtl import files
from automtl.data.prepare._parts_copies import copies_orders, count_copies, find_copies
from automtl.data.prepare._parts_digest import Digested, digest_parts, rule_of
from automtl.data.prepare._parts_encode import (
    ROWS,
    EncodeOrder,
    checked_counts,
    encode_part,
    put_together,
)
from automtl.data.prepare._parts_learn import LEARNT, RowsOrder, learn, learnt
from automtl.data.prepare._parts_plan import Work, plan_parts, read_facts, write_facts
from automtl.data.prepare._parts_vocabularies import (
    number_words,
    word_columns,
    write_vocabularies_of,
)
from automtl.data.prepare._parts_workers import InParts as InParts
from automtl.data.prepare._parts_workers import Say, Workers
from automtl.data.prepare._side_files import write_sides
from automtl.data.prepare._summary import summed_up
from automtl.data.prepare.rows import RowReader
from automtl.data.raw.columns import plan_readings
from automtl.data.raw.sources import Source
from automtl.data.spec.dataset import DatasetConfig

HASH_BYTES = 160  # of a row's hash, while those of a bucket are compared


def make_in_parts(
    config: DatasetConfig,
    sources: tuple[Source, ...],
    folder: files.StagedFolder,
    config_hash: str,
    say: Say,
    *,
    how: InParts,
    home: Path,
) -> dict[str, Any]:
    """Write a store's files but its manifest; gives the counts for people.

    Args:
        config: the data set.
        sources: its files.
        folder: of the store.
        config_hash: of the settings.
        say: told what goes on.
        how: by whom, and in how many parts.
        home: where what is made of the parts lies meanwhile; what is there is gone on with.
    """
    work = Work(home)
    reader = RowReader(config, sources, plan_readings(config), say)
    parts = plan_parts(config, sources, reader, work, how.count, say)
    with how.engine.opened(how.jobs, home / "jobs") as executor:
        workers = Workers(how, executor, say)
        digested = digest_parts(config, sources, work, parts, reader, workers)
        buckets = _buckets(work, digested, how.memory)

        searches = copies_orders(work, parts, buckets["copies"])
        paths = [work.bucket("copies", order.bucket, "json") for order in searches]
        workers.each("looking for copies, buckets", find_copies, searches, paths)

        rule = rule_of(config, work, parts)
        orders = [RowsOrder(config, work, part, rule, buckets["copies"]) for part in parts]
        paths = [work.of(part.number, LEARNT) for part in parts]
        workers.each("learning from the training rows, parts", learn, orders, paths)
        fit, part_rows = learnt(config, work, parts)

        columns = word_columns(config, work, len(parts), buckets["words"])
        schema = fit.schema(config_hash, number_words(fit, columns, orders, workers))
        schema = schema.model_copy(update={"times": reader.times})
        write_sides(folder, config, sources)
        write_vocabularies_of(folder, config, columns, schema, say)

        encodings = [
            EncodeOrder(order, columns, schema, tuple(rows.tolist()))
            for order, rows in zip(orders, part_rows, strict=True)
        ]
        paths = [work.of(part.number, ROWS) for part in parts]
        workers.each("encoding, parts", encode_part, encodings, paths)
    say("putting the parts together")
    put_together(folder, work, schema, part_rows)
    counts = checked_counts(config, schema, work, len(parts))
    files.write_json(folder / "schema.json", counts.schema().model_dump(mode="json"))
    copies = count_copies(work, parts, buckets["copies"])
    return summed_up(config, digested.digester, fit, counts, copies, say)


def _buckets(work: Work, digested: Digested, memory: int) -> dict[str, int]:
    """How many buckets there are of hashes and of words; as before, where that was settled."""
    path = work.path / "buckets.json"
    if not path.exists():
        sizes = {"copies": HASH_BYTES * digested.rows, "words": digested.word_bytes}
        counts = {what: min(max(1, -(-size // memory)), 4096) for what, size in sizes.items()}
        write_facts(path, counts)
    settled: dict[str, int] = read_facts(path)
    return settled
