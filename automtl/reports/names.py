"""Short names of models."""

from collections import Counter
from collections.abc import Sequence


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
