"""Drafts of data sets: roles by names and values, histories, what is left out and why; and the
command that writes them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from automtl.cli._data import app
from automtl.data.describe import draft
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.errors import ConfigError, DataError
from tests.data import test_census as census
from tests.data import test_kuairand as kuairand
from tests.data.drafts import (
    BINARY,
    BOTH,
    CLICKS,
    arrays,
    clicks,
    csv,
    drafted,
    labels,
    line_of,
    parquet,
    roles,
)


def test_the_usual_table_line_by_line(tmp_path: Path) -> None:
    text, _, store = drafted(csv(tmp_path, clicks()))
    assert text.splitlines() == [
        "# Drafted from 800 rows of t.csv: each line is a guess, check all.",
        "name: t",
        'source: ""    # where the data come from, and their licence',
        "files: {train: t.csv}",
        "features:",
        "  - {name: user_id, kind: categorical}    # 60 values, such as 58",
        "  - {name: item_id, kind: categorical}    # 40 values, such as 39",
        "  - {name: price, kind: numeric}          # 722 values, such as 8.16",
        "  # - {name: time, kind: numeric}         # a time: split by it, or derive hour and "
        "weekday; 800 values, such as 1650530590",
        "# derived: [{name: hour, what: hour, column: time, unit: s}]    # a column made of "
        "time; as a feature it is listed above, too",
        "tasks:    # what to predict; kinds: binary (0 and 1), regression, multiclass",
        "  - {name: clicked, label: clicked, kind: binary}    # 38% are 1",
        "  - {name: bought, label: bought, kind: binary}      # 15.2% are 1",
        "  # bought is 1 only where clicked is (122 of its 304 rows): to learn the rate on "
        "those rows alone, add  where: 'clicked == 1'",
        "split: {kind: time, column: time, train: 0.8, validation: 0.1, test: 0.1}    # the "
        "latest rows judge; or kind: random",
    ]
    assert [(field.name, field.kind, field.vocabulary_size) for field in store.schema.fields] == [
        ("user_id", "categorical", 61),
        ("item_id", "categorical", 41),
        ("price", "numeric", 0),
    ]


def test_what_a_draft_proposes_in_comments_works_as_it_is(tmp_path: Path) -> None:
    text, _, _ = drafted(csv(tmp_path, clicks()))
    text = text.replace("# derived:", "derived:").replace(
        "features:\n", "features:\n  - {name: hour, kind: categorical}\n"
    )
    text = text.replace(
        "label: bought, kind: binary}", "label: bought, kind: binary, where: 'clicked == 1'}"
    )
    (tmp_path / "mine.yaml").write_text(text)
    schema = prepare(load_dataset(tmp_path / "mine.yaml"), data_dir=tmp_path / "data").schema
    assert schema.fields[0].name == "hour" and schema.fields[0].vocabulary_size == 25
    assert [task.labelled < 400 for task in schema.tasks] == [False, True]


def test_the_census_file_has_no_header(tmp_path: Path) -> None:
    census.write(tmp_path, "census-income.data", census.rows(600, 0))
    _, content, _ = drafted(tmp_path / "raw/census_income/census-income.data")
    assert content["csv"]["columns"] == [f"c{i}" for i in range(1, 43)]
    assert labels(content) == {"c42": {"kind": "binary", "positive": "50000+."}}
    assert roles(content)["c5"] == "categorical"
    assert roles(content)["c17"] == "numeric"


def test_the_kuairand_log(tmp_path: Path) -> None:
    log = kuairand.write(tmp_path, rows=2000)
    log["play_time_ms"] = np.where(log["long_view"] == 1, 20_000, 0) + log["play_time_ms"]
    log["secret"] = np.where(log["long_view"] == 1, 20_000, 0) + log["duration_ms"] % 20_000
    text, content, _ = drafted(csv(tmp_path, log))
    assert labels(content) == dict.fromkeys(kuairand.LABELS, BINARY)
    assert roles(content) == {
        **dict.fromkeys(("user_id", "video_id", "tab"), "categorical"),
        "duration_ms": "numeric",
    }
    assert content["split"]["column"] == "time_ms"
    assert "# LEAK? by its name known only after the outcome" in line_of(text, "play_time_ms")
    assert "# LEAK? it alone tells long_view (AUC 1.000): known before the outcome?" in line_of(
        text, "secret"
    )
    assert "left out: one value only" in line_of(text, "is_rand")


NUMBERS = {  # name: values, and the kind they are of
    "Clothing ID": (lambda g, n: g.integers(0, 1206, n), "categorical"),
    "ItemIds": (lambda g, n: g.integers(0, 300, n), "categorical"),
    "visitorid": (lambda g, n: g.integers(10**6, 10**6 + 90, n), "categorical"),
    "PRODUCT_SUBCLASS": (
        lambda g, n: g.choice(g.integers(100_101, 780_510, 200), n),
        "categorical",
    ),
    "zip code": (lambda g, n: [f"{value:05}" for value in g.integers(500, 800, n)], "categorical"),
    "sellers": (lambda g, n: g.poisson(40, n), "categorical"),
    "f1": (lambda g, n: g.choice(g.integers(0, 10**6, 150), n), "categorical"),
    "f2": (lambda g, n: [f"{value:04}" for value in g.integers(0, 90, n)], "categorical"),
    "f3": (lambda g, n: g.integers(0, 12, n), "categorical"),
    "Age": (lambda g, n: g.integers(18, 90, n), "numeric"),
    "numItems": (lambda g, n: g.integers(0, 9, n), "numeric"),
    "days_since_prior_order": (lambda g, n: g.integers(0, 31, n), "numeric"),
    "ASSET": (lambda g, n: g.lognormal(5, 1, n).astype(int), "numeric"),
    "f4": (lambda g, n: g.poisson(60, n), "numeric"),
    "f5": (lambda g, n: g.integers(-50, 50, n), "numeric"),
    "f6": (lambda g, n: g.normal(size=n).round(3), "numeric"),
    "cost1": (lambda g, n: g.integers(1, 9, n), "numeric"),
    "color": (lambda g, n: g.choice(["red", "blue", "dark green"], n), "categorical"),
    "gender": (lambda g, n: g.integers(0, 2, n), "categorical"),
    "age band": (lambda g, n: g.choice(["[10,20)", "[20,30)"], n), "categorical"),
}


@pytest.mark.parametrize("write", [csv, parquet])
def test_numbers_that_are_names_and_numbers_that_count(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    g, table = np.random.default_rng(1), clicks(1500)
    for place, (name, (values, _)) in enumerate(NUMBERS.items()):
        table.insert(place % 7, name, values(g, len(table)))
    _, content, _ = drafted(write(tmp_path, table))
    assert roles(content) == CLICKS | {name: kind for name, (_, kind) in NUMBERS.items()}
    assert labels(content) == BOTH


USELESS = {  # name: values, and why they are left out
    "review": (
        lambda g, n: [
            " ".join(g.choice("a nice bad dress shoe very wow fit love".split(), 15))
            for _ in range(n)
        ],
        "free text",
    ),
    "title": (
        lambda g, n: [f"The {word} of {i}" for i, word in enumerate(g.choice(["War", "Sea"], n))],
        "free text",
    ),
    "token": (
        lambda g, n: [f"{value:032x}" for value in g.integers(0, 2**62, n)],
        "nearly every row has a value of its own",
    ),
    "session_id": (
        lambda g, n: g.permutation(n) * 7 + 3,
        "nearly every row has a value of its own",
    ),
    "row": (lambda g, n: np.arange(1, n + 1), "row numbers"),
    "version": (lambda g, n: 5, "one value only"),
    "note": (lambda g, n: np.nan, "empty"),
    "converted": (lambda g, n: 0, "one value only; as a label it needs another one in other rows"),
    "cost": (
        lambda g, n: g.choice(["free", *(g.gamma(2, 10, 300).round(2).astype(str))], n),
        "numbers, but for 'free': mend that",
    ),
    "worth": (
        lambda g, n: np.where(np.arange(n) % 9, g.gamma(2, 10, n), np.inf),
        "numbers, but for 'inf': mend that",
    ),
    "extra": (
        lambda g, n: [f'{{"a": {value}}}' for value in g.integers(0, 9, n)],
        "structured text",
    ),
}


def test_what_nothing_can_be_learnt_from_is_left_out_with_the_reason(tmp_path: Path) -> None:
    g, table = np.random.default_rng(1), clicks()
    for place, (name, (values, _)) in enumerate(USELESS.items()):
        table.insert(place % 7, name, values(g, len(table)))
    text, content, _ = drafted(csv(tmp_path, table))
    assert roles(content) == CLICKS
    assert labels(content) == BOTH
    for name, (_, reason) in USELESS.items():
        line = line_of(text, name)
        assert line.startswith("  # - {name:") and f"# left out: {reason}" in line


def test_words_for_a_missing_number_make_no_text_of_a_column(tmp_path: Path) -> None:
    fee = np.random.default_rng(1).choice(["3.5", "4", "N/A", "", "12"], 800)
    for write in (csv, parquet):
        _, content, _ = drafted(write(tmp_path, clicks().assign(fee=fee)))
        assert roles(content) == CLICKS | {"fee": "numeric"}


@pytest.mark.parametrize("written", ["{:.2f}|.|,", "${:,.2f}", "{:.1f}%", "{:.1f} €|.|,"])
def test_numbers_as_people_write_them_are_no_lists_and_no_ids(written: str, tmp_path: Path) -> None:
    form, *point = written.split("|")
    words = [form.format(value).replace(*(point or ["", ""])) for value in clicks().price * 100]
    text, content, _ = drafted(csv(tmp_path, clicks().assign(price=words)))
    assert "price" not in roles(content)
    assert "left out: numbers that are written as" in line_of(text, "price")


def test_lists_of_one_or_two_ids_are_no_numbers(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    lists = [",".join(map(str, g.integers(0, 40, g.integers(1, 4)))) for _ in range(800)]
    _, content, _ = drafted(csv(tmp_path, clicks().assign(tags=lists)))
    assert roles(content)["tags"] == "multi"


def test_ids_that_are_mostly_seen_once_share_one(tmp_path: Path) -> None:
    table = clicks()
    table["session_id"] = np.random.default_rng(1).integers(0, 1500, len(table))
    text, content, store = drafted(csv(tmp_path, table))
    assert {"name": "session_id", "kind": "categorical", "min_count": 2} in content["features"]
    assert "# 59% of the rows have a value of their own" in line_of(text, "session_id")
    assert (
        next(field for field in store.schema.fields if field.name == "session_id").vocabulary_size
        < 300
    )


def test_columns_that_no_table_can_be_read_with(tmp_path: Path) -> None:
    table = clicks()
    count = len(table)
    made = arrays(table) | {
        "address": pa.array([{"city": "a"}] * count),
        "counts": pa.array([[("a", 1)]] * count, pa.map_(pa.string(), pa.int64())),
        "city": pa.array([b"M\xfcnchen", b"K\xf6ln"] * (count // 2)).view(pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(
            pa.array(np.random.default_rng(0).random(count * 2)), 2
        ),
        "vectors": pa.array(np.random.default_rng(0).random((count, 3)).tolist()),
        "nothing": pa.nulls(count),
        "": pa.array(np.arange(count)),
    }
    text, content, _ = drafted(parquet(tmp_path, made))
    assert roles(content) == CLICKS
    assert labels(content) == BOTH
    assert "left out: the type struct<city: string> cannot be read" in line_of(text, "address")
    assert "left out: texts that are not UTF-8 cannot be read" in line_of(text, "city")
    assert "left out: lists of decimals, as embeddings are" in line_of(text, "vectors")
    assert "left out: it has no name that can be written" in text
    for name in ("counts", "vector", "nothing"):
        assert "# left out: " in line_of(text, name)


def test_two_columns_of_one_name_in_parquet(tmp_path: Path) -> None:
    table = clicks()
    made = pa.Table.from_arrays(
        [pa.array(table[name]) for name in [*table, "price"]], names=[*table, "price"]
    )
    pq.write_table(made, tmp_path / "t.parquet")
    text, content, _ = drafted(tmp_path / "t.parquet")
    assert roles(content) == {"user_id": "categorical", "item_id": "categorical"}
    assert "left out: its name is another column's, too" in line_of(text, "price")


HISTORY = {"kind": "sequence", "max_length": 8, "share_embedding": "item_id"}


@pytest.mark.parametrize("name", ["clicked_items", "hist", "foo", "seen_item_id"])
def test_lists_of_ids_of_a_column_are_a_history_of_it(name: str, tmp_path: Path) -> None:
    table, g = clicks(), np.random.default_rng(1)
    lists = [g.integers(0, 40, g.integers(1, 9)).tolist() for _ in range(len(table))]
    for separator in ("|", " ", ","):
        text, content, store = drafted(
            csv(tmp_path, table.assign(**{name: [separator.join(map(str, ids)) for ids in lists]}))
        )
        assert {"name": name, "separator": separator} | HISTORY in content["features"]
        assert (
            "100% of its ids are item_id's: a history, whose latest id must be the last"
            in line_of(text, name)
        )
        assert (
            next(field for field in store.schema.fields if field.name == name).shares == "item_id"
        )
    _, content, _ = drafted(parquet(tmp_path, table.assign(**{name: lists})))
    assert {"name": name} | HISTORY in content["features"]
    named = ["|".join(f"i{item}" for item in ids) for ids in lists]
    _, content, _ = drafted(
        csv(
            tmp_path,
            table.assign(item_id=[f"i{item}" for item in table["item_id"]], **{name: named}),
        )
    )
    assert {"name": name, "separator": "|"} | HISTORY in content["features"]


def test_lists_that_are_no_history(tmp_path: Path) -> None:
    table, g = clicks(), np.random.default_rng(1)
    tags = ["|".join(map(str, sorted(set(g.integers(1, 6, 3))))) for _ in range(len(table))]
    genres = ["|".join(g.choice(["Drama", "Comedy", "War"], 2)) for _ in range(len(table))]
    pages = ["|".join(f"p{page}" for page in g.integers(0, 30, 3)) for _ in range(len(table))]
    text, content, _ = drafted(
        csv(tmp_path, table.assign(tags=tags, genres=genres, session_pages=pages))
    )
    assert roles(content) == CLICKS | {
        "tags": "multi",
        "genres": "multi",
        "session_pages": "sequence",
    }
    assert not any("share_embedding" in feature for feature in content["features"])
    assert "by its name a history" in line_of(text, "session_pages")


def test_each_history_is_of_its_own_column(tmp_path: Path) -> None:
    table, g = clicks(), np.random.default_rng(1)
    table = table.assign(cate_id=table["item_id"] % 11)
    lists = [g.integers(0, 40, g.integers(1, 9)).tolist() for _ in range(len(table))]
    hist = {"hist_item": lists, "hist_cate": [[item % 11 for item in ids] for ids in lists]}
    _, content, _ = drafted(parquet(tmp_path, table.assign(**hist)))
    shared = {
        feature["name"]: feature["share_embedding"]
        for feature in content["features"]
        if "share_embedding" in feature
    }
    assert shared == {"hist_item": "item_id", "hist_cate": "cate_id"}


def test_nothing_to_draft(tmp_path: Path) -> None:
    for name, content in (("empty.csv", ""), ("head.csv", "a,b\n")):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match="must have rows"):
            draft(tmp_path / name)
    with pytest.raises(DataError, match=r"none\.csv: must name a file"):
        draft(tmp_path / "none.csv")


def test_the_commands_write_new_files_only(tmp_path: Path) -> None:
    kuairand.write(tmp_path, rows=300).to_csv(tmp_path / "log.csv", index=False)
    runner, arguments = (
        CliRunner(),
        ["describe", str(tmp_path / "log.csv"), "--draft", str(tmp_path / "d.yaml")],
    )
    assert runner.invoke(app, arguments).exit_code == 0
    assert load_dataset(tmp_path / "d.yaml").name == "log"
    assert "files: {train: log.csv}" in (tmp_path / "d.yaml").read_text()
    again = runner.invoke(app, arguments)
    assert isinstance(again.exception, ConfigError)
    assert "must not exist yet" in str(again.exception)
    shown = runner.invoke(app, arguments[:2]).stdout
    assert shown.replace(f'"{tmp_path}/log.csv"', "log.csv") == (tmp_path / "d.yaml").read_text()


def test_what_the_command_takes_for_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    csv(tmp_path, clicks())
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "part-00000").write_bytes((tmp_path / "t.csv").read_bytes())
    runner = CliRunner()
    for table in ("t.csv", "days", "days/part-*", "days/part-00000"):
        result = runner.invoke(app, ["describe", table])
        assert result.exit_code == 0 and "- {name: user_id, kind: categorical}" in result.stdout, (
            table
        )
    assert runner.invoke(app, ["describe", "t.csv", "--draft", "t.yaml"]).exit_code == 0
    (tmp_path / "bare").write_text((tmp_path / "t.yaml").read_text())
    for description in ("t.yaml", "bare"):
        result = runner.invoke(app, ["describe", description, "--json"])
        assert result.exit_code == 0 and '"rows"' in result.stdout, description
    for missing in ("none.yaml", "none", "none.csv"):
        assert "none" in str(runner.invoke(app, ["describe", missing]).exception)


def test_lists_with_weights_padding_and_brackets(tmp_path: Path) -> None:
    table, g = clicks(), np.random.default_rng(1)
    lists = [g.integers(1, 40, g.integers(1, 6)).tolist() for _ in range(len(table))]
    weighted = [
        "|".join(
            f"{item}:{weight:.1f}" for item, weight in zip(ids, g.random(len(ids)), strict=True)
        )
        for ids in lists
    ]
    padded = ["|".join(map(str, ids + [0] * (6 - len(ids)))) for ids in lists]
    text, content, store = drafted(
        csv(
            tmp_path,
            table.assign(weighted=weighted, padded=padded, history=[str(ids) for ids in lists]),
        )
    )
    assert roles(content) == CLICKS | {"padded": "sequence", "history": "sequence"}
    shared = {"kind": "sequence", "max_length": 5, "share_embedding": "item_id"}
    assert content["features"][3:] == [
        {"name": "padded", "separator": "|", "padding": "0"} | shared,
        {"name": "history", "separator": ","} | shared,
    ]
    assert "left out: no lists of ids: write the ids alone" in line_of(text, "weighted")
    assert "# 0 looks like what only fills lists up; 100% of its ids are item_id's" in line_of(
        text, "padded"
    )
    assert sorted(store.vocabulary("item_id")["word"].to_pylist(), key=int) == [
        str(item) for item in range(40)
    ]
    words = [str([f"i{item}" for item in ids]) for ids in lists]
    _, content, store = drafted(
        csv(
            tmp_path, table.assign(item_id=[f"i{item}" for item in table["item_id"]], history=words)
        )
    )
    assert content["features"][3:] == [{"name": "history", "separator": ","} | shared]
    assert len(store.vocabulary("item_id")["word"]) == 40
