"""Files behind an address, on fsspec's file system in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

fsspec = pytest.importorskip("fsspec", reason="the extra `remote` is not installed")

from automtl.data.describe import draft  # noqa: E402
from automtl.data.prepare import prepare  # noqa: E402
from automtl.data.spec.dataset import load_dataset  # noqa: E402
from automtl.errors import DataError  # noqa: E402
from tests.data.tables import dataset, frame, prepared  # noqa: E402


@pytest.fixture
def memory() -> Iterator[object]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "glob", "folder"])
def test_remote_files_are_as_local_ones(tmp_path: Path, memory: object, form: str) -> None:
    raw = frame(900)
    local = prepared(tmp_path / "local", raw)
    (tmp_path / "up").mkdir()
    parts = [raw] if form in ("csv", "csv.gz", "parquet") else np.array_split(np.arange(900), 3)
    for i, part in enumerate(parts):
        rows, name = (raw, f"rows.{form}") if part is raw else (raw.iloc[part], f"part-{i}.parquet")
        rows.to_parquet(tmp_path / "up" / name) if name.endswith("parquet") else rows.to_csv(
            tmp_path / "up" / name, index=False
        )
        memory.pipe_file(f"/bucket/{name}", (tmp_path / "up" / name).read_bytes())  # type: ignore[attr-defined]
    where = {"glob": "memory://bucket/part-*.parquet", "folder": "memory://bucket"}.get(
        form, f"memory://bucket/rows.{form}"
    )
    store = prepare(
        load_dataset(dataset(tmp_path, files={"train": where})), data_dir=tmp_path / "data"
    )
    assert store.schema == local.schema
    assert all(source["path"].startswith("memory://") for source in store.sources)
    memory.pipe_file("/bucket/extra.parquet", b"")  # type: ignore[attr-defined]
    if form != "folder":
        assert (
            prepare(load_dataset(tmp_path / "toy.yaml"), data_dir=tmp_path / "data").path
            == store.path
        )


def test_changed_content_is_noticed(tmp_path: Path, memory: object) -> None:
    path = dataset(tmp_path, files={"train": "memory://rows.csv"})
    stores = []
    for seed in (0, 1):
        memory.pipe_file("/rows.csv", frame(300, seed).to_csv(index=False).encode())  # type: ignore[attr-defined]
        stores.append(prepare(load_dataset(path), data_dir=tmp_path / "data").path)
    assert stores[0] != stores[1]


def test_what_is_not_there(tmp_path: Path, memory: object) -> None:
    with pytest.raises(DataError, match="memory://none.csv: must name a file, got none there"):
        prepare(
            load_dataset(dataset(tmp_path, files={"train": "memory://none.csv"})),
            data_dir=tmp_path / "data",
        )
    with pytest.raises(DataError, match="nosuch://a.csv: must have a protocol that fsspec knows"):
        prepare(
            load_dataset(dataset(tmp_path, files={"train": "nosuch://a.csv"})),
            data_dir=tmp_path / "data",
        )


def test_a_remote_table_is_drafted(memory: object) -> None:
    memory.pipe_file("/rows.csv", frame(300).to_csv(index=False).encode())  # type: ignore[attr-defined]
    text = draft("memory://rows.csv")
    assert 'files: {train: "memory://rows.csv"}' in text
    assert "- {name: is_click, label: is_click, kind: binary}" in text
