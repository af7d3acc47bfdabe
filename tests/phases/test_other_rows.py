"""Models of other test rows beside each other: `evaluate` and the report keep them apart."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import automtl
from automtl.cli._app import app
from automtl.errors import ArtifactError
from automtl.phases.finished.evaluate import evaluate_runs
from automtl.phases.finished.figures import best_gap, of_same_rows
from tests.data.tables import dataset

APART = "these models were read on different test rows and cannot be compared with each other: "
GAP = re.compile(r"^(\S+) - (\S+): [+-]\d", re.M)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs of two seeds: `one` and `beside` of the same rows, `split` of the same rows in another
    split, `tasks` of other tasks.
    """
    folder = tmp_path_factory.mktemp("other_rows")
    g = np.random.default_rng(0)
    frame = pd.DataFrame({"user": g.integers(0, 50, 600), "price": g.normal(size=600)})
    frame["click"] = (frame["price"] + g.normal(size=600) > 0).astype(int)
    frame["spend"] = g.gamma(2, 5, 600)
    frame.to_csv(folder / "rows.csv", index=False)
    features = [{"name": "user", "kind": "categorical"}, {"name": "price", "kind": "numeric"}]
    click = {"name": "click", "label": "click"}
    spend = {"name": "spend", "label": "spend", "kind": "regression"}
    shape = {"features": features, "files": {"train": str(folder / "rows.csv")}}
    split = {"kind": "random", "train": 0.8, "validation": 0.1, "test": 0.1, "seed": 5}
    toy = dataset(folder, "toy", tasks=[click], **shape)
    sources = {
        "one": toy,
        "beside": toy,
        "split": dataset(folder / "resplit", "toy", tasks=[click], split=split, **shape),
        "tasks": dataset(folder, "spending", tasks=[spend], **shape),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMTL_DATA_DIR", str(folder / "data"))
        patch.setenv("COLUMNS", "200")
        for number, (run, source) in enumerate(sources.items()):
            automtl.retrain(
                "shared_bottom",
                data=source,
                out=folder / run,
                seeds=(0, 1),
                retrain={"epochs": 1, "batch_size": 64, "lr": 0.001 * 4**number},
            )
        yield folder


def evaluated(*words: object) -> tuple[str, str]:
    """What `automtl evaluate` prints, and what it says beside it."""
    done = CliRunner().invoke(app, ["evaluate", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    ("other", "names"),
    [("split", ("toy (split of one)", "toy (split of split)")), ("tasks", ("toy", "spending"))],
)
@pytest.mark.parametrize("full", [False, True])
def test_models_of_other_rows_are_said_to_be_apart(home: Path, other, names, full) -> None:
    table, beside = evaluated(home / "one", home / other, *(["--full"] if full else []))
    first = next(line for line in beside.splitlines() if not line.startswith("warning: "))
    assert first == f"{APART}one on {names[0]}; {other} on {names[1]}"
    assert not GAP.search(beside) and "automtl compare" not in beside
    parts = re.split(r"^test rows of ", table, flags=re.M)[1:]
    assert len(parts) == 2
    for part, name, model in zip(parts, names, ("one", other), strict=True):
        assert part.startswith(f"{name} (") and part.count("constant on ") == 1
        assert full or f"\nconstant on {name} " in part, "a wide table wraps it"
        assert re.search(rf"^{model}[ :]", part, re.M)
    assert ("rmse" in parts[1]) == (other == "tasks"), "each table has its own tasks"
    with pytest.raises(ArtifactError, match="must be of the data and split of the others"):
        automtl.compare(home / "one", home / other)


def test_an_interval_stands_between_models_of_the_same_rows_only(home: Path) -> None:
    _, beside = evaluated(home / "one", home / "split", home / "beside")
    assert f"{APART}one, beside on toy (split of beside); split on toy (split of split)" in beside
    [pair] = GAP.findall(beside)
    assert set(pair) == {"one", "beside"}
    _, beside = evaluated(home / "one", home / "beside")
    assert APART not in beside and len(GAP.findall(beside)) == 1
    assert f"next: automtl compare {home / 'one'} {home / 'beside'}" in beside


def test_there_is_no_gap_between_models_of_other_rows(home: Path) -> None:
    results = evaluate_runs([home / "one", home / "split", home / "beside"])
    assert best_gap(results) is None
    [(_, same), (_, other)] = of_same_rows(results)
    gap = best_gap(same)
    assert gap is not None and {gap.best, gap.second} == {
        "one: shared_bottom",
        "beside: shared_bottom",
    }
    assert best_gap(other) is None


def test_python_says_the_same(home: Path) -> None:
    answer = automtl.evaluate(home / "one", home / "split")
    names = ("toy (split of one)", "toy (split of split)")
    assert answer.frame["model"].tolist() == [
        "one: shared_bottom",
        f"constant on {names[0]}",
        "split: shared_bottom",
        f"constant on {names[1]}",
    ]
    assert answer.sentences[0] == f"{APART}one on {names[0]}; split on {names[1]}"
    printed = repr(answer)
    assert printed.startswith("different test rows, not to be compared; ") and APART in printed
    alone = automtl.evaluate(home / "one", home / "beside")
    assert repr(alone).startswith("test rows, mean") and APART not in repr(alone)


def test_json_names_the_constants_apart(home: Path) -> None:
    told = json.loads(evaluated(home / "one", home / "split", "--json")[0])
    assert told["verdicts"][0].startswith(APART)
    own, other = (row["MTL-Loss"]["mean"] for row in told["constant"])
    assert own != other, "the constant is another on other rows"
    assert len({row["model"] for row in told["constant"]}) == 2


def test_runs_of_one_name_are_not_averaged(home: Path, tmp_path: Path) -> None:
    twin = tmp_path / "one"
    shutil.copytree(home / "split", twin)
    results = evaluate_runs([home / "one", twin])
    assert list(dict.fromkeys(r.label for r in results)) == [
        f"{home / 'one'}: shared_bottom",
        f"{twin}: shared_bottom",
    ]
    assert [rows for rows, _ in of_same_rows(results)] == [
        f"toy (split of {home / 'one'})",
        f"toy (split of {twin})",
    ]
