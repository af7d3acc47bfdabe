"""Raw files -> the files of a store by several processes, each at a part of the rows: the very
bytes that one process writes, for any number of parts and whoever is at them.

Four maps over the parts (digest, learn, count words, encode) and, between them, what is decided of
all: contents that come twice, cuts between times, forms, vocabularies. All that is made lies in a
folder that outlives the process, so that a part that is done is not done again.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from automtl import files
from automtl.data.prepare import _parts_copies
from automtl.data.prepare._digest import Digester
from automtl.data.prepare._fit import Fit
from automtl.data.prepare._parts_copies import CopiesOrder, find_copies
from automtl.data.prepare._parts_digest import FACTS, DigestOrder, Sequel, digest_part
from automtl.data.prepare._parts_hands import Hands, Say
from automtl.data.prepare._parts_hands import InParts as InParts
from automtl.data.prepare._parts_plan import TIMES, Part, Work, planned, read_facts, write_facts
from automtl.data.prepare._parts_rows import (
    LEARNT,
    MADE,
    ROWS,
    EncodeOrder,
    RowsOrder,
    WordsOrder,
    count_words,
    encode_part,
    learn,
    put_together,
    sample_of,
)
from automtl.data.prepare._parts_words import (
    SPILLS,
    BucketOrder,
    Columns,
    MergeOrder,
    merge_words,
    sort_bucket,
    tell_ids,
)
from automtl.data.prepare._passes import Made, summed_up, write_sides
from automtl.data.prepare._pretrained import write_vectors
from automtl.data.prepare._statistics import SeenWords
from automtl.data.prepare.leakage import LeakCheck
from automtl.data.prepare.rows import RowReader
from automtl.data.prepare.split import Rule, Times, split_rule
from automtl.data.raw.sources import Source
from automtl.data.raw.spans import Counts
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import Numeric
from automtl.data.store.encoding import VOCABULARY
from automtl.data.store.npy import mapped
from automtl.data.store.schema import Schema

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
    reader = RowReader(config, sources, Digester(config).readings, say)
    parts = planned(config, sources, reader, work, how.count, say)
    with how.engine.opened(how.jobs, home / "jobs") as executor:
        return _Making(config, sources, work, parts, reader, Hands(how, executor, say)).make(
            folder, config_hash
        )


class _Making:
    """The making of a store."""

    def __init__(
        self,
        config: DatasetConfig,
        sources: tuple[Source, ...],
        work: Work,
        parts: Sequence[Part],
        reader: RowReader,
        hands: Hands,
    ) -> None:
        self._config, self._sources, self._work = config, sources, work
        self._parts = tuple(parts)
        self._reader = reader
        self._hands = hands
        self._digester = Digester(config)
        self._rows = 0
        self._words = 0

    def make(self, folder: files.StagedFolder, config_hash: str) -> dict[str, Any]:
        """Write the files, give the counts."""
        self._digest()
        buckets = self._buckets()
        rule = self._rule()
        orders = [
            RowsOrder(self._config, self._work, part, rule, buckets["copies"])
            for part in self._parts
        ]
        copies = [
            CopiesOrder(self._work, self._parts, buckets["copies"], b)
            for b in range(buckets["copies"])
        ]
        self._each(
            "looking for copies, buckets",
            find_copies,
            copies,
            [self._work.bucket("copies", o.bucket, "json") for o in copies],
        )
        self._each("learning from the training rows, parts", learn, orders, self._made(LEARNT))
        fit, part_rows = self._learnt()
        columns = self._columns(buckets["words"])
        schema = self._vocabularies(fit, columns, orders, config_hash)
        self._hand_over(folder, columns, schema)
        encoding = [
            EncodeOrder(order, columns, schema, tuple(rows.tolist()))
            for order, rows in zip(orders, part_rows, strict=True)
        ]
        self._each("encoding, parts", encode_part, encoding, self._made(ROWS))
        self._hands.say("putting the parts together")
        put_together(folder, self._work, schema, part_rows)
        made = self._checked(schema)
        files.write_json(folder / "schema.json", made.result().model_dump(mode="json"))
        told = _parts_copies.summary(self._work, self._parts, buckets["copies"])
        return summed_up(self._config, self._digester, fit, made, told, self._hands.say)

    def _made(self, name: str) -> list[Path]:
        return [self._work.of(part.number, name) for part in self._parts]

    def _each(
        self, what: str, work: Callable[[Any], None], orders: Sequence[Any], made: Sequence[Path]
    ) -> None:
        for number in self._hands.each(what, work, orders, made):
            self._hands.one(work, orders[number])  # which says what is wrong

    def _digest(self) -> None:
        """Digest the parts; one that did not know what it had to of those before, once more."""
        orders = [
            DigestOrder(self._config, self._sources, self._reader.times, self._work, part)
            for part in self._parts
        ]
        refused = self._hands.each("reading, parts", digest_part, orders, self._made(FACTS))
        sequel, counts = Sequel(self._work), dict[str, Counts]()
        for order in orders:
            if order.part.number in refused or not sequel.fits(order.part):
                self._hands.one(digest_part, replace(order, before=sequel.before(order.part)))
            facts = sequel.take(order.part)
            self._take(facts)
            for path, (note, *numbers) in facts["counts"]:
                old = counts.get(path, Counts())
                sums = [a + b for a, b in zip(old[1:], numbers, strict=True)]
                counts[path] = Counts(old.note or note, *sums)
        for path, whole in counts.items():
            for note in whole.notes:
                self._hands.say(f"{Path(path).name}: {note}")
        self._hands.say(f"read {self._rows:,} rows")
        self._reader.finish()
        self._digester.units.check()

    def _take(self, facts: dict[str, Any]) -> None:
        self._digester.merge(Digester(self._config).load(facts["digester"]))
        for looks in self._digester.looks:
            for piece in facts["looks"][looks.name]:
                looks.see(pa.array(piece, pa.string()))
        self._reader.add_matches(facts["matches"])
        self._rows += facts["rows"]
        self._words += facts["words"]

    def _buckets(self) -> dict[str, int]:
        """How many there are of hashes and of words; as before, where that was settled."""
        path, memory = self._work.path / "buckets.json", self._hands.how.memory
        if not path.exists():
            sizes = {"copies": HASH_BYTES * self._rows, "words": self._words}
            counts = {what: min(max(1, -(-n // memory)), 4096) for what, n in sizes.items()}
            write_facts(path, counts)
        found: dict[str, int] = read_facts(path)
        return found

    def _rule(self) -> Rule:
        by_time = self._config.split.kind == "time"
        times = [mapped(path, mode="r") for path in self._made(TIMES)] if by_time else []
        return split_rule(self._config, Times(times))

    def _learnt(self) -> tuple[Fit, list[np.ndarray]]:
        """What all rows teach, and the rows of each part of the data in each part."""
        fit, rows = Fit(self._config, {}, SeenWords), list[np.ndarray]()
        for path in self._made(LEARNT):
            mine = Fit(self._config, {}, SeenWords).load(read_facts(path))
            rows.append(mine.part_rows.copy())
            fit.merge(mine)
        fit.check_rows()
        return fit, rows

    def _columns(self, buckets: int) -> Columns:
        least = {
            f"f:{f.name}": f.min_count
            for f in self._config.features
            if not isinstance(f, Numeric) and not (f.share_embedding or f.hash_buckets)
        }
        least |= {f"k:{name}": 1 for name in self._config.kept}
        return Columns(self._work, least, len(self._parts), buckets)

    def _vocabularies(
        self, fit: Fit, columns: Columns, rows: Sequence[RowsOrder], config_hash: str
    ) -> Schema:
        """Count and number all words."""
        forms, memory = fit.forms(), self._hands.how.memory
        counting = [WordsOrder(order, columns, forms, memory) for order in rows]
        self._each("counting words, parts", count_words, counting, self._made(SPILLS))
        buckets = [BucketOrder(columns, bucket) for bucket in range(columns.buckets)]
        paths = [self._work.bucket("sorted", b, "json") for b in range(columns.buckets)]
        self._each("sorting words, buckets", sort_bucket, buckets, paths)
        merging = [MergeOrder(columns, name) for name in columns.names]
        paths = [columns.vocabulary(name, "json") for name in columns.names]
        self._each("numbering words, columns", merge_words, merging, paths)
        paths = [self._work.bucket("found", b, "arrow") for b in range(columns.buckets)]
        self._each("telling the parts their ids, buckets", tell_ids, buckets, paths)
        sizes = {
            name.removeprefix("f:"): int(read_facts(columns.vocabulary(name, "json")))
            for name in columns.names
            if name.startswith("f:")
        }
        schema = fit.schema(config_hash, sizes)
        return schema.model_copy(update={"times": self._reader.times})

    def _hand_over(self, folder: files.StagedFolder, columns: Columns, schema: Schema) -> None:
        """Write what a store has beside its rows."""
        targets = {f"f:{name}": VOCABULARY.format(i) for i, name in enumerate(schema.owners)}
        targets |= {f"k:{name}": f"kept/{i}.arrow" for i, name in enumerate(self._config.kept)}
        for name, target in targets.items():
            files.link_or_copy(columns.vocabulary(name, "arrow"), folder / target)
        write_sides(folder, self._config, self._sources)
        tables = {}
        for feature in self._config.features:
            if not isinstance(feature, Numeric) and feature.pretrained:
                with columns.vocabulary(f"f:{feature.name}", "arrow").open("rb") as stream:
                    tables[feature.name] = pa.ipc.open_file(stream).read_all()
        write_vectors(folder, self._config, schema, tables, self._hands.say)

    def _checked(self, schema: Schema) -> Made:
        """What was counted while the parts were encoded; features that tell a label are refused."""
        leaks, made = LeakCheck(self._config, schema, schema.train_rows), Made(schema)
        leaks.take(tuple(sample_of(self._work, len(self._parts), i) for i in range(leaks.ARRAYS)))
        leaks.check()
        for path in self._made(f"{ROWS}/{MADE}"):
            made.merge(Made(schema).load(read_facts(path)))
        return made
