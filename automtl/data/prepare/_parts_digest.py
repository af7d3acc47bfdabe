"""The first map: a part's raw rows -> its digests, the hashes of its rows, and what is known of
them; and what of it depends on the parts before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from automtl.data.prepare._prefetch import ahead
from automtl.data.prepare.rows import RowReader
from automtl.data.raw.sources import Source, silent
from automtl.data.raw.spans import SpanReader
from automtl.data.spec.dataset import DatasetConfig

FACTS = "digest.json"


@dataclass(frozen=True)
class Before:
    """What the rows before a part decide of it.

    Attributes:
        texts: columns of its first file that are read as texts, since a value before was no number.
        others: per task of two words, the other word.
        rows: of its first file, for errors.
    """

    texts: frozenset[str] = frozenset()
    others: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0


@dataclass(frozen=True)
class DigestOrder:
    """A part to be digested."""

    config: DatasetConfig
    sources: tuple[Source, ...]
    times: Mapping[str, str]
    work: Work
    part: Part
    before: Before = Before()


class LooksKept:
    """A column's first lists, as one who looks at them is shown them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pieces = list[list[str]]()
        self._count = 0

    def see(self, column: pa.DictionaryArray) -> None:
        """Keep those of one piece, as long as few were seen."""
        if (left := MOST - self._count) > 0:
            self.pieces.append(column.slice(0, left).to_pylist())
            self._count += sum(map(bool, self.pieces[-1]))


def digest_part(order: DigestOrder) -> None:
    """Digest a part.

    Raises:
        DataError: on a row that breaks a rule; its number may be too low, since nobody has counted
            the rows before it.
    """
    work = order.work
    part = order.part
    config = order.config
    digester = Digester(config)
    looks = [LooksKept(column.name) for column in digester.looks]
    digester.looks = looks  # type: ignore[assignment] # they look as others do
    for task, word in order.before.others.items():
        digester.two_words[task].other = word
    rows = RowReader(config, order.sources, digester.readings, silent, times=order.times)
    spans = SpanReader(part.spans, order.before.texts, order.before.rows)
    given = {} if config.adapter is not None else {"read": spans}
    hashes = list[np.ndarray]()
    times = list[np.ndarray]()
    words = dict[str, int]()
    with (
        files.stream(work.of(part.number, SPOOL)) as stream,
        pa.ipc.new_stream(stream, digester.schema) as writer,
    ):
        for piece in ahead(rows(part.paths, **given)):
            digest = digester(piece, part.role)
            writer.write_batch(digest)
            hashes.append(digest.column("hash").to_numpy())
            if config.split.kind == "time":
                times.append(digest.column("key").to_numpy())
            for name in digest.schema.names:
                if name[:2] in ("f:", "k:") and pa.types.is_dictionary(digest[name].type):
                    words[name] = words.get(name, 0) + _bytes(digest[name].dictionary)
    write_array(work.of(part.number, HASHES), _sorted(hashes, np.uint64))
    if config.split.kind == "time":
        write_array(work.of(part.number, TIMES), _sorted(times, np.int64))
    facts = {
        "digester": digester.state(),
        "looks": {column.name: column.pieces for column in looks},
        "others": {name: two.other for name, two in digester.two_words.items()},
        "matches": rows.matches,
        "begun": sorted(spans.begun or ()),
        "texts": sorted(spans.texts),
        "counts": [
            [str(span.path), list(counts)]
            for span, counts in zip(part.spans, spans.counts, strict=False)
        ],
        "rows": sum(map(len, hashes)),
        "words": max(words.values(), default=0),
    }
    write_facts(work.of(part.number, FACTS), facts)


def _bytes(words: pa.Array) -> int:
    """About what words take while they are counted."""
    return int(100 * len(words) + 3 * words.nbytes)


def _sorted(arrays: Sequence[np.ndarray], dtype: type[np.generic]) -> np.ndarray:
    whole = np.concatenate([np.zeros(0, dtype), *arrays])
    whole.sort()
    return whole


class Sequel:
    """Goes over the digested parts in their order: what does the next one have to know?"""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._texts = frozenset[str]()
        self._others = dict[str, str]()
        self._rows = dict[str, int]()

    def before(self, part: Part) -> Before:
        """What the rows before a part decide of it."""
        first = str(part.spans[0].path) if part.goes_on else ""
        texts = self._texts if part.goes_on else frozenset[str]()
        return Before(texts, dict(self._others), self._rows.get(first, 0))

    def fits(self, part: Part) -> bool:
        """Whether a part is as it would be if it had known."""
        facts, before = self.facts(part), self.before(part)
        same = all(
            not other or before.others.get(task, other) == other
            for task, other in facts["others"].items()
        )
        return same and (before.texts <= set(facts["begun"]) or not facts["rows"])

    def take(self, part: Part) -> dict[str, Any]:
        """Go on behind a part; what is known of it."""
        facts = self.facts(part)
        self._texts = frozenset(facts["texts"])
        self._others |= {task: other for task, other in facts["others"].items() if other}
        for path, (_, rows, _, _) in facts["counts"]:
            self._rows[path] = self._rows.get(path, 0) + rows
        return facts

    def facts(self, part: Part) -> dict[str, Any]:
        """What is known of a part."""
        facts: dict[str, Any] = read_facts(self._work.of(part.number, FACTS))
        return facts
