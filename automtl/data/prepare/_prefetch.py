"""Work done ahead of its use, in threads: Arrow, NumPy and pandas leave Python's lock for most of
theirs.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")
DEPTH = 2


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """The same items in the same order, drawn while the ones before are in use; an error comes
    where its item would.
    """
    end = object()
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(next, items, end) for _ in range(DEPTH))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]


def prefetch_results(work: Callable[[S], T], items: Iterator[S]) -> Iterator[T]:
    """`work` of each item, in the items' order, two at a time; an error comes where its result
    would.
    """
    with ThreadPoolExecutor(DEPTH) as pool:
        pending = deque[Future[T]]()
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > DEPTH:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
