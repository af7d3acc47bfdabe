"""Models of labels that nothing tells, and of labels that something tells, beside the constant: in
every command that shows figures.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import automtl
from automtl.cli._app import app
from automtl.phases.finished.export import export
from automtl.phases.finished.open import session_of
from automtl.phases.run.reporter import Silent
from automtl.reports._verdict import verdict
from automtl.reports.load import load_runs
from automtl.runs.run_dir import one_phase
from tests.data.tables import dataset

WORSE = "worse than the constant (predicting the training rows' base rates): "


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two runs: `noise` and `spend` cannot be learnt, `told` can. One model's rate is far too high,
    the other trains on `told` alone.
    """
    folder = tmp_path_factory.mktemp("constant")
    g = np.random.default_rng(0)
    user = g.integers(0, 2000, 5000)
    frame = pd.DataFrame(
        {
            "user": user,
            "item": g.integers(0, 2000, 5000),
            "noise": g.random(5000) < 0.2,
            "spend": g.gamma(2, 5, 5000),
        }
    )
    frame = frame.assign(noise=frame["noise"].astype(int), number=g.normal(size=5000))
    frame["told"] = (g.random(5000) < 1 / (1 + np.exp(-3 * frame["number"]))).astype(int)
    frame.to_csv(folder / "rows.csv", index=False)
    features = [
        {"name": "user", "kind": "categorical"},
        {"name": "item", "kind": "categorical"},
        {"name": "number", "kind": "numeric"},
    ]
    tasks = [
        {"name": "noise", "label": "noise"},
        {"name": "spend", "label": "spend", "kind": "regression"},
    ]
    told = {"name": "told", "label": "told"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMTL_DATA_DIR", str(folder / "data"))
        for name, columns, settings in [
            ("noisy", [*tasks, told], {"epochs": 1, "batch_size": 16, "lr": 0.3}),
            ("good", [told], {"epochs": 3, "batch_size": 64, "lr": 0.003}),
        ]:
            source = dataset(
                folder, name, features=features, tasks=columns, keep=["user"], group="user"
            )
            automtl.retrain(
                "shared_bottom", data=source, out=folder / f"run-{name}", retrain=settings
            )
        yield folder


def asked(*words: str) -> tuple[str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def judged(home: Path) -> tuple[dict, str, str]:
    """What `evaluate` says of the model that learnt noise: as JSON, as a table, and beside it."""
    told, _ = asked("evaluate", home / "run-noisy", "--json")
    return json.loads(told), *asked("evaluate", home / "run-noisy", "--full")


def constant(home: Path, split: str) -> dict[str, float]:
    """The constant's losses by NumPy, from the rows of the store."""
    store = session_of(one_phase(home / "run-noisy", "retrain"), "cpu", Silent()).store
    train, rows = store.rows("train").labels.astype(float), store.rows(split).labels.astype(float)
    found = {}
    for t, task in enumerate(store.schema.tasks):
        if task.kind == "regression":
            found[task.name] = np.mean(((rows[:, t] - train[:, t].mean()) / train[:, t].std()) ** 2)
        else:
            rate = train[:, t].mean()
            found[task.name] = -np.mean(
                rows[:, t] * np.log(rate) + (1 - rows[:, t]) * np.log(1 - rate)
            )
    return {**found, "MTL-Loss": np.mean(list(found.values()))}


def test_evaluate(home: Path, judged: tuple[dict, str, str]) -> None:
    told, table, beside = judged
    expected = constant(home, "test")
    [model] = told["models"]
    for task, gap in model["test"]["constant"]["tasks"].items():
        assert gap["loss"] == pytest.approx(expected[task], abs=1e-6)
        assert gap["difference"] == pytest.approx(
            model["test"]["losses"][task] - expected[task], abs=1e-6
        )
    verdicts = {task: gap["verdict"] for task, gap in model["test"]["constant"]["tasks"].items()}
    worse = [task for task, found in verdicts.items() if found == "worse"]
    assert (
        worse
        and verdicts["spend"] != "better" != verdicts["noise"]
        and verdicts["told"] == "better"
    )
    [said] = [sentence for sentence in told["verdicts"] if WORSE in sentence]
    assert (
        said.startswith(f"run-noisy: shared_bottom: {WORSE}")
        and all(f"{task} " in said for task in worse)
        and "told" not in said
    )
    [row] = told["constant"]
    assert (row["model"], row["noise auc"], row["noise gauc"]) == (
        "constant",
        {"mean": 0.5, "sd": None},
        {"mean": 0.5, "sd": None},
    )
    assert row["MTL-Loss"]["mean"] == pytest.approx(expected["MTL-Loss"], abs=1e-6)
    assert said in beside
    assert "constant" in table
    assert f"{expected['MTL-Loss']:.5f}" in table


def test_compare_and_status(home: Path, judged: tuple[dict, str, str]) -> None:
    expected = constant(home, "test")
    for command in ("compare", "evaluate"):  # on the short screen, too
        assert (
            "worse than the constant: shared_bottom (noise)"
            in asked(command, home / "run-noisy")[1]
        )
    table, beside = asked("compare", home / "run-noisy", "--full")
    assert f"run-noisy: shared_bottom: {WORSE}" in beside
    assert "constant" in table
    assert f"{expected['MTL-Loss']:.5f}" in table
    told = json.loads(asked("compare", home / "run-noisy", "--json")[0])
    assert told["constant"]["MTL-Loss"] == pytest.approx(expected["MTL-Loss"], abs=1e-6)
    assert told["constant"]["noise auc"] == 0.5
    assert told["verdicts"]["run-noisy: shared_bottom"].startswith(WORSE)
    [phase] = json.loads(asked("status", home / "run-noisy", "--json")[0])
    assert phase["constant"].startswith(WORSE) and list(phase)[1] == "constant"


def test_report_and_card(home: Path, judged: tuple[dict, str, str], tmp_path: Path) -> None:
    first = verdict(load_runs([home / "run-noisy"]))[0]
    assert first.tone == "warning" and first.text.startswith(f"shared_bottom is {WORSE}")
    card = (
        export(home / "run-noisy", "python", out=tmp_path / "model").path / "README.md"
    ).read_text()
    assert f"**This model is {WORSE}".replace("`", "'") in card.split("## Score a row")[0]


def test_nothing_is_said_of_a_model_that_knows_something(home: Path, tmp_path: Path) -> None:
    told = json.loads(asked("evaluate", home / "run-good", "--json")[0])
    assert told["verdicts"] == []
    assert told["models"][0]["test"]["constant"]["total"]["high"] < 0
    assert "than the constant" not in asked("compare", home / "run-good")[1]
    assert "constant" not in json.loads(asked("status", home / "run-good", "--json")[0])[0]
    assert not [s for s in verdict(load_runs([home / "run-good"])) if "constant" in s.text]
    card = (
        export(home / "run-good", "python", out=tmp_path / "model").path / "README.md"
    ).read_text()
    assert "This model is" not in card


def test_each_epoch_keeps_the_constants_loss(home: Path) -> None:
    lines = one_phase(home / "run-noisy", "retrain").read_metrics()
    expected = constant(home, "validation")["MTL-Loss"]
    assert [line["validation"]["constant"] for line in lines] == pytest.approx(
        [expected] * len(lines), abs=1e-6
    )


def test_two_data_sets_have_a_constant_each(home: Path) -> None:
    told = json.loads(asked("evaluate", home / "run-noisy", home / "run-good", "--json")[0])
    assert [row["model"] for row in told["constant"]] == ["constant on noisy", "constant on good"]
