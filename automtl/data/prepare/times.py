"""Whether a column of times is in one unit throughout: 1,650,000,000 seconds and 1,650,000,000,000
milliseconds are one moment.
"""

from typing import Self

import numpy as np

from automtl.data.raw.sources import Piece
from automtl.data.values.sums import Sum
from automtl.errors import DataError

# 1990 and 2100, in seconds: a time outside was read in another unit
EARLIEST, LATEST = 631_152_000, 4_102_444_800
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
# rising: no two units overlap
_BOUNDS = np.array(
    [bound * unit for unit in UNITS.values() for bound in (EARLIEST, LATEST + 1)], np.int64
)


class TimeUnits(Sum):
    """Counts of a column's values that are a time from 1990 to 2100 in each unit, and of those
    between two units.

    Args:
        column: its name.
    """

    summed = ("_counts", "_first")

    def __init__(self, column: str) -> None:
        self._column = column
        # below the first unit, in it, between it and the next, ...
        self._counts = np.zeros(len(_BOUNDS) + 1, np.int64)
        self._first: dict[int, str] = {}

    def see(self, piece: Piece, times: np.ndarray) -> None:
        """Count the column of one piece of rows."""
        places = np.searchsorted(_BOUNDS, times, side="right")
        counts = np.bincount(places, minlength=len(self._counts))
        for place in np.flatnonzero(counts).tolist():
            if place not in self._first:
                row = int(np.argmax(places == place))
                self._first[place] = f"{times[row]} in {piece.path}, row {piece.first_row + row}"
        self._counts += counts

    def merge(self, later: Self) -> None:
        """Add the values of later rows."""
        self._counts += later._counts
        self._first = later._first | self._first

    def check(self) -> None:
        """Refuse a column of several units: numbers that count something else lie between them,
        too, as times do not.

        Raises:
            DataError: with a row of each unit.
        """
        units = {name: 2 * i + 1 for i, name in enumerate(UNITS) if self._counts[2 * i + 1]}
        if len(units) > 1 and self._counts[2:-1:2].sum() < min(
            self._counts[place] for place in units.values()
        ):
            got = ", ".join(
                f"{self._first[place]} (one of {self._counts[place]} in {name})"
                for name, place in units.items()
            )
            raise DataError(
                f"column '{self._column}'",
                "must hold times in one unit",
                got,
                "bring all rows to one unit",
            )
