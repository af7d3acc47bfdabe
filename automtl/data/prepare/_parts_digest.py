"""The first map: a part's raw rows -> its digests, the hashes of its rows, and what is known of
them; and what of it depends on the parts before.

A part is digested without waiting for those before it. Where it turns out that it had to know
something of them (see `Preceding`), it is digested once more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from automtl import files
from automtl.data.prepare._digest import Digester
from automtl.data.prepare._list_looks import MOST
from automtl.data.prepare._parts_plan import (
    HASHES,
    SPOOL,
    TIMES,
    Part,
    Work,
    read_facts,
    write_array,
    write_facts,
)
from automtl.data.prepare._parts_workers import Workers
from automtl.data.prepare._prefetch import prefetch
from automtl.data.prepare.rows import RowReader
from automtl.data.prepare.split import Rule, Times, split_rule
from automtl.data.raw.sources import Source, silent
from automtl.data.raw.spans import Counts, SpanReader
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.store.npy import mapped
from automtl.errors import counted

FACTS = "digest.json"


@dataclass(frozen=True)
class Preceding:
    """What the rows before a part decide of it.

    Attributes:
        texts: columns of its first file that are read as texts, since a value before was no number.
        negatives: per task whose labels are two words, the word for 0 if it was among them.
        rows: of its first file, for errors.
    """

    texts: frozenset[str] = frozenset()
    negatives: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0


@dataclass(frozen=True)
class DigestOrder:
    """The order to digest a part."""

    config: DatasetConfig
    sources: tuple[Source, ...]
    times: Mapping[str, str]
    work: Work
    part: Part
    before: Preceding = Preceding()


class FirstLists:
    """A column's first lists, kept for `ListLooks`, which must see those of all parts in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pieces = list[list[str]]()
        self._count = 0

    def see(self, column: pa.DictionaryArray) -> None:
        """Keep the lists of one piece, as long as few were seen."""
        if (room := MOST - self._count) > 0:
            self.pieces.append(column.slice(0, room).to_pylist())
            self._count += sum(map(bool, self.pieces[-1]))


def digest_part(order: DigestOrder) -> None:
    """Digest a part's rows, and write the digests and what is known of them.

    Raises:
        DataError: on a row that breaks a rule; its number may be too low, since nobody has counted
            the rows before it.
    """
    config, work, part = order.config, order.work, order.part
    digester = Digester(config)
    first_lists = [FirstLists(column.name) for column in digester.looks]
    digester.looks = first_lists  # type: ignore[assignment] # they look as others do
    for task, word in order.before.negatives.items():
        digester.two_words[task].negative = word
    rows = RowReader(config, order.sources, digester.readings, silent, times=order.times)
    spans = SpanReader(part.spans, order.before.texts, order.before.rows)
    given = {} if config.adapter is not None else {"read": spans}
    hashes, times = list[np.ndarray](), list[np.ndarray]()
    word_bytes = dict[str, int]()
    with (
        files.stream(work.of(part.number, SPOOL)) as stream,
        pa.ipc.new_stream(stream, digester.schema) as writer,
    ):
        for piece in prefetch(rows(part.paths, **given)):
            digest = digester(piece, part.role)
            writer.write_batch(digest)
            hashes.append(digest.column("hash").to_numpy())
            if config.split.kind == "time":
                times.append(digest.column("key").to_numpy())
            for name in digest.schema.names:
                if name[:2] in ("f:", "k:") and pa.types.is_dictionary(digest[name].type):
                    word_bytes[name] = word_bytes.get(name, 0) + _bytes(digest[name].dictionary)
    write_array(work.of(part.number, HASHES), _sorted(hashes, np.uint64))
    if config.split.kind == "time":
        write_array(work.of(part.number, TIMES), _sorted(times, np.int64))
    facts = {
        "digester": digester.state_dict(),
        "looks": {column.name: column.pieces for column in first_lists},
        "negatives": {name: words.negative for name, words in digester.two_words.items()},
        "matches": rows.matches,
        "begun": sorted(spans.begun or ()),
        "texts": sorted(spans.texts),
        "counts": [
            [str(span.path), list(counts)]
            for span, counts in zip(part.spans, spans.counts, strict=False)
        ],
        "rows": sum(map(len, hashes)),
        "words": max(word_bytes.values(), default=0),
    }
    write_facts(work.of(part.number, FACTS), facts)


def _bytes(words: pa.Array) -> int:
    """About what words take while they are counted."""
    return int(100 * len(words) + 3 * words.nbytes)


def _sorted(arrays: Sequence[np.ndarray], dtype: type[np.generic]) -> np.ndarray:
    whole = np.concatenate([np.zeros(0, dtype), *arrays])
    whole.sort()
    return whole


class PartSequence:
    """The digested parts, gone over in their order: what does the next one have to know?"""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._texts = frozenset[str]()
        self._negatives = dict[str, str]()
        self._rows = dict[str, int]()

    def before(self, part: Part) -> Preceding:
        """What the rows before a part decide of it."""
        first = str(part.spans[0].path) if part.goes_on else ""
        texts = self._texts if part.goes_on else frozenset[str]()
        return Preceding(texts, dict(self._negatives), self._rows.get(first, 0))

    def fits(self, part: Part) -> bool:
        """Whether a part is as it would be if it had known."""
        facts, before = self._facts(part), self.before(part)
        same = all(
            not word or before.negatives.get(task, word) == word
            for task, word in facts["negatives"].items()
        )
        return same and (before.texts <= set(facts["begun"]) or not facts["rows"])

    def advance(self, part: Part) -> dict[str, Any]:
        """Go on to the part after this one; gives what is known of this one."""
        facts = self._facts(part)
        self._texts = frozenset(facts["texts"])
        self._negatives |= {task: word for task, word in facts["negatives"].items() if word}
        for path, (_, rows, _, _) in facts["counts"]:
            self._rows[path] = self._rows.get(path, 0) + rows
        return facts

    def _facts(self, part: Part) -> dict[str, Any]:
        facts: dict[str, Any] = read_facts(self._work.of(part.number, FACTS))
        return facts


class Digested:
    """What is known of all rows once they are digested.

    Attributes:
        digester: with what it counted in the rows of all parts.
        rows: how many there are.
        word_bytes: about what the words of the largest columns take while they are counted.
    """

    def __init__(self, config: DatasetConfig) -> None:
        self._config, self.digester = config, Digester(config)
        self.rows = self.word_bytes = 0
        self._counts = dict[str, Counts]()

    def add(self, facts: Mapping[str, Any]) -> None:
        """Add what is known of the next part."""
        self.digester.merge(Digester(self._config).load_state_dict(facts["digester"]))
        for looks in self.digester.looks:
            for piece in facts["looks"][looks.name]:
                looks.see(pa.array(piece, pa.string()))
        self.rows += facts["rows"]
        self.word_bytes += facts["words"]
        for path, (note, *numbers) in facts["counts"]:
            old = self._counts.get(path, Counts())
            sums = [a + b for a, b in zip(old[1:], numbers, strict=True)]
            self._counts[path] = Counts(old.note or note, *sums)

    def notes(self) -> list[str]:
        """Lines on what the readers of files noticed."""
        return [
            f"{Path(path).name}: {note}"
            for path, counts in self._counts.items()
            for note in counts.notes
        ]


def digest_parts(
    config: DatasetConfig,
    sources: tuple[Source, ...],
    work: Work,
    parts: Sequence[Part],
    reader: RowReader,
    workers: Workers,
) -> Digested:
    """Digest all parts; `reader` learns how many rows its side tables match."""
    orders = [DigestOrder(config, sources, reader.times, work, part) for part in parts]
    targets = [work.of(part.number, FACTS) for part in parts]
    what = "reading, parts"
    refused = workers.attempt(what, digest_part, orders, targets)
    sequence, digested = PartSequence(work), Digested(config)
    for order in orders:
        if order.part.number in refused or not sequence.fits(order.part):
            workers.one(what, digest_part, replace(order, before=sequence.before(order.part)))
        facts = sequence.advance(order.part)
        digested.add(facts)
        reader.add_matches(facts["matches"])
    for line in [*digested.notes(), f"read {counted(digested.rows, 'row')}"]:
        workers.say(line)
    reader.finish()
    digested.digester.units.check()
    return digested


def rule_of(config: DatasetConfig, work: Work, parts: Sequence[Part]) -> Rule:
    """What decides on each row's part, from the times of all digested rows."""
    paths = [work.of(part.number, TIMES) for part in parts if config.split.kind == "time"]
    return split_rule(config, Times([mapped(path, mode="r") for path in paths]))
