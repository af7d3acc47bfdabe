"""The second map and the third: what a part's rows teach, and its words counted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from automtl.data.prepare._copies import Copies
from automtl.data.prepare._fit import Fit, counted
from automtl.data.prepare._parts_copies import CONTENTS, SPLIT_ROWS, copies_in
from automtl.data.prepare._parts_plan import (
    PARTS,
    Part,
    Work,
    read_facts,
    write_array,
    write_facts,
)
from automtl.data.prepare._parts_words import Columns, SpilledWords
from automtl.data.prepare._prefetch import prefetch
from automtl.data.prepare._statistics import SeenWords
from automtl.data.prepare.split import ALPHA, Rule, parts_of
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import Numeric
from automtl.data.store.npy import mapped
from automtl.data.values.forms import Form

LEARNT = "learnt.json"


@dataclass(frozen=True)
class RowsOrder:
    """A part, and what is known of all parts: who tells rows apart, and which part a row is in."""

    config: DatasetConfig
    work: Work
    part: Part
    rule: Rule
    buckets: int

    def batches(self) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        """The digests with their draws, and the rows' parts as they were found."""
        parts, start = mapped(self.work.of(self.part.number, PARTS), mode="r"), 0
        for batch in prefetch(self.work.batches(self.part.number)):
            yield batch, parts[start : start + len(batch)]
            start += len(batch)

    def copies(self) -> Copies:
        """The contents that come more than once, here or in other parts."""
        together = self.config.split.duplicates == "together"
        return copies_in(self.work, self.part, self.buckets, together=together)


def learn(order: RowsOrder) -> None:
    """Write what a part's rows teach, their words' forms included; the words are counted when the
    forms of all parts are known.
    """
    work, number = order.work, order.part.number
    copies = order.copies()
    fit, row_parts = Fit(order.config, {}, SeenWords), [np.zeros(0, np.int8)]
    for batch in prefetch(copies.with_draws(work.batches(number))):
        parts = parts_of(order.rule, batch)
        fit.add(batch, parts)
        copies.add(batch.column("hash").to_numpy(), parts)
        row_parts.append(parts)
    write_array(work.of(number, PARTS), np.concatenate(row_parts))
    write_array(work.of(number, CONTENTS), copies.contents)
    write_array(work.of(number, SPLIT_ROWS), copies.rows)
    write_facts(work.of(number, LEARNT), fit.state_dict())


def learnt(
    config: DatasetConfig, work: Work, parts: Sequence[Part]
) -> tuple[Fit, list[np.ndarray]]:
    """What all rows teach, and how many rows of each part of a split are in each part."""
    fit, counts = Fit(config, {}, SeenWords), list[np.ndarray]()
    for part in parts:
        of_part = Fit(config, {}, SeenWords).load_state_dict(
            read_facts(work.of(part.number, LEARNT))
        )
        counts.append(of_part.part_rows.copy())
        fit.merge(of_part)
    fit.check_rows()
    return fit, counts


@dataclass(frozen=True)
class WordsOrder:
    """A part whose words are to be counted."""

    rows: RowsOrder
    columns: Columns
    forms: Mapping[str, Form]
    memory: int


def count_words(order: WordsOrder) -> None:
    """Count a part's words, each as the vocabulary would have it."""
    config, number = order.rows.config, order.rows.part.number
    words = SpilledWords(order.columns, number, order.memory)
    ids = [f for f in config.features if not isinstance(f, Numeric)]
    for batch, parts in order.rows.batches():
        train = parts <= ALPHA
        for feature in ids:
            owner = feature.share_embedding or feature.name
            if f"f:{owner}" in order.columns.least:
                distinct, counts = counted(feature, batch.column(f"f:{feature.name}"), train)
                words.add(f"f:{owner}", order.forms[owner].apply(distinct), counts)
        for name in config.kept:
            column = batch.column(f"k:{name}")
            codes, known = column.indices.to_numpy(), column.dictionary
            words.add(f"k:{name}", known, np.bincount(codes, minlength=len(known)))
    words.finish()
