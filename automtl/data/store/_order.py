"""The order in which an epoch goes over its rows."""

from collections.abc import Iterable, Iterator

import numpy as np

WINDOW = 64  # blocks that are mixed with each other at a time


def shuffled(count: int, *, block: int | None, seed: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The numbers below `count`, each once, in an order that follows from `seed` alone, piece by
    piece. Shape: (n,) int64 each.

    Args:
        count: of rows.
        block: None: any order is as likely, in one piece. Else blocks of so many neighbouring rows
            come in any order, and each `WINDOW` of them are mixed row by row, a piece: so many rows
            at most are read from here and there at a time, which data larger than memory need. Held
            are a piece and 8 bytes a block.
        seed: of the order.
    """
    generator = np.random.default_rng(seed)
    if block is None:
        yield generator.permutation(count)
        return
    starts = generator.permutation(-(-count // block)) * block
    for first in range(0, len(starts), WINDOW):
        rows = (starts[first : first + WINDOW, None] + np.arange(block)).ravel()
        yield generator.permutation(rows[rows < count])  # the last block may be shorter


def cut(pieces: Iterator[np.ndarray], ends: Iterable[int]) -> Iterator[np.ndarray]:
    """Runs of an order, each up to the next of `ends`. Shape: (n,) int64 each.

    Args:
        pieces: of the order.
        ends: rising places in it.
    """
    rest, done = np.empty(0, np.int64), 0
    for end in ends:
        while len(rest) < end - done:
            piece = next(pieces)
            rest = np.concatenate([rest, piece]) if len(rest) else piece
        yield rest[: end - done]
        rest, done = rest[end - done :], end
