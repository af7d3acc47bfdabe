"""Metrics of test rows with ids that training had, and without: against scikit-learn over rows told
apart by pandas.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

import automtl
from automtl.phases.finished.evaluate import ModelResult, evaluate_runs, known_rows
from automtl.runs.run_dir import one_phase
from tests.cli.test_errors import run as command

ROWS, TRAIN, TEST = 600, 420, 510
YAML = """
name: newcomers
files: {train: rows.csv}
features:
  - {name: user, kind: categorical%(user)s}
  - {name: item, kind: categorical}
  - {name: tags, kind: multi, separator: " "}
  - {name: price, kind: numeric}
tasks: [{name: click, label: click%(click)s}, {name: buy, label: buy}]
split: {kind: time, column: time, train: .7, validation: .15, test: .15}
group: user
"""


def table(share: float = 1 / 3) -> pd.DataFrame:
    """A share of the test rows are of users that begin then; all of these buy. Items are never new;
    some rows have new tags only.
    """
    rng, place = np.random.default_rng(4), np.arange(ROWS)
    new = (place >= TEST) & (rng.random(ROWS) < share)
    user, price = rng.integers(0, 12, ROWS) + 50 * new, rng.normal(size=ROWS).round(3)
    return pd.DataFrame(
        {
            "user": user,
            "item": place % 7,
            "tags": [f"t{i % 3} t{i % 5}" if i < TEST or i % 4 else "fresh" for i in place],
            "price": price,
            "time": 1_700_000_000 + 60 * place,
            "click": (rng.random(ROWS) < 1 / (1 + np.exp(-0.5 * (user % 12 - 6) - price))).astype(
                int
            ),
            "buy": np.where(new, 1, rng.random(ROWS) < 0.4).astype(int),
        }
    )


def trained(folder: Path, *, user: str = "", click: str = "", share: float = 1 / 3) -> Path:
    folder.mkdir(parents=True)
    table(share).to_csv(folder / "rows.csv", index=False)
    (folder / "set.yaml").write_text(YAML % {"user": user, "click": click})
    sizes = {"epochs": 2, "batch_size": 64}
    automtl.retrain(
        "mmoe",
        data=folder / "set.yaml",
        out=folder / "run",
        data_dir=folder / "cache",
        retrain=sizes,
    )
    return folder / "run"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("known") / "a").parent


def judged(run: Path) -> tuple[ModelResult, pd.DataFrame, pd.Series]:
    """The result, the test rows with their predictions, and which of them have a user that training
    had.
    """
    (result,) = evaluate_runs([run])
    rows = table()
    late = pd.concat([rows, automtl.predict(run, rows)], axis=1)[TEST:]
    return result, late, late["user"].isin(rows["user"][:TRAIN])


def test_each_metric_of_known_and_of_unknown_users(place: Path) -> None:
    result, late, known = judged(place / "run")
    assert 0 < known.sum() < len(late)
    by = result.known["user"]
    assert (by.known_rows, by.unknown_rows) == (known.sum(), (~known).sum())
    assert by.unknown_share == pytest.approx((~known).mean())
    base = table()["click"][:TRAIN].mean()
    for part, mine in ((by.known, late[known]), (by.unknown, late[~known])):
        assert part.tasks["click"]["rows"] == len(mine)
        assert part.tasks["click"]["auc"] == pytest.approx(
            roc_auc_score(mine["click"], mine["probs_click"]), abs=1e-6
        )
        assert part.tasks["click"]["logloss"] == pytest.approx(
            log_loss(mine["click"], mine["probs_click"]), abs=1e-6
        )
        pairs = [
            (len(g), roc_auc_score(g["click"], g["probs_click"]))
            for _, g in mine.groupby("user")
            if g["click"].nunique() == 2
        ]
        assert part.tasks["click"]["gauc"] == pytest.approx(
            sum(n * a for n, a in pairs) / sum(n for n, _ in pairs), abs=1e-6
        )
        assert part.constant and part.constant["tasks"]["click"]
        assert part.constant["tasks"]["click"]["loss"] == pytest.approx(
            log_loss(mine["click"], np.full(len(mine), base)), abs=1e-6
        )


def test_what_a_slice_of_one_class_leaves_undefined_is_null(place: Path) -> None:
    result, *_ = judged(place / "run")
    bought = result.known["user"].unknown.tasks["buy"]
    assert bought["rows"] == bought["positives"] == result.known["user"].unknown_rows
    assert [bought[name] for name in ("auc", "gauc", "ne")] == [None] * 3 and bought[
        "logloss"
    ] is not None
    written = json.loads(one_phase(place / "run", "retrain").results.read_text())[
        "test_by_known_ids"
    ]["user"]["unknown"]
    assert written["tasks"]["buy"]["auc"] is None
    unknown = next(
        row for row in known_rows(result) if (row["column"], row["ids"]) == ("user", "unknown")
    )
    assert (
        unknown["buy auc"] is None
        and unknown["MTL-Loss"] is not None
        and unknown["constant's"] is not None
    )


def test_columns_without_unknown_ids_are_left_out_and_lists_are_not(place: Path) -> None:
    result, late, _ = judged(place / "run")
    assert set(result.known) == {"user", "tags"}
    fresh = late["tags"] == "fresh"
    assert result.known["tags"].unknown_rows == fresh.sum() > 0
    mine = late[fresh]
    assert result.known["tags"].unknown.tasks["click"]["auc"] == pytest.approx(
        roc_auc_score(mine["click"], mine["probs_click"]), abs=1e-6
    )
    most_first = [by.unknown_rows for by in result.known.values()]
    assert most_first == sorted(most_first, reverse=True)


def test_the_command_tells_rows_shares_and_figures(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = place / "run"
    _, late, known = judged(run)
    assert command(["evaluate", "--full", str(run)]) == 0
    said = capfd.readouterr().out
    assert "test rows with ids that the training rows have, and without" in said
    assert (
        f"{(~known).mean():.1%}" in said and f"{known.mean():.1%}" in said and "undefined" in said
    )
    assert command(["evaluate", str(run), "--json"]) == 0
    by: dict[str, Any] = json.loads(capfd.readouterr().out)["models"][0]["by_known_ids"]
    assert (
        by["user"]["unknown_rows"] == (~known).sum()
        and by["user"]["unknown"]["tasks"]["buy"]["auc"] is None
    )
    assert by["user"]["known"]["constant"]["metrics"]["click"]["auc"] == 0.5
    assert by == json.loads(one_phase(run, "retrain").results.read_text())["test_by_known_ids"]


def test_a_test_part_of_new_users_alone_leaves_the_known_ones_undefined(tmp_path: Path) -> None:
    (result,) = evaluate_runs([trained(tmp_path / "a", share=1.1)])
    by = result.known["user"]
    assert (by.known_rows, by.unknown_share, by.known.loss) == (0, 1.0, None)
    assert all(
        value is None
        for name, value in by.known.tasks["click"].items()
        if name not in ("rows", "positives")
    )
    assert by.unknown.tasks["click"] == result.test.tasks["click"]


def test_hashed_users_are_told_by_the_rows_that_training_had(tmp_path: Path) -> None:
    result, _, known = judged(trained(tmp_path / "h", user=", hash_buckets: 50"))
    assert result.known["user"].unknown_rows == (~known).sum()


def test_rows_of_a_log_without_most_negatives_are_corrected_in_each_slice(tmp_path: Path) -> None:
    result, late, known = judged(trained(tmp_path / "n", click=", negatives_kept: .25"))
    mine = late[~known]
    weights = np.where(mine["click"] == 0, 4.0, 1.0)
    part = result.known["user"].unknown.tasks["click"]
    assert part["logloss"] == pytest.approx(
        log_loss(mine["click"], mine["probs_click"], sample_weight=weights), abs=1e-6
    )
    assert part["calibration"] == pytest.approx(
        (weights * mine["probs_click"]).sum() / mine["click"].sum(), abs=1e-5
    )
