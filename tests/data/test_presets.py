"""The other shipped data sets, each on a tiny file in its publisher's layout, against plain
Python.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automtl.data.prepare import prepare
from automtl.data.raw.adapters._aliexpress import IDS, NUMBERS
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.errors import DataError

SPLITS = ("train", "validation", "test")


def made(folder: Path, name: str) -> tuple[Store, list[str]]:
    messages: list[str] = []
    return prepare(load_dataset(name), data_dir=folder, progress=messages.append), messages


def raw(folder: Path, name: str) -> Path:
    path = folder / "raw" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def decoded(store: Store, splits: tuple[str, ...] = SPLITS) -> pd.DataFrame:
    parts = []
    for split in splits:
        rows, table = store.rows(split), {}
        for i, field in enumerate(store.schema.categorical):
            table[field.name] = np.array(
                ["", *store.vocabulary(field.name)["word"].to_pylist()], object
            )[rows.ids[:, i]]
        table |= {task.name: rows.labels[:, i] for i, task in enumerate(store.schema.tasks)}
        parts.append(pd.DataFrame(table))
    return pd.concat(parts, ignore_index=True)


def aliexpress(rows: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tianchi's user and item tables: searches, and the items that each showed."""
    g = np.random.default_rng(seed)
    user = pd.DataFrame({f"user_{i}": g.integers(0, 5, rows // 3) for i in range(1, 34)}).assign(
        user_1=np.arange(rows // 3)
    )
    item = pd.DataFrame(
        {
            f"item_{i}": g.random(rows).round(3)
            if f"item_{i}" in NUMBERS
            else g.integers(0, 5, rows)
            for i in range(1, 50)
        }
    )
    return user, item.assign(
        item_1=g.integers(0, rows // 3, rows), item_49=g.choice([0, 1, 2], rows)
    )


def mtreclib(user: pd.DataFrame, item: pd.DataFrame) -> pd.DataFrame:
    both = item.merge(user, left_on="item_1", right_on="user_1", how="inner")
    table = pd.DataFrame({"search_id": both["user_1"]})
    table = table.assign(**{f"categorical_{i}": both[name] for i, name in enumerate(IDS, 1)})
    table = table.assign(**{f"numerical_{i}": both[name] for i, name in enumerate(NUMBERS, 1)})
    return table.assign(
        click=(both["item_49"] >= 1).astype(int), conversion=(both["item_49"] == 2).astype(int)
    )


@pytest.mark.parametrize("country", ["nl", "us"])
def test_aliexpress_in_both_layouts(tmp_path: Path, country: str) -> None:
    assert (len(IDS), len(NUMBERS)) == (16, 63)
    name = f"aliexpress_{country}"
    for part, seed in (("train", 0), ("test", 1)):
        user, item = aliexpress(300, seed)
        user.to_csv(
            raw(tmp_path / "a", name) / f"{country}_user_{part}.csv", index=False, header=False
        )
        item.to_csv(
            raw(tmp_path / "a", name) / f"{country}_item_{part}.csv", index=False, header=False
        )
        mtreclib(user, item).to_csv(raw(tmp_path / "b", name) / f"{part}.csv", index=False)
    one, two = made(tmp_path / "a", name)[0], made(tmp_path / "b", name)[0]
    assert one.schema == two.schema
    assert (len(one.schema.categorical), len(one.schema.numeric)) == (16, 63)
    expected = mtreclib(*aliexpress(300, 1))
    found = decoded(one, ("test",))
    assert found["click"].tolist() == expected["click"].tolist()
    assert found["purchase"].tolist() == expected["conversion"].tolist()
    assert found["categorical_8"].tolist() == expected["categorical_8"].astype(str).tolist()


def test_aliexpress_drops_items_without_a_search_and_refuses_half_a_layout(tmp_path: Path) -> None:
    folder = raw(tmp_path, "aliexpress_fr")
    for part, seed in (("train", 0), ("test", 1)):
        user, item = aliexpress(300, seed)
        user[:-10].to_csv(folder / f"fr_user_{part}.csv", index=False, header=False)
        item.to_csv(folder / f"fr_item_{part}.csv", index=False, header=False)
    lost = int((aliexpress(300, 1)[1]["item_1"] >= 90).sum())
    store, messages = made(tmp_path, "aliexpress_fr")
    assert any(
        f"{lost} of 300 items dropped: their search has no row in fr_user_test.csv" in message
        for message in messages
    )
    assert len(store.rows("test")) == 300 - lost
    (folder / "fr_user_train.csv").unlink()
    with pytest.raises(
        DataError,
        match="must be the user and item files of Tianchi, or the train.csv and test.csv of "
        "MTReclib",
    ):
        made(tmp_path, "aliexpress_fr")


def log(rows: int, actions: list[str], seed: int = 0) -> pd.DataFrame:
    g = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "user_id": 1 + (40 * g.random(rows) ** 2).astype(int),
            "item_id": 1 + (60 * g.random(rows) ** 3).astype(int),
        }
    )
    return table.assign(
        cat=table["item_id"] % 7,
        action=g.choice(actions, rows, p=[0.4, 0.1, 0.4, 0.1]),
        time=g.integers(511, 1112, rows),
    )


def kept(
    table: pd.DataFrame, buy: str, min_items: int, min_users: int
) -> tuple[set[int], set[int]]:
    bought = table[table["action"] == buy]
    items, users = (
        bought.groupby("user_id")["item_id"].nunique(),
        bought.groupby("item_id")["user_id"].nunique(),
    )
    return set(items[items >= min_items].index), set(users[users >= min_users].index)


def check_log(
    store: Store,
    table: pd.DataFrame,
    actions: dict[str, str],
    thresholds: tuple[int, int],
    buy: str,
) -> None:
    users, items = kept(table, buy, *thresholds)
    assert 0 < len(users) < 40
    assert 0 < len(items) < 60
    mine = table[table["user_id"].isin(users) & table["item_id"].isin(items)]
    expected = {}
    for (user, item), group in mine.groupby(["user_id", "item_id"]):
        expected[str(user), str(item)] = [
            float((group["action"] == word).any()) for word in actions.values()
        ]
    found = decoded(store)
    assert {
        (row["user_id"], row["item_id"]): [row[name] for name in actions]
        for _, row in found.iterrows()
    } == expected
    assert len(found) == len(expected)


def test_ijcai15(tmp_path: Path) -> None:
    table, folder = log(3500, ["0", "1", "2", "3"]), raw(tmp_path, "ijcai15")
    columns = {"cat": "cat_id", "time": "time_stamp", "action": "action_type"}
    written = table.assign(seller_id=table["item_id"] % 11, brand_id=table["item_id"] % 5).rename(
        columns=columns
    )
    order = ["user_id", "item_id", "cat_id", "seller_id", "brand_id", "time_stamp", "action_type"]
    written[order].to_csv(folder / "user_log_format1.csv", index=False)
    pd.DataFrame({"user_id": range(1, 41), "age_range": 3, "gender": [0, 1] * 20}).to_csv(
        folder / "user_info_format1.csv", index=False
    )
    store, messages = made(tmp_path, "ijcai15")
    check_log(store, table, {"purchase": "2", "favourite": "3"}, (20, 10), "2")
    users, items = kept(table, "2", 20, 10)
    assert any(
        f"user_id: {len(users)} of 40 with purchases have at least 20 different item_id" in message
        for message in messages
    )
    assert any(
        f"item_id: {len(items)} of 60 with purchases have at least 10 different user_id" in message
        for message in messages
    )
    found = decoded(store)
    assert (found["gender"] == ((found["user_id"].astype(int) - 1) % 2).astype(str)).all()


def test_userbehavior(tmp_path: Path) -> None:
    table = log(3000, ["pv", "cart", "buy", "fav"], seed=1)
    folder = raw(tmp_path, "userbehavior_2017")
    table[["user_id", "item_id", "cat", "action", "time"]].to_csv(
        folder / "UserBehavior.csv", index=False, header=False
    )
    store, _ = made(tmp_path, "userbehavior_2017")
    check_log(
        store,
        table,
        {"click": "pv", "buy": "buy", "cart": "cart", "favourite": "fav"},
        (10, 10),
        "buy",
    )
    table.loc[5, "action"] = "look"
    table[["user_id", "item_id", "cat", "action", "time"]].to_csv(
        folder / "UserBehavior.csv", index=False, header=False
    )
    with pytest.raises(
        DataError, match="column 'behavior': must be one of pv, buy, cart, fav, got 'look'"
    ):
        made(tmp_path, "userbehavior_2017")


OWN, SHARED = (
    "205 206 207 216 508 509 702 853 301".split(),
    "101 121 122 124 125 126 127 128 129".split(),
)


def packed(features: dict[str, list[int]]) -> str:
    return "\x01".join(
        f"{field}\x02{value}\x031.0" for field, values in features.items() for value in values
    )


def ali_ccp(folder: Path, part: str, rows: int, seed: int) -> pd.DataFrame:
    g = np.random.default_rng(seed)
    users = [
        {field: [int(g.integers(0, 4)) + 100 * i] for i, field in enumerate(SHARED)}
        | {"109_14": [7, 8]}
        for _ in range(10)
    ]
    lines = [f"u{part}{i},{len(user)},{packed(user)}" for i, user in enumerate(users)]
    (folder / f"common_features_{part}.csv").write_text("\n".join(lines) + "\n")
    table = pd.DataFrame(
        {
            "user": g.integers(0, 10, rows),
            "click": g.integers(0, 2, rows),
            "purchase": g.integers(0, 2, rows),
        }
    )
    table["205"], lines = g.integers(1000, 1004, rows), []
    for i, row in table.iterrows():
        own = {field: [int(row["205"])] if field == "205" else [5] for field in OWN[:-1]}
        lines.append(
            f"{i},{row['click']},{row['purchase']},u{part}{row['user']},{len(own)},{packed(own)}"
        )
    (folder / f"sample_skeleton_{part}.csv").write_text("\n".join(lines) + "\n")
    return table.assign(**{"101": [users[u]["101"][0] for u in table["user"]]})


def test_ali_ccp(tmp_path: Path) -> None:
    folder = raw(tmp_path, "ali_ccp")
    train, test = ali_ccp(folder, "train", 600, 0), ali_ccp(folder, "test", 300, 1)
    with pytest.raises(DataError, match="must have the field '301' in some row"):
        made(tmp_path, "ali_ccp")
    text = (folder / "sample_skeleton_train.csv").read_text()
    (folder / "sample_skeleton_train.csv").write_text(text.replace("\n", "\x01301\x029\x031.0\n"))
    text = (folder / "sample_skeleton_test.csv").read_text()
    (folder / "sample_skeleton_test.csv").write_text(text.replace("\n", "\x01301\x029\x031.0\n"))
    store, messages = made(tmp_path, "ali_ccp")
    impossible = (train["click"] == 0) & (train["purchase"] == 1)
    assert f"{impossible.sum()} samples dropped: bought without a click" in messages
    left = test[(test["click"] == 1) | (test["purchase"] == 0)]
    found = decoded(store, ("test",))
    assert found["click"].tolist() == left["click"].tolist()
    assert found["purchase"].tolist() == left["purchase"].tolist()
    assert found["101"].tolist() == left["101"].astype(str).tolist()
    assert found["205"].tolist() == left["205"].astype(str).tolist()
    assert len(decoded(store, ("train", "validation"))) == (~impossible).sum()
    (folder / "common_features_test.csv").write_text("utest0,1,101=3\n")
    with pytest.raises(
        DataError, match="common_features_test.csv: must have features of the form field"
    ):
        made(tmp_path, "ali_ccp")


RATINGS = [(u, i, 1 + (u * i) % 5) for u in range(1, 31) for i in range(1, 41) if (u + i) % 3]


def movielens(folder: Path, layout: str) -> None:
    def write(name: str, head: str, lines: list[str], encoding: str = "utf-8") -> None:
        (folder / name).write_text(
            "\n".join([*([head] if head else []), *lines]) + "\n", encoding=encoding
        )

    if layout == "recbole":
        heads = (
            "item_id:token\trating:float\ttimestamp:float",
            "age:token\tgender:token\toccupation:token\tzip_code:token",
        )
        write(
            "ml-100k.inter",
            f"user_id:token\t{heads[0]}",
            [f"{u}\t{i}\t{r}\t88" for u, i, r in RATINGS],
        )
        write(
            "ml-100k.user",
            f"user_id:token\t{heads[1]}",
            [f"{u}\t{u + 9}\tF\tother\t94043" for u in range(1, 31)],
        )
        head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
        write("ml-100k.item", head, [f'{i}\tA "B\t1995\tDrama Sci-Fi' for i in range(1, 41)])
    elif layout == "u.data":
        genres = "|".join("1" if k in (8, 15) else "0" for k in range(19))
        write("u.data", "", [f"{u}\t{i}\t{r}\t88" for u, i, r in RATINGS])
        write("u.user", "", [f"{u}|{u + 9}|F|other|94043" for u in range(1, 31)])
        write(
            "u.item",
            "",
            [f"{i}|Café (1995)|01-Jan-1995||http://x|{genres}" for i in range(1, 41)],
            "latin-1",
        )
    elif layout == "dat":
        write("ratings.dat", "", [f"{u}::{i}::{r}::88" for u, i, r in RATINGS])
        write("users.dat", "", [f"{u}::F::{u + 9}::other::94043" for u in range(1, 31)])
        write(
            "movies.dat", "", [f"{i}::Café (1995)::Drama|Sci-Fi" for i in range(1, 41)], "latin-1"
        )
    else:
        write(
            "ratings.csv",
            "userId,movieId,rating,timestamp",
            [f"{u},{i},{r}.0,88" for u, i, r in RATINGS],
        )
        write(
            "movies.csv",
            "movieId,title,genres",
            [f'{i},"Café, the (1995)",Drama|Sci-Fi' for i in range(1, 41)],
        )


@pytest.mark.parametrize("layout", ["recbole", "u.data", "dat", "csv"])
def test_movielens(tmp_path: Path, layout: str) -> None:
    movielens(raw(tmp_path, "movielens_100k"), layout)
    store, messages = made(tmp_path, "movielens_100k")
    found = decoded(store)
    rated = {(str(u), str(i)): float(r) for u, i, r in RATINGS}
    positives, negatives = found[found["watched"] == 1], found[found["watched"] == 0]
    assert {
        (row["user_id"], row["item_id"]): row["rating"] for _, row in positives.iterrows()
    } == rated
    pairs = set(zip(negatives["user_id"], negatives["item_id"], strict=True))
    assert len(pairs) == len(negatives)
    assert not pairs & rated.keys()
    assert negatives["rating"].isna().all()
    unseen = {u: 40 - sum(user == u for user, _, _ in RATINGS) for u in range(1, 31)}
    expected = {str(u): min(unseen[u], 40 - unseen[u]) for u in unseen}
    assert negatives["user_id"].value_counts().to_dict() == expected
    assert (
        f"{len(rated):,} ratings, and {sum(expected.values()):,} movies drawn that their user "
        "has not rated" in messages
    )
    assert set(found["release_year"]) == {"1995"}
    assert set(store.vocabulary("genres")["word"].to_pylist()) == {"Drama", "Sci-Fi"}
    assert any(
        "this layout has no age, gender, occupation, zip_code; empty" in message
        for message in messages
    ) is (layout == "csv")


def test_movielens_layouts_draw_the_same_movies_in_any_order(tmp_path: Path) -> None:
    tables = []
    for layout in ("recbole", "u.data"):
        movielens(raw(tmp_path / layout, "movielens_100k"), layout)
        path = next(
            p
            for p in raw(tmp_path / layout, "movielens_100k").iterdir()
            if p.name in ("ml-100k.inter", "u.data")
        )
        lines = path.read_text().splitlines()
        head = 1 if layout == "recbole" else 0
        path.write_text(
            "\n".join([*lines[:head], *(lines[head:] if head else reversed(lines))]) + "\n"
        )
        tables.append(made(tmp_path / layout, "movielens_100k")[0].schema)
    assert tables[0].data_hash == tables[1].data_hash
    assert tables[0].split_hash == tables[1].split_hash


def test_movielens_without_a_whole_layout(tmp_path: Path) -> None:
    movielens(raw(tmp_path, "movielens_100k"), "dat")
    (raw(tmp_path, "movielens_100k") / "movies.dat").unlink()
    with pytest.raises(
        DataError, match="must hold ml-100k.inter with ml-100k.item or u.data with u.item"
    ):
        made(tmp_path, "movielens_100k")
