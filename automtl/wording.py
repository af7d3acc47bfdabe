"""Counts and names in words."""

from collections import Counter
from collections.abc import Sequence


def counted(count: int, noun: str, plural: str = "") -> str:
    """So many of something.

    >>> counted(1, "epoch"), counted(12_000, "row"), counted(2, "search", "searches")
    ('1 epoch', '12,000 rows', '2 searches')

    Args:
        count: how many.
        noun: of one.
        plural: of several; default the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def shortest(names: Sequence[str]) -> dict[str, str]:
    """The shortest names that still tell models apart, which are called "run: label": their labels,
    else their runs.
    """
    short = {name: name for name in names}
    for part in (0, 2):
        parts = {name: name.partition(": ")[part] or name for name in names}
        counts = Counter(parts.values())
        short |= {name: own for name, own in parts.items() if counts[own] == 1}
    return short
