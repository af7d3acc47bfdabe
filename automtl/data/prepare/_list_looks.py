"""What looks odd about a column of lists: a separator that hardly ever comes, a word that only
fills lists up, weights behind the ids.
"""

import re
from collections import Counter

import pyarrow as pa

from automtl.data.spec.features import ListFeature
from automtl.data.values.patterns import LIST_SEPARATOR
from automtl.errors import counted

MOST, FEW = 10_000, 100  # lists looked at; and how many there must be, to say anything
HARDLY, OFTEN = 0.01, 0.2
_PAIR = re.compile(r"\d+: ?[-+]?[\d.]+")


class ListLooks:
    """The looks of a column's first lists.

    Args:
        feature: the column.
    """

    def __init__(self, feature: ListFeature) -> None:
        self._feature, self.name = feature, feature.name
        self._lengths, self._doubled = Counter[int](), Counter[tuple[str, str]]()
        self._example = ""
        self._first = ""
        self._pairs = True

    def see(self, column: pa.DictionaryArray) -> None:
        """Take in the plain lists of one piece, as long as few were seen."""
        for text in column.slice(0, max(MOST - self._lengths.total(), 0)).to_pylist():
            if text:
                self._look(text.split(LIST_SEPARATOR))

    def _look(self, words: list[str]) -> None:
        self._lengths[len(words)] += 1
        self._first = self._first or words[0]
        self._pairs = self._pairs and all(map(_PAIR.fullmatch, words))
        if len(words) > 1:
            self._doubled.update([("end in", words[-1])] if words[-1] == words[-2] else [])
            self._doubled.update([("begin with", words[0])] if words[0] == words[1] else [])
        elif not self._example or (self._example.isalnum() and not words[0].isalnum()):
            self._example = words[0]

    def remarks(self) -> list[str]:
        """A line for each thing that looks odd."""
        lists, where = self._lengths.total(), f"feature '{self.name}'"
        if lists < FEW:
            return []
        lines, several = list[str](), 1 - self._lengths[1] / lists
        if several < HARDLY:
            sign = f"is separator {self._feature.separator!r} right, as for {self._example[:60]!r}?"
            lines.append(
                f"{where}: hardly any list has more than one id ({several:.1%} of {lists:,}): "
                f"{sign}"
            )
        ((how, word), count), *_ = [*self._doubled.most_common(1), (("", ""), 0)]
        if len(self._lengths) == 1 and count >= OFTEN * lists and self._feature.padding is None:
            same = (
                f"every list has {counted(next(iter(self._lengths)), 'id')}, and "
                f"{count / lists:.0%} {how} {word[:60]!r} twice"
            )
            lines.append(f"{where}: {same}: if it only fills lists up, set padding: '{word[:60]}'")
        if self._pairs:
            fix = (
                "each is an id as it stands; write the ids alone, if what is behind the colon "
                "is a weight"
            )
            lines.append(f"{where}: its ids look like ids with weights ({self._first[:60]}): {fix}")
        return lines
