"""Which files a path, a pattern or a folder stands for, and what their folders' names say of their
rows.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automtl.data.access.paths import find_files, home, partitions
from automtl.data.prepare import prepare
from automtl.data.prepare.new_rows import Server
from automtl.data.raw.sources import column_names, open_table
from automtl.data.spec.dataset import Csv, default_data_dir, load_dataset
from automtl.errors import DataError
from tests.data.reading import read, refusal
from tests.data.tables import FEATURES, dataset, frame


def touched(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("user,price\n1,2\n")


def found(folder: Path, pattern: str) -> list[str]:
    return [
        str(path.relative_to(folder)) for path in find_files([str(folder / pattern)], "files.train")
    ]


def test_what_of_a_folder_is_of_the_table(tmp_path: Path) -> None:
    touched(
        tmp_path / "a",
        "x.csv",
        "y.PARQUET",
        "z.parquet.brotli",
        "w.jsonl.gz",
        "part-00000",
        "part-1.json",
        "README",
        "notes.txt",
    )
    touched(
        tmp_path / "a",
        "_SUCCESS",
        "._SUCCESS.crc",
        ".part-00000.crc",
        "_temporary/part-9",
        "other/v.csv",
        ".hidden/u.csv",
    )
    tables = ["part-00000", "part-1.json", "w.jsonl.gz", "x.csv", "y.PARQUET", "z.parquet.brotli"]
    assert found(tmp_path, "a") == [f"a/{name}" for name in tables]
    touched(tmp_path / "hive", "000000_0", "000001_0")
    assert found(tmp_path, "hive") == ["hive/000000_0", "hive/000001_0"]


def test_patterns(tmp_path: Path) -> None:
    touched(tmp_path, "a/1.csv", "a/b/2.csv", "a/b/c/3.csv", "a/b/.d/4.csv", "a/_5.csv", "a/6.tsv")
    assert found(tmp_path, "a/**/*.csv") == ["a/1.csv", "a/b/2.csv", "a/b/c/3.csv"]
    assert found(tmp_path, "**/[23].csv") == ["a/b/2.csv", "a/b/c/3.csv"]
    assert found(tmp_path, "a/_*.csv") == ["a/_5.csv"]
    assert found(tmp_path, "a/?.tsv") == ["a/6.tsv"]
    with pytest.raises(
        DataError,
        match=r"must name a file, got none there; for the files of its folders write "
        r".*/a/b/\*\*/\*.csv, or",
    ):
        (tmp_path / "a/b/2.csv").unlink()
        found(tmp_path, "a/b")


@pytest.mark.parametrize("name", ["exp[1]", "a*b", "what?", "[x]", "run {2}"])
def test_a_name_that_is_there_wins_over_the_pattern(tmp_path: Path, name: str) -> None:
    touched(
        tmp_path,
        f"{name}/rows[0].csv",
        f"{name}/rows1.csv",
        "exp1/rows0.csv",
        "axb/rows0.csv",
        "whatx/rows0.csv",
        "x/rows0.csv",
    )
    assert found(tmp_path, name) == [f"{name}/rows1.csv", f"{name}/rows[0].csv"]
    assert found(tmp_path, f"{name}/rows[0].csv") == [f"{name}/rows[0].csv"]
    assert found(tmp_path, f"{name}/rows?.csv") == [f"{name}/rows1.csv"]
    frame(200).to_csv(tmp_path / name / "rows[0].csv", index=False)
    path = dataset(tmp_path / name, files={"train": "rows[[]0].csv"})
    assert prepare(load_dataset(path), data_dir=tmp_path / "data").summary["rows"]


def test_a_home_is_written_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touched(tmp_path, "logs/a.csv")
    assert find_files(["~/logs/*.csv"], "x") == [tmp_path / "logs/a.csv"]
    assert load_dataset(dataset(tmp_path / "yaml", files={"train": "~/logs"})).files.train == (
        str(tmp_path / "logs"),
    )
    assert load_dataset("~/yaml/toy.yaml").name == "toy"
    monkeypatch.setenv("AUTOMTL_DATA_DIR", "~/data")
    assert default_data_dir() == tmp_path / "data"
    assert home("~nobody-of-this-name/x") == "~nobody-of-this-name/x"
    assert home(Path("a/~/b")) == "a/~/b"


def hive(folder: Path, rows: pd.DataFrame) -> None:
    """Rows in folders named by day and place, the last of them missing, as Spark writes them."""
    for i, (day, place) in enumerate(
        (day, place)
        for day in ("2023-11-14", "2023-11-15")
        for place in ("north%20east", "south", "")
    ):
        part = folder / f"day={day}" / f"place={place or '__HIVE_DEFAULT_PARTITION__'}"
        part.mkdir(parents=True)
        rows.iloc[i::6].to_parquet(part / f"part-{i:05}.snappy.parquet")


def test_partitions_are_columns(tmp_path: Path) -> None:
    rows = frame(600)
    hive(tmp_path / "logs", rows)
    features = [
        *FEATURES,
        {"name": "place", "kind": "categorical"},
        {"name": "weekday", "kind": "categorical"},
    ]
    derived = [{"name": "weekday", "what": "weekday", "column": "day"}]
    settings = {"features": features, "derived": derived}
    for pattern in ("logs", "logs/day=*/place=*/*.parquet", "logs/**/*.parquet"):
        config = load_dataset(dataset(tmp_path, files={"train": pattern}, **settings))
        store = prepare(config, data_dir=tmp_path / "data" / str(len(pattern)))
        places = dict(zip(*store.vocabulary("place").to_pydict().values(), strict=True))
        assert set(places) == {"north east", "south"}
        assert set(store.vocabulary("weekday")["word"].to_pylist()) == {"1", "2"}, (
            "Tuesday and Wednesday"
        )
        assert sum(store.summary["rows"].values()) == 600
    new = tmp_path / "logs/day=2023-11-15/place=south"
    served = list(Server(store, config, say=print).files(new, ["place", "day"]))
    kept = pd.concat([part.kept.to_pandas() for part in served]).drop_duplicates()
    assert kept.to_dict("records") == [{"place": "south", "day": "2023-11-15"}]
    i, words = (
        [field.name for field in store.schema.categorical].index("place"),
        store.vocabulary("place")["word"].to_pylist(),
    )
    assert set(np.concatenate([part.rows.ids[:, i] for part in served])) == {
        words.index("south") + 1
    }


def test_a_store_is_of_its_partitions(tmp_path: Path) -> None:
    """The same files in folders of other names are other rows; folders that nothing reads do not
    matter.
    """
    features = [*FEATURES, {"name": "place", "kind": "categorical"}]
    rows, stores = frame(300), []
    for name in ("place=a/lr=1", "place=b/lr=1", "place=b/lr=2"):
        (tmp_path / name).mkdir(parents=True)
        rows.to_csv(tmp_path / name / "rows.csv", index=False)
        config = load_dataset(
            dataset(tmp_path, files={"train": f"{name}/rows.csv"}, features=features)
        )
        stores.append(prepare(config, data_dir=tmp_path / "data"))
    assert stores[0].path != stores[1].path == stores[2].path
    assert stores[1].vocabulary("place")["word"].to_pylist() == ["b"]


def test_a_files_own_column_wins_over_its_folder(tmp_path: Path) -> None:
    touched(tmp_path, "user=9/kind=x/rows.csv")
    path = tmp_path / "user=9/kind=x/rows.csv"
    assert column_names(path, Csv()) == ["user", "price", "kind"]
    assert read(path, user="text", kind="text", price="number") == {
        "user": ["1"],
        "kind": ["x"],
        "price": [2.0],
    }
    assert next(open_table(path, Csv())).to_pydict() == {"user": [1], "price": [2], "kind": ["x"]}
    assert "column 'kind': must be a number, got 'x'" in refusal(path, kind="number")
    assert partitions(Path("/a=1/b%2Fc=d%20e/=x/f=g.csv")) == {"a": "1", "b/c": "d e"}


def test_remote_partitions(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra `remote` is not installed")
    system = fsspec.filesystem("memory")
    system.store.clear()
    for day in (1, 2):
        system.pipe_file(f"/logs/day={day}/part-0", b"user,price\n1,2\n")
    system.pipe_file("/logs/_SUCCESS", b"")
    system.pipe_file("/odd[1].csv", b"user,price\n1,2\n")
    paths = find_files(["memory://logs"], "x")
    assert [str(path) for path in paths] == [
        "memory:///logs/day=1/part-0",
        "memory:///logs/day=2/part-0",
    ]
    assert [read(path, day="text")["day"] for path in paths] == [["1"], ["2"]]
    assert len(find_files(["memory://odd[1].csv"], "x")) == 1
    system.store.clear()
