"""KuaiRand-Pure: the real log where it is at hand, and a tiny one in the publisher's layout
everywhere.
"""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.errors import DataError
from tests.house import ROOT

REAL = ROOT.parent / "shared" / "data" / "kuairand_pure"
LOG = "log_standard_4_22_to_5_08_pure.csv"
MEANS = {"click": 0.4490, "long_view": 0.3164, "like": 0.01738, "profile_enter": 0.01886}
MEANS |= {"comment": 0.00258, "follow": 0.00131, "forward": 0.00087}
LABELS = (
    "is_click is_like is_follow is_comment is_forward is_hate long_view is_profile_enter".split()
)
USER_RANGES = (
    "follow_user_num_range fans_user_num_range friend_user_num_range register_days_range".split()
)
START = 1_650_812_741_436  # 2022-04-24 23:05:41 in China, a Sunday


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Store:
    if not REAL.is_dir():
        pytest.skip(f"KuaiRand-Pure is not at {REAL}")
    data_dir = tmp_path_factory.mktemp("data")
    (data_dir / "raw").mkdir()
    (data_dir / "raw" / "kuairand_pure").symlink_to(REAL)
    return prepare(load_dataset("kuairand_pure"), data_dir=data_dir)


def all_labels(store: Store) -> np.ndarray:
    return np.concatenate([store.rows(split).labels for split in ("train", "validation", "test")])


def test_real_means_are_the_published_ones(real: Store) -> None:
    labels = all_labels(real)
    assert len(labels) == 222_869
    assert [task.name for task in real.schema.tasks] == list(MEANS)
    np.testing.assert_allclose(labels.mean(axis=0, dtype=float), list(MEANS.values()), atol=6e-5)


def test_real_split_and_joins_against_pandas(real: Store) -> None:
    log = pd.read_csv(REAL / f"{LOG}.gz")
    times = np.sort(log["time_ms"].to_numpy())
    validation, test = times[round(0.7 * len(times))], times[round(0.8 * len(times))]
    assert len(real.rows("test")) == (log["time_ms"] >= test).sum()
    assert (
        len(real.rows("validation"))
        == ((log["time_ms"] >= validation) & (log["time_ms"] < test)).sum()
    )
    late = log[log["time_ms"] >= test].merge(
        pd.read_csv(REAL / "video_features_basic_pure.csv.gz", dtype={"tag": str}), on="video_id"
    )
    rows, fields = real.rows("test"), [field.name for field in real.schema.categorical]
    words = np.array(["", *real.vocabulary("author_id")["word"].to_pylist()], dtype=object)
    mine = words[rows.ids[:, fields.index("author_id")]]
    theirs = late["author_id"].astype(str)
    assert (
        np.bincount(rows.ids[:, fields.index("author_id")])[0] == (~theirs.isin(set(words))).sum()
    )
    assert (
        pd.Series(mine[mine != ""]).value_counts().to_dict()
        == theirs[theirs.isin(set(words))].value_counts().to_dict()
    )
    tags = real.vocabulary("tag")["word"].to_pylist()
    found = pd.Series([tags[i - 1] for i in rows.lists[0].values]).value_counts().to_dict()
    known = late["tag"].dropna().str.split(",").explode().str.strip()
    assert found == known[known.isin(tags)].value_counts().to_dict()


def test_nothing_known_after_the_fact_is_a_feature() -> None:
    for feature in load_dataset("kuairand_pure").features:
        assert not feature.name.startswith("is_")
        assert not feature.name.endswith(("_stay_time", "_cnt"))
        assert feature.name != "play_time_ms"


def write(data_dir: Path, rows: int = 400) -> pd.DataFrame:
    """A log and side tables with the publisher's columns, quoting and holes; one user and one video
    have no row there.
    """
    folder = data_dir / "raw" / "kuairand_pure"
    folder.mkdir(parents=True)
    g = np.random.default_rng(0)
    log = pd.DataFrame(
        {
            "user_id": g.integers(0, 20, rows),
            "video_id": g.integers(0, 30, rows),
            "date": 20220425,
            "hourmin": 0,
        }
    )
    log["time_ms"] = START + np.arange(rows) * 3_600_000 // 4
    log = log.assign(**{name: g.integers(0, 2, rows) for name in LABELS})
    log = log.assign(play_time_ms=g.integers(0, 9999, rows), duration_ms=g.integers(1, 99999, rows))
    log = log.assign(
        profile_stay_time=0, comment_stay_time=0, is_rand=0, tab=g.integers(0, 5, rows)
    )
    with gzip.open(folder / f"{LOG}.gz", "wt") as stream:
        stream.write(log.to_csv(index=False))
    users = pd.DataFrame({"user_id": range(19), "user_active_degree": "full_active"})
    users = users.assign(
        **{name.removesuffix("_range"): g.integers(0, 999, 19) for name in USER_RANGES}
    )
    users = users.assign(
        **dict.fromkeys(USER_RANGES, "[100,1k)"),
        **{f"onehot_feat{i}": [0.0, 1.0, None] * 6 + [0.0] for i in range(18)},
    )
    users.to_csv(folder / "user_features_pure.csv", index=False)
    videos = pd.DataFrame(
        {
            "video_id": range(29),
            "author_id": g.integers(0, 9, 29),
            "video_type": "NORMAL",
            "upload_dt": "2022-04-10",
        }
    )
    videos = videos.assign(
        upload_type="Kmovie",
        visible_status=0.0,
        video_duration=87433.0,
        server_width=720.0,
        server_height=1280.0,
    )
    videos = videos.assign(
        music_id=9155697141, music_type=9.0, tag=["1", "1,2", None, "3,1,4"] * 7 + ["5"]
    )
    videos.to_csv(folder / "video_features_basic_pure.csv", index=False)
    return log


def test_a_tiny_log_in_the_publishers_layout(tmp_path: Path) -> None:
    log = write(tmp_path)
    messages: list[str] = []
    store = prepare(load_dataset("kuairand_pure"), data_dir=tmp_path, progress=messages.append)
    lost = (log["user_id"] == 19).sum()
    assert any(
        f"user_features_pure.csv: {lost} of 400 rows have a user_id that it lacks" in message
        for message in messages
    )
    train = store.rows("train")
    assert len(train) == 280
    names = [field.name for field in store.schema.categorical]
    clock = pd.to_datetime(log["time_ms"][:280], unit="ms", utc=True).dt.tz_convert("Asia/Shanghai")
    for name, expected in (("hour", clock.dt.hour), ("weekday", clock.dt.day_of_week)):
        words = np.array(["", *store.vocabulary(name)["word"].to_pylist()])
        assert words[train.ids[:, names.index(name)]].tolist() == expected.astype(str).tolist()
    tags = ["", *store.vocabulary("tag")["word"].to_pylist()]
    lists = [[tags[i] for i in row if i] for row in train.lists[0].padded(slice(None))]
    raw = {**{i: ["1", "1,2", "", "3,1,4"][i % 4] for i in range(28)}, 28: "5", 29: ""}
    assert lists == [
        [word for word in raw[video].split(",") if word] for video in log["video_id"][:280]
    ]
    kept = store.kept_words("user_id")["word"].to_pylist()
    assert store.schema.group == "user_id"
    assert train.kept is not None
    assert [kept[i - 1] for i in train.kept[:, 0]] == log["user_id"][:280].astype(str).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda users: pd.concat([users, users[:1]]),
            "must have each key of column 'user_id' once, got '0' twice",
        ),
        (
            lambda users: users.assign(user_id=users["user_id"] + 1000),
            "must have keys of column 'user_id' that the rows have, got not one",
        ),
        (lambda users: users.assign(tab=1), "must be the only table with the column 'tab'"),
        (lambda users: users[:0], "must have rows to join, got none"),
        (lambda users: users.drop(columns="user_id"), "must have the column 'user_id'"),
        (lambda users: users.drop(columns="onehot_feat3"), "must have the column 'onehot_feat3'"),
    ],
)
def test_bad_side_tables(tmp_path: Path, change: object, message: str) -> None:
    write(tmp_path)
    path = tmp_path / "raw" / "kuairand_pure" / "user_features_pure.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)  # type: ignore[operator]
    with pytest.raises(DataError) as caught:
        prepare(load_dataset("kuairand_pure"), data_dir=tmp_path)
    assert message in str(caught.value)
    assert not any((tmp_path / "prepared").rglob("*"))


def test_a_wrong_unit_of_time_is_noticed(tmp_path: Path) -> None:
    write(tmp_path)
    config = load_dataset("kuairand_pure")
    wrong = config.model_copy(
        update={"derived": tuple(d.model_copy(update={"unit": "s"}) for d in config.derived)}
    )
    with pytest.raises(
        DataError,
        match="row 1, column 'time_ms': must be a time from 1990 to 2100 in unit s, got "
        "1650812741436",
    ):
        prepare(wrong, data_dir=tmp_path)
