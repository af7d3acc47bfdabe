"""Batches: each row once, the same order for the same seed, restorable, rank-aware."""

import tracemalloc
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automtl.data.store import Rows
from automtl.data.store._order import WINDOW, cut, shuffled
from automtl.data.store.batches import Batch, Batches
from automtl.errors import ConfigError, DataError


def make_rows(n: int, weights: bool = True) -> Rows:
    """Rows whose every value says its row number."""
    number = np.arange(n)
    ids, dense = (
        np.stack([number, 2 * number], 1).astype(np.int32),
        (number[:, None] / 2).astype(np.float32),
    )
    return Rows(
        ids,
        dense,
        (3 * number[:, None]).astype(np.float32),
        (4 * number[:, None]).astype(np.float32) if weights else None,
    )


def check(batch: Batch) -> list[int]:
    """The row numbers of a batch, after every part of it is held against them."""
    rows = batch.rows
    assert torch.equal(batch.inputs.ids, torch.stack([rows, 2 * rows], 1).int())
    assert torch.equal(batch.inputs.dense, rows[:, None].float() / 2)
    assert torch.equal(batch.labels, 3.0 * rows[:, None])
    assert batch.weights is None or torch.equal(batch.weights, 4.0 * rows[:, None])
    assert len(batch) == len(rows)
    return list(rows.tolist())


def numbers(batches: Batches, epoch: int = 0, start: int = 0) -> list[list[int]]:
    return [check(batch) for batch in batches.epoch(epoch, start)]


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 4), st.booleans(), st.booleans())
def test_each_row_once_over_all_ranks(
    n: int, size: int, world: int, shuffle: bool, indexed: bool
) -> None:
    index = np.arange(1, 2 * n, 2) if indexed else None
    if n < world:
        with pytest.raises(DataError, match="a row for each"):
            Batches(
                make_rows(2 * n),
                batch_size=size,
                index=index if indexed else np.arange(n),
                world_size=world,
            )
        return
    rows = make_rows(2 * n if indexed else n)
    ranks = [
        Batches(rows, batch_size=size, index=index, shuffle=shuffle, rank=r, world_size=world)
        for r in range(world)
    ]
    found = [numbers(batches) for batches in ranks]
    assert len({len(one) for one in found} | {len(batches) for batches in ranks}) == 1, (
        "every rank has as many batches"
    )
    assert sorted(row for one in found for batch in one for row in batch) == (
        list(range(n)) if index is None else index.tolist()
    )
    sizes = [len(batch) for one in found for batch in one]
    assert all(s >= 1 for s in sizes)
    if n >= 2 * world and size >= 2:
        assert min(sizes) >= 2, "batch normalisation needs two rows"
    assert all(len(batch) == size for one in found for batch in one[:-2])
    assert all(size - 2 <= len(one[-2]) <= size for one in found if len(one) > 1)
    if size >= 4:
        alone = Batches(rows, batch_size=size * world, index=index, shuffle=shuffle)
        assert len(alone) == len(found[0]), "as many steps for any number of ranks"
    assert max(sizes) <= max(size + 2, 2 * world)


@settings(deadline=None)
@given(st.integers(4, 400), st.integers(2, 30), st.integers(1, 5), st.integers(1, 3), st.booleans())
def test_blocks_give_each_row_once_too(
    n: int, size: int, block: int, world: int, indexed: bool
) -> None:
    index = np.arange(1, 2 * n, 2) if indexed else None
    settled = {
        "batch_size": size,
        "index": index,
        "shuffle": True,
        "block": block,
        "world_size": world,
    }
    ranks = [Batches(make_rows(2 * n if indexed else n), rank=r, **settled) for r in range(world)]
    for epoch in (0, 1):
        found = [
            row
            for batches in ranks
            for batch in batches.epoch(epoch)
            for row in batch.rows.tolist()
        ]
        assert sorted(found) == (list(range(n)) if index is None else index.tolist())
    again = [batch.rows.tolist() for batch in ranks[0].epoch(1, len(ranks[0]) // 2)]
    assert again == [batch.rows.tolist() for batch in ranks[0].epoch(1)][len(ranks[0]) // 2 :]


def whole(count: int, block: int | None, seed: tuple[int, ...]) -> np.ndarray:
    return np.concatenate(list(shuffled(count, block=block, seed=seed)))


def test_blocks_keep_few_places_open_at_a_time() -> None:
    order = whole(100_000, 100, (3, 0))
    for first in range(0, len(order), WINDOW * 100):
        rows = order[first : first + WINDOW * 100]
        assert len(np.unique(rows // 100)) <= WINDOW
        assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 0.06, "mixed row by row"
    free = whole(100_000, None, (3, 0))
    assert len(np.unique(free[: WINDOW * 100] // 100)) > 900
    assert (whole(100_000, 100, (3, 1)) != order).any()


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("block", [2, 7, 100])
def test_the_order_in_blocks_stays_what_it_was(block: int, world: int, indexed: bool) -> None:
    """Runs are repeated by it: whole windows of a generator of the seed and the epoch."""
    generator = np.random.default_rng([5, 2])
    starts = generator.permutation(-(-2001 // block)) * block
    order: list[int] = []
    for first in range(0, len(starts), WINDOW):
        rows = [s + i for s in starts[first : first + WINDOW] for i in range(block) if s + i < 2001]
        order += generator.permutation(rows).tolist()
    index = np.arange(4001, 0, -2) if indexed else None
    expected = order if index is None else index[order].tolist()
    for rank in range(world):
        batches = Batches(
            make_rows(4002 if indexed else 2001),
            batch_size=32,
            index=index,
            shuffle=True,
            block=block,
            seed=5,
            rank=rank,
            world_size=world,
        )
        for start in (0, 1, len(batches) - 1):
            found = [row for batch in numbers(batches, 2, start) for row in batch]
            assert found == expected[32 * world * start :][rank::world]


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=9), st.lists(st.integers(0, 60), max_size=9))
def test_an_order_is_cut_wherever_asked(sizes: list[int], ends: list[int]) -> None:
    order = np.arange(sum(sizes))
    pieces, ends = np.split(order, np.cumsum(sizes)), sorted(min(e, len(order)) for e in ends)
    runs = [run.tolist() for run in cut(iter(pieces), ends)]
    assert runs == [order[a:b].tolist() for a, b in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("start", [0, 900])
def test_an_order_in_blocks_holds_a_window_not_the_rows(start: int) -> None:
    """A million rows are 8 MB of row numbers; a window of 64 blocks of 256 is .13 MB."""
    ids = np.zeros((1_000_000, 1), np.int32)
    labels = np.zeros((1_000_000, 1), np.float32)
    rows = Rows(ids, np.zeros((1_000_000, 0), np.float32), labels)

    def peak(block: int | None) -> float:
        batches = Batches(rows, batch_size=1000, shuffle=True, block=block)
        tracemalloc.start()
        try:
            assert sum(len(batch) for batch in batches.epoch(0, start)) == 1_000_000 - 1000 * start
            return tracemalloc.get_traced_memory()[1] / 2**20
        finally:
            tracemalloc.stop()

    assert peak(256) < 1 < 7 < peak(None)


def test_a_last_batch_of_one_is_merged() -> None:
    assert [len(b) for b in Batches(make_rows(9), batch_size=4).epoch(0)] == [4, 5]
    assert [len(b) for b in Batches(make_rows(10), batch_size=4).epoch(0)] == [4, 4, 2]
    assert [len(b) for b in Batches(make_rows(1), batch_size=4).epoch(0)] == [1]


def test_in_order_without_shuffle() -> None:
    assert numbers(Batches(make_rows(5), batch_size=2), epoch=3) == [[0, 1], [2, 3, 4]]
    assert numbers(Batches(make_rows(9), batch_size=2, index=np.array([7, 3, 5, 1]))) == [
        [7, 3],
        [5, 1],
    ]


def test_the_order_follows_seed_and_epoch_only() -> None:
    batches = Batches(make_rows(50), batch_size=8, shuffle=True, seed=5)
    first = numbers(batches, 2)
    numbers(batches, 0)
    torch.manual_seed(0)
    assert (
        numbers(batches, 2)
        == first
        == numbers(Batches(make_rows(50), batch_size=8, shuffle=True, seed=5), 2)
    )
    assert first not in (
        numbers(batches, 3),
        numbers(Batches(make_rows(50), batch_size=8, shuffle=True, seed=6), 2),
    )
    # stable for ever: runs are repeated by it
    assert np.concatenate(first).tolist() == np.random.default_rng([5, 2]).permutation(50).tolist()


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_position_is_restored(shuffle: bool) -> None:
    batches = Batches(make_rows(25), batch_size=4, shuffle=shuffle, index=np.arange(1, 24))
    whole = [check(batch) for batch in islice(batches.cycle(), 20)]
    for start in (0, 1, 5, 6, 7, 13):
        assert [check(batch) for batch in islice(batches.cycle(start), 20 - start)] == whole[start:]
    assert numbers(batches, 1, 3) == whole[len(batches) + 3 : 2 * len(batches)]


def test_batches_do_not_share_memory() -> None:
    rows = make_rows(8)
    for batches in (Batches(rows, batch_size=4), Batches(rows, batch_size=4, shuffle=True)):
        kept = list(batches.epoch(0))
        kept[0].inputs.ids.fill_(-1)
        assert (rows.ids >= 0).all()
        check(kept[1])


def test_move_to_a_device() -> None:
    batch = next(Batches(make_rows(4), batch_size=4).epoch(0)).to("meta")
    parts = (
        batch.inputs.ids,
        batch.inputs.dense,
        *batch.inputs.lists,
        batch.labels,
        batch.weights,
        batch.rows,
    )
    assert {part.device.type for part in parts if part is not None} == {"meta"}
    assert (
        next(Batches(make_rows(4, weights=False), batch_size=4).epoch(0)).to("cpu").weights is None
    )


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="batch_size: must be at least 1, got 0"):
        Batches(make_rows(4), batch_size=0)
    with pytest.raises(ConfigError, match="rank: must be from 0 to 1, got 2"):
        Batches(make_rows(4), batch_size=1, rank=2, world_size=2)
    with pytest.raises(DataError, match="0 rows"):
        Batches(make_rows(4), batch_size=1, index=np.array([], np.int64))


def test_only_a_non_blocking_copy_to_cuda_goes_through_pinned_memory(monkeypatch):
    import torch

    from automtl.data.store.batches import _moved

    calls = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: calls.append("pin") or self)
    monkeypatch.setattr(
        torch.Tensor,
        "to",
        lambda self, device, non_blocking: calls.append((str(device), non_blocking)) or self,
    )
    for device, non_blocking in (("cuda", True), ("cuda", False), ("cpu", True)):
        _moved(torch.zeros(2), device, non_blocking)
    assert calls == ["pin", ("cuda", True), ("cuda", False), ("cpu", True)]
