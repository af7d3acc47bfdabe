"""Work one step ahead: the same items, errors where they belong."""

from collections.abc import Iterator

import pytest

from automtl.data.prepare._prefetch import DEPTH, prefetch, prefetch_results


def counted(drawn: list[int], fail_at: int = -1) -> Iterator[int]:
    for i in range(10):
        if i == fail_at:
            raise ValueError("broken")
        drawn.append(i)
        yield i


def test_order_and_bound() -> None:
    drawn: list[int] = []
    for i, item in enumerate(prefetch(counted(drawn))):
        assert item == i
        assert len(drawn) <= i + 1 + DEPTH
    assert drawn == list(range(10))


def test_an_error_comes_after_the_items_before_it() -> None:
    found = []
    with pytest.raises(ValueError, match="broken"):
        for item in prefetch(counted([], fail_at=4)):
            found.append(item)
    assert found == [0, 1, 2, 3]


def test_nothing() -> None:
    assert list(prefetch(iter(()))) == []


def test_work_in_order_and_bounded() -> None:
    drawn: list[int] = []
    for i, square in enumerate(prefetch_results(lambda x: x * x, counted(drawn))):
        assert square == i * i
        assert len(drawn) <= i + 1 + DEPTH
    assert drawn == list(range(10))


def test_a_failure_of_the_work_comes_after_the_results_before_it() -> None:
    found = []
    with pytest.raises(ZeroDivisionError):
        for item in prefetch_results(lambda x: 1 / (x - 4), counted([])):
            found.append(item)
    assert found == [-1 / 4, -1 / 3, -1 / 2, -1]
