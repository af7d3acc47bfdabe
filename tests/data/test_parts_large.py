"""Parts of real data sets and of many rows, by every engine; slow."""

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from automtl.data.prepare import prepare
from automtl.data.prepare.in_parts import InParts
from automtl.data.spec.dataset import load_dataset
from automtl.engines import Engine
from tests.census import sample
from tests.data.tables import dataset
from tests.data.test_kuairand import LOG, REAL
from tests.data.test_parts import ALL, contents, rows
from tests.house import ROOT

pytestmark = pytest.mark.slow
LIMIT_MIB = 2048  # of a command and all its processes
DRIVER_MIB = 300  # its own, which holds no rows and no words


@pytest.mark.parametrize(
    ("engine", "package"), [("dask", "distributed"), ("slurm:cluster=local", "submitit")]
)
def test_other_engines(tmp_path: Path, engine: str, package: str) -> None:
    pytest.importorskip(package, reason=f"the extra for --engine {engine} is not installed")
    path = dataset(tmp_path, **ALL, files={"train": ["a.csv", "b.csv", "c.csv"]})
    for i, name in enumerate("abc"):
        rows(i).to_csv(tmp_path / f"{name}.csv", index=False)
    whole = contents(prepare(load_dataset(path), data_dir=tmp_path / "whole"))
    how = InParts(3, Engine.of(engine), 2, 2**18)
    assert contents(prepare(load_dataset(path), data_dir=tmp_path / "parts", parts=how)) == whole


def test_census_income(tmp_path: Path) -> None:
    home = sample(tmp_path, train=20_000, test=10_000)
    config = load_dataset("census_income")
    whole = contents(prepare(config, data_dir=home))
    for path in (home / "prepared").iterdir():
        path.rename(tmp_path / path.name)
    how = InParts(4, Engine(), 2, 2**18)
    assert contents(prepare(config, data_dir=home, parts=how)) == whole


def test_kuairand(tmp_path: Path) -> None:
    """The real log, unpacked, so that it is cut; side tables, a split by time, hours of the day."""
    if not REAL.is_dir():
        pytest.skip(f"KuaiRand-Pure is not at {REAL}")
    raw = tmp_path / "raw" / "kuairand_pure"
    raw.mkdir(parents=True)
    for path in REAL.iterdir():
        if path.name.startswith(LOG):
            (raw / LOG).write_bytes(gzip.decompress(path.read_bytes()))
        elif path.name.endswith((".csv", ".csv.gz")) and not path.name.startswith("log_"):
            (raw / path.name).symlink_to(path)
    config = load_dataset("kuairand_pure")
    whole = contents(prepare(config, data_dir=tmp_path))
    for path in (tmp_path / "prepared").iterdir():
        path.rename(tmp_path / path.name)
    said: list[str] = []
    how = InParts(5, Engine(), 2, 2**20)
    made = prepare(config, data_dir=tmp_path, parts=how, progress=said.append)
    assert contents(made) == whole
    assert "reading, parts: 4" in said, "the log has five pieces"


def test_many_rows_and_words_in_little_memory(tmp_path: Path) -> None:
    """20 M rows with 5 M distinct words: the same bytes, and the command with its two processes
    under 2 GiB.
    """
    _write(tmp_path / "rows.csv", 20_000_000, 5_000_000)
    path = tmp_path / "many.yaml"
    features = [
        {"name": "user", "kind": "categorical"},
        {"name": "item", "kind": "categorical", "min_count": 2},
        {"name": "price", "kind": "numeric"},
    ]
    tasks = [{"name": name, "label": name} for name in ("click", "buy")]
    path.write_text(
        json.dumps(
            {"name": "many", "files": {"train": "rows.csv"}, "features": features, "tasks": tasks}
        )
    )
    line = [sys.executable, "-m", "automtl", "data", "prepare", str(path), "--json"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    parts = [*line, "--data-dir", str(tmp_path / "parts"), "--parts", "32", "--jobs", "2"]
    subprocess.run([*parts, "--memory", "256"], env=env, check=True, stdout=subprocess.DEVNULL)
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    told = f"the largest of three processes took {largest:.0f} MiB"
    assert 2 * largest + DRIVER_MIB < LIMIT_MIB, told
    single = [*line, "--data-dir", str(tmp_path / "single")]
    told = subprocess.run(single, env=env, check=True, capture_output=True, text=True)
    users = next(f for f in json.loads(told.stdout)["fields"] if f["name"] == "user")
    assert users["vocabulary_size"] > 4_500_000
    [one], [other] = (list((tmp_path / n / "prepared").glob("many-*")) for n in ("single", "parts"))
    names = [p.relative_to(one).as_posix() for p in sorted(one.rglob("*")) if p.is_file()]
    assert names == [
        p.relative_to(other).as_posix() for p in sorted(other.rglob("*")) if p.is_file()
    ]
    for name in names:
        assert _same(one / name, other / name), name


def _write(path: Path, count: int, distinct: int) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        g, size = np.random.default_rng(0), 500_000
        for _ in range(count // size):
            users = [f"u{n}" for n in g.integers(0, distinct, size).tolist()]
            yield pa.RecordBatch.from_pydict(
                {
                    "user": users,
                    "item": g.zipf(1.3, size) % 200_000,
                    "price": g.gamma(2, 10, size).round(2),
                    "click": (g.random(size) < 0.3).astype(np.int8),
                    "buy": (g.random(size) < 0.1).astype(np.int8),
                }
            )

    writer = None
    for batch in batches():
        writer = writer or pyarrow.csv.CSVWriter(path, batch.schema)
        writer.write_batch(batch)
    assert writer is not None
    writer.close()


def _same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as a, other.open("rb") as b:
        while block := a.read(2**24):
            if block != b.read(2**24):
                return False
    return True
