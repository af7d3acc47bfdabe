"""Work done one step ahead, in a thread of its own: Arrow and NumPy leave Python's lock while they work."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
DEPTH = 2


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items in the same order, drawn while the ones before are in use; an error comes where its item would."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(next, items, end) for _ in range(DEPTH))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]
