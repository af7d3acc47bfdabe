"""A task without a label has no loss, and the rows that lack it no MTL-Loss: nothing is chosen by
such rows, and null is said of them.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automtl.cli.main import main
from automtl.errors import DataError
from automtl.phases.finished.compare import compare
from automtl.runs.run_dir import RunDir
from automtl.strategies.score import score
from automtl.training.loop import combined
from scripts.small import SEARCH, flags, write_dataset
from tests.support import random_batch, small_schema

ROWS = 600
TRAIN = ["--set", "retrain.batch_size=64", "--set", "retrain.epochs=2"]


def by_time(folder, *, without, weights=None):
    """The YAML of rows in the order of time, in which "buy" has no label (or, with weights, no
    weight) in a span of them.
    """
    yaml = write_dataset(folder, rows=ROWS)
    table = pd.read_csv(folder / "rows.csv").assign(time=np.arange(ROWS), weight=1.0)
    table.loc[slice(*without), "weight" if weights else "buy"] = 0.0 if weights else np.nan
    table.to_csv(folder / "rows.csv", index=False)
    text = yaml.read_text().replace("kind: random,", "kind: time, column: time,")
    yaml.write_text(
        text.replace("label: buy}", "label: buy, sample_weight: weight}") if weights else text
    )
    return str(yaml)


@pytest.fixture
def run(monkeypatch):
    def status(*words):
        monkeypatch.setattr("sys.argv", ["automtl", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return status


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize(
    ("command", "part", "without"),
    [
        ("retrain", "validation rows", (420, 479)),
        ("search", "A rows (the alpha rows that move alpha)", (336, 419)),
        ("search", "fit rows", (0, 335)),
    ],
)
def test_nothing_is_chosen_by_rows_without_a_label(
    run, tmp_path, capsys, weights, command, part, without
):
    yaml = by_time(tmp_path, without=without, weights=weights)
    words = (
        ["retrain", "mmoe", "--data", yaml, *TRAIN]
        if command == "retrain"
        else ["search", yaml, *flags(SEARCH)]
    )
    assert run(*words, "--data-dir", tmp_path / "d", "--out", tmp_path / "r") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"tiny: {part}: must have a label, with a weight above 0, of every task" in said
    assert "got none of 'buy'; change split, or leave out the task" in said
    assert not (tmp_path / "r").exists()


def test_the_rows_that_score_need_a_label_before_anything_is_trained(run, tmp_path, capsys):
    """All candidates were trained, and the rate of learning blamed."""
    yaml = by_time(tmp_path, without=(0, 599))
    table = pd.read_csv(tmp_path / "rows.csv")
    table.loc[::9, "buy"] = np.arange(len(table[::9])) % 2
    table.to_csv(tmp_path / "rows.csv", index=False)
    few = ["--set", "search.score_rows=2", "--out", tmp_path / "r"]
    raced = ["--set", "search.selection=race", *few]
    assert run("search", yaml, *flags(SEARCH), "--data-dir", tmp_path / "d", *raced) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "rows that score (search.score_rows): must have a label" in said
    assert "raise search.score_rows" in said and not (tmp_path / "r").exists()
    # of a supernet read by its alphas no rows score
    assert run("search", yaml, *flags(SEARCH), "--data-dir", tmp_path / "d", *few) == 0


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("\ngroup: time", "whole groups of 'time': name a column with more groups, or leave out"),
        ("", "got none; bring more rows, or change split"),
    ],
)
def test_without_rows_it_is_not_labels_that_lack(run, tmp_path, capsys, group, words, monkeypatch):
    """Of one group for all rows it said that B rows, which were none, had no labels."""
    halves = "automtl.phases.run.session.alpha_halves"
    monkeypatch.setattr(halves, lambda store: (store.alpha_index, store.alpha_index[:0]))
    yaml = Path(by_time(tmp_path, without=(0, 0)))
    yaml.write_text(yaml.read_text() + group)
    assert run("search", yaml, *flags(SEARCH), "--data-dir", tmp_path / "d") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "B rows (the alpha rows that decide): must be one row or more, got none; " in said
    assert words in said


def test_a_retrain_needs_no_labels_in_alpha_rows(run, tmp_path):
    yaml = by_time(tmp_path, without=(336, 419))
    assert (
        run(
            "retrain",
            "mmoe",
            "--data",
            yaml,
            *TRAIN,
            "--data-dir",
            tmp_path / "d",
            "--out",
            tmp_path / "r",
        )
        == 0
    )


def test_evaluate_gives_null_beside_the_tasks_that_exist(run, tmp_path, capsys):
    yaml, out = by_time(tmp_path, without=(480, 599)), tmp_path / "r"
    for kind in ("mmoe", "shared_bottom"):
        assert (
            run(
                "retrain",
                kind,
                "--data",
                yaml,
                *TRAIN,
                "--data-dir",
                tmp_path / "d",
                "--out",
                out / kind,
            )
            == 0
        )
    assert (
        "task 'buy' has no test row with a label (and a weight above 0): there is no MTL-Loss "
        "of the test rows" in " ".join(capsys.readouterr().err.split())
    )
    assert run("evaluate", out / "mmoe", "--json") == 0
    [model] = json.loads(capsys.readouterr().out)["models"]
    assert model["test"]["loss"] is None and model["test"]["losses"]["buy"] is None
    assert (
        model["test"]["tasks"]["buy"]["rows"] == 0
        and model["test"]["tasks"]["click"]["rows"] == 120
    )
    assert 0 < model["test"]["losses"]["click"] < 2 and model["test"]["tasks"]["click"]["auc"] > 0
    assert run("evaluate", out / "shared_bottom") == 0
    assert "undefined" in capsys.readouterr().out
    found = compare([out / "mmoe", out / "shared_bottom"])
    assert found.split == "test" and all(
        "MTL-Loss" not in entry.figures["test"] for entry in found.entries
    )
    assert any("there is no MTL-Loss to rank by on these test rows" in note for note in found.notes)
    for words in (("compare", out / "mmoe", out / "shared_bottom"), ("status", out / "mmoe")):
        assert run(*words) == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert (
        "test rows, no MTL-Loss to rank by, for want of a label" in said
        and "best first" not in said
    )
    assert run("report", out / "mmoe", out / "shared_bottom", "-o", tmp_path / "page.html") == 0
    assert "has no MTL-Loss" in (tmp_path / "page.html").read_text()
    held = json.loads(
        (RunDir(out / "mmoe").path / "retrain" / "mmoe-s0" / "results.json").read_text()
    )
    assert held["test"]["loss"] is None and held["validation"]["loss"] > 0


def test_combined_is_the_weighted_mean_or_none():
    assert combined([1.0, 3.0], [0.25, 0.75]) == 2.5
    assert combined([1.0, None], [0.25, 0.75]) is None


def test_scores_need_every_task():
    schema = small_schema()
    batch = random_batch(schema)
    batch.labels[:, 1] = torch.nan

    class Rows:
        def epoch(self, number):
            yield batch

    class Net(torch.nn.Module):
        def forward(self, inputs):
            return [inputs.dense[:, 0], inputs.dense[:, 0]]

    with pytest.raises(DataError, match="must have labels of every task, got none of task1"):
        score(Net(), Rows(), schema.tasks, supernet=False)
