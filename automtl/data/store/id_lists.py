"""Lists of ids, one per row: all values behind each other, and where each row's begin.

n rows, k values in all, L longest list of some rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VALUES, OFFSETS = "lists/{}.values.npy", "lists/{}.offsets.npy"  # of a store: those of field i


@dataclass(frozen=True)
class Lists:
    """Lists of n rows.

    Attributes:
        values: (k,) int32.
        offsets: (n + 1,) int64: row i has values[offsets[i] : offsets[i + 1]].
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: np.ndarray) -> "Lists":
        """The lists of some rows."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Lists(self.values[places], offsets)

    def padded(self, rows: np.ndarray | slice) -> np.ndarray:
        """(len(rows), L) int32, 0 after a row's last value; L is at least 1."""
        starts, ends = self.offsets[:-1][rows], self.offsets[1:][rows]
        lengths = ends - starts
        longest = max(int(lengths.max(initial=0)), 1)
        steps = np.arange(longest)
        inside = steps < lengths[:, None]
        if not inside.any():
            return np.zeros(inside.shape, np.int32)
        return np.where(
            inside, self.values[np.where(inside, starts[:, None] + steps, 0)], np.int32(0)
        )

    @classmethod
    def join(cls, parts: "Sequence[Lists]") -> "Lists":
        """The rows of several, one after another."""
        shifts = np.cumsum([0, *(part.offsets[-1] for part in parts[:-1])])
        offsets = [part.offsets[1:] + shift for part, shift in zip(parts, shifts, strict=True)]
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([[0], *offsets]).astype(np.int64),
        )


def cut_lists(lists: Lists, longest: int, latest: bool) -> Lists:
    """Lists of at most `longest` values, the last ones or the first."""
    starts, ends = lists.offsets[:-1], lists.offsets[1:]
    begin = np.maximum(starts, ends - longest) if latest else starts
    lengths = np.minimum(ends - starts, longest)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Lists(
        lists.values[np.repeat(begin - offsets[:-1], lengths) + np.arange(offsets[-1])], offsets
    )


def drop_zeros(lists: Lists) -> Lists:
    """Lists without the id 0."""
    known = lists.values != 0
    before = np.concatenate([[0], np.cumsum(known)])
    return Lists(lists.values[known], before[lists.offsets].astype(np.int64))
