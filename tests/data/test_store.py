"""A store is whole or refused, and made anew."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store, encoding
from automtl.errors import ArtifactError, ConfigError, DataError
from tests.data.tables import dataset, frame, prepared


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


FILES = (
    "manifest.json schema.json vocabularies/1.arrow train/ids.npy train/alpha.npy "
    "test/labels.npy validation/dense.npy".split()
)


@pytest.mark.parametrize("damage", [cut, flip, os.unlink], ids=["cut", "flip", "gone"])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_noticed_and_mended(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    store = prepared(tmp_path, frame())
    whole = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}
    damage(store.path / name)
    with pytest.raises(ArtifactError, match=Path(name).name):
        Store.open(store.path)
    messages: list[str] = []
    again = prepare(
        load_dataset(tmp_path / "toy.yaml"), data_dir=tmp_path / "data", progress=messages.append
    )
    assert messages[0].startswith(f"making the store anew: {store.path}")
    assert {path: path.read_bytes() for path in again.path.rglob("*") if path.is_file()} == whole


def test_an_intact_store_is_used_again(tmp_path: Path) -> None:
    store = prepared(tmp_path, frame())
    before = (store.path / "manifest.json").stat().st_mtime_ns
    messages: list[str] = []
    again = prepare(
        load_dataset(tmp_path / "toy.yaml"), data_dir=tmp_path / "data", progress=messages.append
    )
    assert messages == []
    assert (again.path, (again.path / "manifest.json").stat().st_mtime_ns) == (store.path, before)


def test_other_data_or_settings_are_another_store(tmp_path: Path) -> None:
    paths = [
        prepared(tmp_path, frame()).path,
        prepared(tmp_path, frame(seed=1)).path,
        prepared(tmp_path, frame(), split={"seed": 1}).path,
    ]
    assert len(set(paths)) == 3
    assert prepared(tmp_path, frame(), source="other words").path == paths[0]
    assert {path.name for path in (tmp_path / "data" / "prepared").iterdir()} == {
        path.name for path in paths
    }, "nothing but stores"


def test_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = prepared(tmp_path, frame())
    monkeypatch.setattr(encoding, "FORMAT", 99)
    with pytest.raises(ArtifactError, match="must be of format 99, got 3"):
        Store.open(store.path)


def test_rows_are_mapped_and_writes_stay_in_memory(tmp_path: Path) -> None:
    store = prepared(tmp_path, frame())
    rows = store.rows("train")
    assert all(isinstance(part, np.memmap) for part in (rows.ids, rows.dense, rows.labels))
    assert (rows.ids.dtype, rows.dense.dtype, rows.labels.dtype) == (
        np.int32,
        np.float32,
        np.float32,
    )
    rows.ids[:] = -1
    Store.open(store.path)


def test_a_split_is_not_touched_unless_asked(tmp_path: Path) -> None:
    store = prepared(tmp_path, frame())
    for path in (store.path / "test").iterdir():
        path.unlink()
    assert len(store.rows("train")) == len(store.alpha_index) + len(store.fit_index)
    assert len(store.rows("validation")) > 0
    with pytest.raises(ArtifactError, match="test/"):
        store.rows("test")


def test_wrong_names_are_told_the_nearest(tmp_path: Path) -> None:
    store = prepared(tmp_path, frame())
    with pytest.raises(ConfigError, match="did you mean 'validation'"):
        store.rows("valid")
    with pytest.raises(ConfigError, match="must be a categorical field"):
        store.vocabulary("price")


@pytest.mark.parametrize("kind", ["categorical", "numeric"])
def test_one_kind_of_field_only(tmp_path: Path, kind: str) -> None:
    rows = prepared(tmp_path, frame(), features=[{"name": "price", "kind": kind}]).rows("train")
    assert (rows.ids.shape[1], rows.dense.shape[1]) == ((1, 0) if kind == "categorical" else (0, 1))


def test_a_stop_leaves_the_old_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = prepared(tmp_path, frame())
    flip(store.path / "train/ids.npy")
    damaged = (store.path / "train/ids.npy").read_bytes()

    def stop(*_: object) -> None:
        raise DataError("here", "must stop")

    monkeypatch.setattr("automtl.data.prepare.leakage.LeakCheck.check", stop)
    with pytest.raises(DataError, match="must stop"):
        prepare(load_dataset(dataset(tmp_path)), data_dir=tmp_path / "data")
    assert (store.path / "train/ids.npy").read_bytes() == damaged
    assert [path.name for path in store.path.parent.iterdir()] == [store.path.name]
