"""The order in which an epoch goes over its rows."""

import numpy as np

WINDOW = 64  # blocks that are mixed with each other at a time


def shuffled(count: int, *, block: int | None, seed: tuple[int, ...]) -> np.ndarray:
    """The numbers below `count`, each once, in an order that follows from `seed` alone. Shape:
    (count,) int64.

    Args:
        count: of rows.
        block: None: any order is as likely. Else blocks of so many neighbouring rows come in any
            order, and each `WINDOW` of them are mixed row by row: so many rows at most are read
            from here and there at a time, which data larger than memory need.
        seed: of the order.
    """
    generator = np.random.default_rng(seed)
    if block is None:
        return generator.permutation(count)
    starts = generator.permutation(-(-count // block)) * block
    order, done = np.empty(count, np.int64), 0
    for first in range(0, len(starts), WINDOW):
        rows = (starts[first : first + WINDOW, None] + np.arange(block)).ravel()
        rows = rows[rows < count]  # the last block may be shorter
        order[done : done + len(rows)] = generator.permutation(rows)
        done += len(rows)
    return order
