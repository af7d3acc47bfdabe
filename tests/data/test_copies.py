"""Copies of rows: numbered, drawn apart, counted and told, in any order of rows and files."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automtl.data.describe import describe
from automtl.data.prepare import prepare
from automtl.data.prepare._copies import Copies
from automtl.data.spec.dataset import load_dataset
from automtl.data.values.hashing import draws
from tests.data.drawn import configured, few_values
from tests.data.tables import contents, dataset, everything, prepared
from tests.data.test_hashing import slow_mix


def test_draws_against_plain_python_and_golden() -> None:
    hashes, copies = np.array([7, 7, 2**64 - 1], np.uint64), np.array([0, 1, 2], np.uint64)
    assert draws(hashes, copies).tolist() == [
        7,
        slow_mix(7 ^ slow_mix(1)),
        slow_mix((2**64 - 1) ^ slow_mix(2)),
    ]
    assert hex(draws(hashes, copies)[1]) == "0x7716da39cba275b2"


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=60),
    st.lists(st.integers(0, 60), max_size=4),
    st.booleans(),
)
def test_copies_are_numbered_by_role_across_batches(
    rows: list[tuple[int, int]], cuts: list[int], together: bool
) -> None:
    roles, hashes = (
        np.array([r for r, _ in rows], np.int8),
        np.array([2**63 + h for _, h in rows], np.uint64),
    )
    batch = pa.RecordBatch.from_arrays([pa.array(roles), pa.array(hashes)], ["role", "hash"])
    ends = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    batches = [batch.slice(start, end - start) for start, end in itertools.pairwise(ends)]
    copies = Copies.among(hashes.copy(), together=together)
    assert copies.count == len(rows) - len({h for _, h in rows})
    for _ in range(2):  # each pass over the rows numbers them anew
        seen = Counter[tuple[int, int]]()
        for found in (
            list(part.column("draw").to_pylist()) for part in copies.with_draws(iter(batches))
        ):
            for draw in found:
                role, content = rows[sum(seen.values())]
                number = 0 if together else seen[role, content]
                assert (
                    draw
                    == draws(np.array([2**63 + content], np.uint64), np.array([number], np.uint64))[
                        0
                    ]
                )
                seen[role, content] += 1
        assert sum(seen.values()) == len(rows)


def test_copies_in_any_order_and_any_number_of_files_make_one_store(tmp_path: Path) -> None:
    table = few_values(3, 4000)[0].assign(user=np.arange(4000) % 7)
    settings = {
        "features": [{"name": f"x{i}", "kind": "categorical"} for i in range(3)],
        "group": "user",
    }
    one = prepared(tmp_path / "one", table, **settings)
    folder = tmp_path / "many"
    path = dataset(folder, files={"train": "part-*.csv"}, **settings)
    for i, rows in enumerate(np.array_split(np.random.default_rng(0).permutation(4000), 5)):
        table.iloc[rows].to_csv(folder / f"part-{i}.csv", index=False)
    many = prepare(load_dataset(path), data_dir=folder / "data")
    assert one.schema == many.schema and contents(one) == contents(many)
    assert one.summary == many.summary and one.summary["copies"]["rows"] > 3000
    # the kept user is of the content: who is where does not depend on the order
    for split in ("train", "validation", "test"):
        (a, b) = (store.rows(split) for store in (one, many))
        both = [np.column_stack([rows.ids, rows.labels, rows.kept]) for rows in (a, b)]
        np.testing.assert_array_equal(*(rows[np.lexsort(rows.T)] for rows in both))


def test_copies_are_told(tmp_path: Path) -> None:
    table, _ = few_values(4, 3000)
    said: list[str] = []
    table.to_csv(tmp_path / "rows.csv", index=False)
    store = prepare(configured(tmp_path, table), data_dir=tmp_path / "data", progress=said.append)
    found = everything(store)
    key = list(found.columns.drop("part"))
    trained = set(
        found.loc[found["part"].isin(["train", "alpha"]), key].itertuples(index=False, name=None)
    )
    shares = {
        f"{part}_share": np.mean(
            [
                row in trained
                for row in found.loc[found["part"] == part, key].itertuples(index=False, name=None)
            ]
        )
        for part in ("validation", "test")
    }
    copies = int(found.duplicated(key).sum())
    assert describe(store)["copies"] == pytest.approx(
        {"rows": copies, "share": copies / 3000, **shares}, abs=0
    )
    assert 0.5 < shares["test_share"] < 1
    told = f"{copies:,} rows ({copies / 3000:.1%}) are exact copies of others; of the rows of"
    told += (
        f" validation {shares['validation_share']:.1%} and test {shares['test_share']:.1%} are "
        "copies of training rows"
    )
    assert told in said and describe(store)["remarks"] == [told]
