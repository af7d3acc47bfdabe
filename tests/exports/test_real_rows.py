"""Every sharing kind, trained on real rows of Census-Income and exported: what a process without
torch answers to the raw rows.

Of the publisher's columns are made: ids, a set of several ids (how and where the household moved),
a list in order (countries of father, mother, self), numbers of which some are missing (the wage of
those who have none), and a task of each kind. The 1,000 rows that are scored hold ids, sets and
lists that training never met.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import automtl
from automtl.data.raw.adapters._census_income import COLUMNS
from automtl.exports.network import Served, arrays, names
from automtl.exports.parity import eager
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.run.reporter import Silent
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.catalogue import SHARING
from tests.census import sample

pytestmark = pytest.mark.slow

ROWS = 1000
MOVES = ["mig_chg_msa", "mig_chg_reg", "mig_move_reg", "mig_prev_sunbelt"]
COUNTRIES = ["country_father", "country_mother", "country_self"]
SETTINGS = {
    "name": "census_real",
    "files": {"train": "train.csv", "validation": "validation.csv", "test": "test.csv"},
    "split": {"kind": "files"},
    "features": [
        *(
            {"name": name, "kind": "categorical"}
            for name in ("class_worker", "det_occ_code", "education", "sex", "country_self")
        ),
        {"name": "moves", "kind": "multi", "separator": "|"},
        {
            "name": "countries",
            "kind": "sequence",
            "separator": "|",
            "max_length": 2,
            "share_embedding": "country_self",
        },
        {"name": "age", "kind": "numeric"},
        {"name": "wage_per_hour", "kind": "numeric", "missing": "indicator"},
        {"name": "capital_gains", "kind": "numeric", "transform": "log1p"},
        {"name": "stock_dividends", "kind": "numeric", "transform": "quantile"},
    ],
    "tasks": [
        {"name": "income", "label": "income"},
        {"name": "weeks", "label": "weeks_worked", "kind": "regression"},
        {"name": "marital", "label": "marital_stat", "kind": "multiclass"},
    ],
}
FEATURES = [feature["name"] for feature in SETTINGS["features"]]
SCORE = """
import json, sys
banned = ["torch", "automtl", "pandas", "pyarrow", "scipy", "safetensors"]
sys.modules.update(dict.fromkeys(banned))  # importing them fails
import numpy as np
import onnxruntime
from encode import Encoder
rows = json.load(open(sys.argv[1]))
session = onnxruntime.InferenceSession("model.onnx")
answers = session.run(None, Encoder()(rows))
assert not any(sys.modules[name] for name in banned)
np.savez(sys.argv[2], **dict(zip([output.name for output in session.get_outputs()], answers)))
"""


def table(path: Path) -> pd.DataFrame:
    """Raw rows of the publisher's as people would write them down."""
    raw = pd.read_csv(
        path, header=None, names=COLUMNS, skipinitialspace=True, dtype=str, na_filter=False
    )
    known = {name: raw[name].where(raw[name] != "?", "") for name in (*MOVES, *COUNTRIES)}
    raw["moves"] = [
        "|".join(dict.fromkeys(word for word in words if word))
        for words in zip(*(known[name] for name in MOVES), strict=True)
    ]
    raw["countries"] = [
        "|".join(word for word in words if word)
        for words in zip(*(known[name] for name in COUNTRIES), strict=True)
    ]
    raw["wage_per_hour"] = raw["wage_per_hour"].where(raw["wage_per_hour"] != "0", "")
    raw["income"] = (raw["income_50k"].str.startswith("50000")).astype(int)
    return raw[[*FEATURES, "income", "weeks_worked", "marital_stat"]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set's YAML; training rows of its own, validation rows with what training never
    met.
    """
    folder = tmp_path_factory.mktemp("census")
    raw = sample(folder, train=4000, test=1500) / "raw" / "census_income"
    table(raw / "census-income.data").to_csv(folder / "train.csv", index=False)
    held = table(raw / "census-income.test")
    held[ROWS:].to_csv(folder / "test.csv", index=False)
    scored = held[:ROWS].copy()
    scored.loc[:49, ["class_worker", "education"]] = "never met"
    scored.loc[30:79, "moves"] = "never met|" + scored["moves"]
    scored.loc[60:99, "countries"] = "Atlantis"
    scored.loc[90:119, ["age", "capital_gains"]] = ""
    scored.to_csv(folder / "validation.csv", index=False)
    (folder / "census.yaml").write_text(json.dumps(SETTINGS))
    plain = scored[FEATURES].astype(object).where(scored[FEATURES] != "", None)
    numbers = {f["name"] for f in SETTINGS["features"] if f["kind"] == "numeric"}
    rows = [
        {k: float(v) if k in numbers and v is not None else v for k, v in row.items()}
        for row in plain.to_dict("records")
    ]
    (folder / "rows.json").write_text(json.dumps(rows))
    return folder / "census.yaml"


@pytest.mark.parametrize("kind", SHARING)
def test_a_kind_answers_raw_rows_as_its_network_does(
    kind: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(data.parent / "cache"))
    source, plug = ("mmoe", "selected") if kind == "selected" else (kind, None)
    automtl.retrain(
        source,
        sharing=plug,
        data=data,
        out=tmp_path / "run",
        runtime={"fast_dev_run": True},
        retrain={"batch_size": 256},
    )
    (folder,) = (tmp_path / "run" / "retrain").iterdir()
    plain = automtl.export(tmp_path / "run", "python", out=tmp_path / "plain")
    assert set(plain.parity.values()) == {0.0}, "bit for bit"
    served = automtl.export(tmp_path / "run", "onnx", out=tmp_path / "served").path
    command = [
        sys.executable,
        "-B",
        "-c",
        SCORE,
        str(data.parent / "rows.json"),
        str(tmp_path / "answers.npz"),
    ]
    done = subprocess.run(
        command, cwd=served, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found, expected = np.load(tmp_path / "answers.npz"), own_answers(folder)
    assert found.files == list(expected) == ["probs_income", "value_weeks", "probs_marital"]
    spread = (
        table(data.parent / "raw/census_income/census-income.data")["weeks_worked"]
        .astype(float)
        .std()
    )
    differences = {}
    for name, mine in expected.items():
        assert len(mine) == ROWS
        # a value is the network's output times the label's deviation plus its mean; near 0, where
        # the two cancel, that is its measure
        size = np.maximum(np.abs(mine), spread) if name.startswith("value") else 1.0
        differences[name] = float((np.abs(mine - found[name]) / size).max())
    (tmp_path / "differences.json").write_text(json.dumps(differences))
    assert max(differences.values()) <= 1e-5, differences
    if kind == "mome":  # eight masks a byte, beside one copy of the weights, as the run stores them
        assert (served / "model.onnx").stat().st_size < 1.2 * (
            folder / "checkpoint/best.safetensors"
        ).stat().st_size


def own_answers(folder: Path) -> dict[str, np.ndarray]:
    """What the network itself answers to the rows as the store holds them."""
    phase = PhaseDir(folder)
    session = session_of(phase, "cpu", Silent())
    net = load_net(phase, session).eval().requires_grad_(False)
    rows = session.store.rows("validation")
    given = arrays(rows, session.schema, np.arange(len(rows)))
    assert {"moves", "countries"} <= {field.name for field in session.schema.lists}
    answers = eager(Served(net, session.schema).eval(), given)
    return {
        name: answer.astype(np.float64)
        for name, answer in zip(names(session.schema)[1], answers, strict=True)
    }
