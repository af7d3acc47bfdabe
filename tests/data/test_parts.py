"""A store prepared in parts: the bytes of the one that a single pass writes, for any number of parts
and whoever is at them, whatever the columns and the split; and killed, it goes on.
"""

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from automtl.data.prepare import prepare
from automtl.data.prepare.in_parts import InParts
from automtl.data.raw import _tables, sources, spans
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.engines import Engine
from automtl.errors import ConfigError, DataError, EnvironmentFault
from tests.data.tables import dataset
from tests.house import ROOT

ROWS = 900


class Threads:
    """An engine whose hands are threads of this process."""

    name = "threads"

    @contextlib.contextmanager
    def opened(self, jobs: int, scratch: Path, *, alone: bool = False) -> Iterator[Executor]:
        with ThreadPoolExecutor(jobs) as pool:
            yield pool


@pytest.fixture
def small_pieces(monkeypatch) -> None:
    """Files in pieces of some rows, as large files come in megabytes."""
    for module in (sources, spans):
        monkeypatch.setattr(module, "BLOCK_BYTES", 4000)
    for module in (_tables, spans):
        monkeypatch.setattr(module, "BATCH_ROWS", 64)


def by_threads(count: int, memory: int = 2**14) -> InParts:
    return InParts(count, Threads(), 2, memory)  # type: ignore[arg-type]


def contents(store: Store) -> dict[str, bytes]:
    return {
        path.relative_to(store.path).as_posix(): path.read_bytes()
        for path in sorted(store.path.rglob("*"))
        if path.is_file()
    }


def rows(seed: int = 0, count: int = ROWS) -> pd.DataFrame:
    """Every kind of column, with holes, rare words, spellings of one word, and copied rows."""
    g = np.random.default_rng(seed)
    number = g.gamma(2, 10, count).round(2).astype(str)
    number[g.random(count) < 0.1] = ""
    lists = ["|".join(map(str, g.integers(0, 30, g.integers(0, 6)))) for _ in range(count)]
    click = (g.random(count) < 0.4).astype(int)
    table = {
        "user": g.integers(0, 60, count),
        "item": g.zipf(1.5, count) % 500,
        "code": [f"{n:03d}" for n in g.integers(0, 90, count)],
        "flag": g.choice(["true", "False", "TRUE"], count),
        "rate": g.choice(["0.5", "0.50", ".5", "1e-05", "0.00001", "3.0", "3"], count),
        "text": g.choice(["a", "é", "ü b", "NA", "", "null", " a"], count),
        "price": number,
        "age": g.integers(10, 80, count),
        "seen": lists,
        "time": 1_650_000_000 + g.integers(0, 10**5, count),
        "click": click,
        "buy": np.where(g.random(count) < 0.3, "", (click * (g.random(count) < 0.5)).astype(str)),
        "stars": g.choice(["1", "2", "5", ""], count),
        "spent": g.lognormal(size=count).round(3),
        "weight": g.choice([0.0, 0.5, 1.0, 2.5], count),
    }
    frame = pd.DataFrame(table)
    copied = g.integers(0, count, count // 5)
    return pd.concat([frame, frame.iloc[copied]]).iloc[g.permutation(count + len(copied))]


FEATURES: list[dict[str, Any]] = [
    {"name": "user", "kind": "categorical", "min_count": 3},
    {"name": "item", "kind": "categorical"},
    {"name": "code", "kind": "categorical", "hash_buckets": 40},
    {"name": "flag", "kind": "categorical"},
    {"name": "rate", "kind": "categorical"},
    {"name": "text", "kind": "categorical"},
    {"name": "price", "kind": "numeric", "missing": "indicator"},
    {"name": "age", "kind": "numeric", "transform": "quantile"},
    {
        "name": "seen",
        "kind": "sequence",
        "separator": "|",
        "max_length": 4,
        "share_embedding": "item",
    },
]
TASKS: list[dict[str, Any]] = [
    {"name": "click", "label": "click", "sample_weight": "weight"},
    {"name": "buy", "label": "buy", "where": "click == 1"},
    {"name": "stars", "label": "stars", "kind": "multiclass"},
    {"name": "spent", "label": "spent", "kind": "regression", "transform": "log1p"},
]
ALL: dict[str, Any] = {"features": FEATURES, "tasks": TASKS, "group": "user", "keep": ["text"]}


def in_one_file(folder: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(folder / "rows.csv", index=False)


def both(
    folder: Path,
    write: Callable[[Path, pd.DataFrame], object],
    frame: pd.DataFrame,
    counts: tuple[int, ...] = (7,),
    **settings: Any,
) -> None:
    """Compare the stores of a single pass and of some numbers of parts."""
    path = dataset(folder, **{**ALL, **settings})
    write(folder, frame)
    whole = contents(prepare(load_dataset(path), data_dir=folder / "whole"))
    for count in counts:
        said: list[str] = []
        made = prepare(
            load_dataset(path),
            data_dir=folder / f"in{count}",
            parts=by_threads(count),
            progress=said.append,
        )
        found = contents(made)
        assert found.keys() == whole.keys()
        assert [name for name in whole if found[name] != whole[name]] == []
        assert not list(made.path.parent.glob(".*")), "nothing lies about"
        if count == 7:
            [buckets] = [line for line in said if line.startswith("sorting words, buckets")]
            assert int(buckets.rpartition(" ")[2]) > 1


@pytest.mark.parametrize(
    "split",
    [
        {"kind": "random"},
        {"kind": "random", "duplicates": "together"},
        {"kind": "by_user", "column": "user"},
        {"kind": "time", "column": "time", "train": 0.6, "validation": 0.2, "test": 0.2},
    ],
    ids=["spread", "together", "by_user", "time"],
)
def test_the_bytes_of_a_single_pass(small_pieces, tmp_path: Path, split: dict[str, Any]) -> None:
    counts = (1, 3, 7) if split["kind"] == "by_user" else (7,)
    both(tmp_path, in_one_file, rows(), counts, split=split)


def test_roles_files_joins_and_vectors(small_pieces, tmp_path: Path) -> None:
    """Several files and roles, two packed, one JSON; a side table; times as dates; words for labels;
    pretrained vectors.
    """
    g = np.random.default_rng(1)

    def write(folder: Path, frame: pd.DataFrame) -> None:
        frame = frame.assign(
            day=pd.to_datetime(frame["time"], unit="s").dt.strftime("%d.%m.%Y %H:%M"),
            click=frame["click"].map({0: "no", 1: "yes"}),
        )
        frame[:300].to_csv(folder / "a.csv", index=False)
        frame[300:500].to_csv(folder / "b.csv.gz", index=False)
        frame[500:700].to_csv(folder / "c.csv", index=False)
        frame[700:800].astype(str).to_json(folder / "d.jsonl", orient="records", lines=True)
        frame[800:900].to_csv(folder / "v.csv", index=False)
        frame[900:].to_csv(folder / "t.csv", index=False)
        side = pd.DataFrame({"user": range(50), "city": g.choice(["x", "y", "z"], 50)})
        side.to_csv(folder / "side.csv", index=False)
        np.save(folder / "vectors.npy", g.normal(size=(40, 8)).astype(np.float32))

    features = [
        *(
            {**f, "pretrained": "vectors.npy", "embedding_dim": 8} if f["name"] == "item" else f
            for f in FEATURES
        ),
        {"name": "city", "kind": "categorical"},
        {"name": "hour", "kind": "categorical"},
    ]
    both(
        tmp_path,
        write,
        rows(3),
        files={"train": ["a.csv", "b.csv.gz", "c.csv", "d.jsonl"], "validation": "v.csv", "test": "t.csv"},
        joins=[{"file": "side.csv", "on": "user"}],
        derived=[{"name": "hour", "what": "hour", "column": "day", "unit": "date"}],
        features=features,
        tasks=[{**TASKS[0], "positive": "yes"}, {**TASKS[1], "where": 'click == "yes"'}, *TASKS[2:]],
        split={"kind": "files"},
    )  # fmt: skip


def test_quotes_words_for_missing_and_empty_lines(small_pieces, tmp_path: Path) -> None:
    """Line breaks within quotes; numbers that turn to words in the middle of a file, which changes
    how later rows are read; words for a missing value that are told in the manifest.
    """

    def write(folder: Path, frame: pd.DataFrame) -> None:
        frame = frame.assign(
            text=[f'line\n"{i % 9}", and more' if i % 4 else "nan" for i in range(len(frame))],
            age=[("nan" if i % 7 == 0 else a) for i, a in enumerate(frame["age"])],
        )
        frame.iloc[500, frame.columns.get_loc("age")] = "N/A"
        lines = frame.to_csv(index=False, lineterminator="\r\n")
        (folder / "rows.csv").write_bytes(b"\xef\xbb\xbf" + lines.encode() + b"\r\n\r\n")

    both(tmp_path, write, rows(4))


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_parquet_and_arrow(small_pieces, tmp_path: Path, ending: str) -> None:
    def write(folder: Path, frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(
            frame.assign(seen=frame["seen"].str.split("|")), preserve_index=False
        )
        if ending == "parquet":
            pq.write_table(table, folder / "rows.parquet", row_group_size=150)
        else:
            pyarrow.feather.write_feather(table, folder / "rows.arrow", chunksize=100)

    both(tmp_path, write, rows(5), files={"train": f"rows.{ending}"})


def test_a_file_behind_an_address(small_pieces, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra remote is not installed")
    system = fsspec.filesystem("memory")

    def write(folder: Path, frame: pd.DataFrame) -> None:
        with system.open("/parts/rows.csv", "wb") as stream:
            stream.write(frame.to_csv(index=False).encode())

    try:
        both(tmp_path, write, rows(8), files={"train": "memory://parts/rows.csv"})
    finally:
        system.rm("/parts", recursive=True)


def test_more_words_than_an_array_holds_are_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("automtl.data.prepare._statistics.MOST_BYTES", 500)
    path = dataset(tmp_path, **ALL)
    in_one_file(tmp_path, rows())
    with pytest.raises(EnvironmentFault, match="vocabulary: must be at most 2 GiB .* --parts 64"):
        prepare(load_dataset(path), data_dir=tmp_path / "whole")
    assert prepare(load_dataset(path), data_dir=tmp_path / "parts", parts=by_threads(2))


def test_processes_of_this_machine(tmp_path: Path) -> None:
    path = dataset(tmp_path, **ALL, files={"train": ["a.csv", "b.csv", "c.csv"]})
    for i, name in enumerate("abc"):
        rows(i).to_csv(tmp_path / f"{name}.csv", index=False)
    whole = contents(prepare(load_dataset(path), data_dir=tmp_path / "whole"))
    how = InParts(3, Engine(), 2, 2**16)
    assert contents(prepare(load_dataset(path), data_dir=tmp_path / "parts", parts=how)) == whole


def test_killed_it_goes_on(small_pieces, tmp_path: Path, monkeypatch) -> None:
    """Interrupted in every stage in turn: what was done is not done again."""
    path = dataset(tmp_path, **ALL, split={"kind": "random"})
    in_one_file(tmp_path, rows())
    whole = contents(prepare(load_dataset(path), data_dir=tmp_path / "whole"))
    stages = {"digest_part": "_parts_digest", "find_copies": "in_parts", "learn": "in_parts"}
    words = ("count_words", "sort_bucket", "merge_words", "tell_ids")
    stages |= dict.fromkeys(words, "_parts_vocabularies") | {"encode_part": "in_parts"}
    calls = dict.fromkeys(stages, 0)
    left = dict.fromkeys(stages, 2)  # the third of each is where it is killed, once

    def killing(stage: str, honest: Callable[[Any], None]) -> Callable[[Any], None]:
        def work(order: Any) -> None:
            if left.get(stage) == 0:
                del left[stage]
                raise KeyboardInterrupt
            if stage in left:
                left[stage] -= 1
            calls[stage] += 1
            honest(order)

        return work

    for stage, name in stages.items():
        module = importlib.import_module(f"automtl.data.prepare.{name}")
        monkeypatch.setattr(module, stage, killing(stage, getattr(module, stage)))
    how = InParts(7, Threads(), 1, 2**14)  # type: ignore[arg-type]
    for _ in range(len(stages)):
        with pytest.raises(KeyboardInterrupt):
            prepare(load_dataset(path), data_dir=tmp_path / "parts", parts=how)
        assert not list((tmp_path / "parts" / "prepared").glob("toy-*"))
    made = prepare(load_dataset(path), data_dir=tmp_path / "parts", parts=how)
    assert contents(made) == whole
    assert not left, "each stage was killed"
    assert calls["digest_part"] == calls["learn"] == calls["encode_part"] == 7
    assert calls["count_words"] == 7 and calls["sort_bucket"] == calls["tell_ids"]


def test_the_first_bad_row_is_told_by_its_number(small_pieces, tmp_path: Path) -> None:
    """The refusals of a single pass, word for word, also where a part alone would see no fault."""
    frame = rows(6)
    broken: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "a word": lambda f: with_cells(f, {700: ("spent", "much"), 950: ("spent", "more")}),
        "a third label": lambda f: with_cells(
            f.assign(click=f["click"].map({0: "no", 1: "yes"})), {20: ("click", ""), 900: ("click", "nein")}
        ),
        "no values": lambda f: f.assign(click=0),
    }  # fmt: skip
    for name, change in broken.items():
        folder = tmp_path / name
        tasks = [{**TASKS[0], **({"positive": "yes"} if "label" in name else {})}, *TASKS[2:]]
        path = dataset(folder, **{**ALL, "tasks": tasks})
        in_one_file(folder, change(frame))
        with pytest.raises(DataError) as one:
            prepare(load_dataset(path), data_dir=folder / "whole")
        with pytest.raises(DataError) as several:
            prepare(load_dataset(path), data_dir=folder / "parts", parts=by_threads(7))
        assert str(several.value) == str(one.value)
        assert not list((folder / "parts" / "prepared").glob("toy-*"))


def with_cells(frame: pd.DataFrame, cells: dict[int, tuple[str, str]]) -> pd.DataFrame:
    frame = frame.astype(object)
    for row, (column, word) in cells.items():
        frame.iloc[row, frame.columns.get_loc(column)] = word
    return frame


def test_what_cannot_be_done_in_parts_is_refused_at_once(tmp_path: Path) -> None:
    path = dataset(tmp_path, vocabularies_from="older")
    with pytest.raises(ConfigError, match="vocabularies_from: cannot be read in parts"):
        prepare(load_dataset(path), data_dir=tmp_path / "d", parts=by_threads(3))
    path = dataset(tmp_path)
    with pytest.raises(ConfigError, match="parts: must be from 1 to 65,536"):
        prepare(load_dataset(path), data_dir=tmp_path / "d", parts=by_threads(0))
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path: Path) -> None:
    path = dataset(tmp_path, **ALL, files={"train": "rows-*.csv"})
    for i in range(6):
        rows(i, 30_000).to_csv(tmp_path / f"rows-{i}.csv", index=False)
    line = [sys.executable, "-m", "automtl", "data", "prepare", str(path), "--parts", "6"]
    line += ["--jobs", "2", "--data-dir", str(tmp_path / "parts")]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    for number, name in ((signal.SIGKILL, "digest.json"), (signal.SIGTERM, "learnt.json")):
        with subprocess.Popen(line, env=env, start_new_session=True) as process:
            for _ in range(3000):
                if list((tmp_path / "parts" / "prepared").glob(f".*.parts/part-*/{name}")):
                    break
                time.sleep(0.02)
            process.send_signal(number)
            assert process.wait(60) == (-9 if number == signal.SIGKILL else 143)
        kept = list((tmp_path / "parts" / "prepared").glob(".*.parts/part-*/digest.json"))
        stamps = {path: path.stat().st_mtime_ns for path in kept}
        assert stamps
    done = subprocess.run(line, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "6 are there" in done.stderr or "are there" in done.stderr
    [made] = (tmp_path / "parts" / "prepared").glob("toy-*")
    whole = prepare(load_dataset(path), data_dir=tmp_path / "whole")
    assert contents(Store.open(made)) == contents(whole)
    shutil.rmtree(tmp_path / "parts")
