"""The check whether experts belong to a task or to its place, on searches of few rows."""

import json
from pathlib import Path

import pytest
import yaml

from automtl.errors import ConfigError
from scripts.relabel_check import LEAST_SEEDS, Relabelled, Verdict, main, reordered, seeds_of
from scripts.small import SPACE, write_dataset


def test_experts_of_the_place_and_of_the_task_are_counted_apart():
    a, b, c = (0, 1), (0, 2), (1, 2)
    assert Relabelled((a, b, c), (a, b, c)).telling == [(True, False), (True, False)]
    assert Relabelled((a, b, c), (c, b, a)).telling == [(False, True), (False, True)]
    assert Relabelled((a, a), (a, a)).telling == []
    assert Relabelled((a, b), (c, a)).telling == [(False, True), (False, False)]


def test_a_seed_counts_once_and_too_few_never_tell():
    place, task, neither = (True, False), (False, True), (False, False)
    mixed = Verdict.of([[place] * 7, [place, place, task], [task, neither], [place, task], []])
    assert (mixed.seeds, mixed.place) == (3, 2)
    for side, words in ((place, "set by the start"), (task, "set by the data")):
        few = Verdict.of([[side] * 7] * (LEAST_SEEDS - 1))
        enough = Verdict.of([[side]] * LEAST_SEEDS)
        assert few.words.startswith("not told apart") and enough.words.startswith(words)
    # Clopper and Pearson's limits, of none and of all: (alpha / 2)^(1 / n)
    assert Verdict(6, 6).interval == pytest.approx((0.025 ** (1 / 6), 1.0))
    assert Verdict(6, 0).interval == pytest.approx((0.0, 1 - 0.025 ** (1 / 6)))
    assert Verdict.of([]).words.startswith("not told apart")


def test_both_orders_are_searched_and_what_is_there_is_not_again(tmp_path, capsys):
    data, out = write_dataset(tmp_path / "data", rows=400), tmp_path / "out"
    sets = [
        *SPACE,
        "space.chosen_experts=2",
        "search.epochs=2",
        "search.warmup_epochs=1",
        "search.batch_size=64",
        f"data.dir={tmp_path / 'cache'}",
    ]
    words = [str(data), "--seeds=0", f"--out={out}"]
    words += [word for item in sets for word in ("--set", item)]
    main(words)
    told = capsys.readouterr().out
    assert "as declared ((" in told
    assert "not told apart: the place" in told or "nothing can be told" in told
    orders = [
        json.loads((out / f"{name}-0" / "search" / "architecture.json").read_text())["tasks"]
        for name in ("declared", "reversed")
    ]
    assert orders[0] == orders[1][::-1]
    before = (out / "declared-0" / "search" / "architecture.json").stat().st_mtime_ns
    main(words)
    assert capsys.readouterr().out.splitlines()[-1] == told.splitlines()[-1]
    assert (out / "declared-0" / "search" / "architecture.json").stat().st_mtime_ns == before


def test_a_space_without_a_choice_of_experts_is_refused(tmp_path):
    data = write_dataset(tmp_path / "data", rows=400)
    sets = [
        *SPACE,
        "search.sharing=mmoe",
        "search.epochs=2",
        "search.warmup_epochs=1",
        "search.batch_size=64",
        f"data.dir={tmp_path / 'cache'}",
    ]
    words = [str(data), "--out", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match="must choose experts per task, got mmoe"):
        main([*words, *(word for item in sets for word in ("--set", item))])


@pytest.mark.parametrize("seeds", ["1,1,1,1,1,1", "", "0,x", "0,-1", "1, 01"])
def test_seeds_that_are_none_or_count_twice_are_refused(seeds):
    with pytest.raises(ConfigError, match="must be different whole numbers"):
        seeds_of(seeds)


def test_a_folder_of_another_data_set_is_refused(tmp_path):
    reordered("census_income", tmp_path)
    reordered("census_income", tmp_path)
    with pytest.raises(ConfigError, match="must hold searches of this data set"):
        reordered("movielens_100k", tmp_path)


def test_a_shipped_data_set_is_read_where_it_lies(tmp_path, monkeypatch):
    """Its files are no neighbours of the reordered description."""
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    written = yaml.safe_load(Path(reordered("census_income", tmp_path / "out")).read_text())
    raw = tmp_path / "cache" / "raw" / "census_income"
    assert all(
        str(path).startswith(str(raw)) for paths in written["files"].values() for path in paths
    )
    assert [task["name"] for task in written["tasks"]][::-1] == [
        "income",
        "never_married",
        "college",
    ]
