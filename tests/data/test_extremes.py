"""Numbers that squash all others are told with their column; those whose squares are none are
refused with their row.
"""

from pathlib import Path

import numpy as np
import pytest

from automtl.data.describe import describe
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.data.values.extremes import Extremes
from automtl.errors import DataError
from tests.data.tables import FEATURES, dataset, frame


def store_of(folder: Path, prices: np.ndarray, said: list[str], **price: str) -> Store:
    folder.mkdir(exist_ok=True)
    features = [*FEATURES[:2], {**FEATURES[2], **price}]
    frame(len(prices)).assign(price=prices).to_csv(folder / "rows.csv", index=False)
    path = dataset(
        folder,
        features=features,
        split={"kind": "random", "train": 0.98, "validation": 0.01, "test": 0.01},
    )
    return prepare(load_dataset(path), data_dir=folder / "data", progress=said.append)


def prices(*far: float, rows: int = 3000) -> np.ndarray:
    values = np.random.default_rng(0).gamma(2, 10, rows).round(2)
    values[np.arange(len(far)) * 7] = far
    return values


@pytest.mark.parametrize(
    ("far", "remark"),
    [
        ((1e38,), "column 'price': one value, 1e+38, carries 100.0% of the variance of"),
        ((-1e6,), "column 'price': one value, -1e+06, carries"),
        ((1e30, 1e30), "column 'price': 2 values, such as 1e+30, carry"),
    ],
)
def test_values_that_squash_all_others_are_told(
    tmp_path: Path, far: tuple[float, ...], remark: str
) -> None:
    said: list[str] = []
    store = store_of(tmp_path, prices(*far), said)
    assert [line for line in said if line.startswith(remark)], said
    assert [line for line in describe(store)["remarks"] if line.startswith(remark)]
    assert (
        "so that all others become nearly the same; mend or drop such rows, or set transform: "
        "quantile" in describe(store)["remarks"][0]
    )


@pytest.mark.parametrize("far", [(), (60.0,), (500.0,), (1e4,) * 300, (0.0,) * 400])
def test_ordinary_columns_are_not(tmp_path: Path, far: tuple[float, ...]) -> None:
    said: list[str] = []
    assert store_of(tmp_path, prices(*far), said).summary["notes"] == []


def test_a_quantile_transform_needs_no_word(tmp_path: Path) -> None:
    assert store_of(tmp_path, prices(1e38), [], transform="quantile").summary["notes"] == []


def test_a_number_whose_square_is_none_is_refused_with_its_row(tmp_path: Path) -> None:
    """Case C: one price of 1e200 ended in "lower the learning rate"."""
    with pytest.raises(
        DataError,
        match=r"row 1, column 'price': must be at most 1e\+100, so that its square is a number, "
        r"got 1e\+200",
    ):
        store_of(tmp_path, prices(1e200), [])


def test_shares_of_the_variance_are_those_of_all_rows() -> None:
    g = np.random.default_rng(3)
    for _ in range(50):
        values = g.standard_normal(1500) * g.choice(
            [1, 1, 1, 40], 1500, p=[0.3, 0.3, 0.3995, 0.0005]
        )
        values[g.integers(0, 1500, g.integers(0, 4))] = g.choice([900.0, -1e5, 3.0])
        extremes = Extremes()
        for part in np.array_split(values, 7):
            extremes.add(part)
        mean, std = values.mean(), values.std()
        far = np.sort((values - mean) ** 2)[::-1]
        expected = far[0] / far.sum() >= 0.9  # of 1,500 rows one may carry it all
        assert (extremes.remark("x", 1500, mean, std) is not None) == expected
