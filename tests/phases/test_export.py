"""`automtl export`: the folder, its README's code in a process without torch, predictions from it,
and what is refused.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import automtl
from automtl.errors import ArtifactError, ConfigError, DataError, EnvironmentFault, NumericalError
from automtl.exports import formats
from automtl.exports.parity import eager
from automtl.phases.finished.export import export
from automtl.phases.finished.predict import predict_frame
from automtl.runs.run_dir import one_phase
from tests.exports.nets import block
from tests.phases.test_predict import ROWS, SETTINGS, rows

BANNED = ["torch", "automtl", "pandas", "pyarrow", "scipy", "safetensors"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("exported")
    rows().to_csv(folder / "rows.csv", index=False)
    pd.DataFrame({"item": range(12), "brand": [f"b{i % 5}" for i in range(12)]}).to_csv(
        folder / "items.csv", index=False
    )
    source = "Made for tests; CC0 1.0 <script> | `x`"
    (folder / "served.yaml").write_text(json.dumps({**SETTINGS, "source": source}))
    data = {"dir": str(folder / "data")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMTL_DATA_DIR", data["dir"])
        automtl.retrain(
            "mmoe",
            data=folder / "served.yaml",
            out=folder / "run",
            retrain={"epochs": 1, "batch_size": 64},
        )
        yield folder / "run"


@pytest.fixture(scope="module")
def served(run: Path) -> Path:
    return export(run, "onnx").path


def test_the_folder_scores_a_row_where_torch_cannot_be_imported(served: Path) -> None:
    code = (
        "import sys; "
        f"sys.modules.update(dict.fromkeys({BANNED}))\n{block(served)}\nprint(sorted(set(sys.modules) & set({BANNED})))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=served, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()[:3]]
    assert names == ["probs_click", "value_spend", "probs_kind"]


def test_it_predicts_as_the_run_and_needs_nothing_else(
    run: Path, served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = rows(seed=4).assign(brand=lambda t: "b" + (t["item"] % 7).astype(str))
    frame.loc[:50, "user"] = 10_000
    frame.loc[40:90, "price"] = np.nan
    expected = predict_frame(run, frame, keep=["user"])
    moved = shutil.copytree(served, tmp_path / "elsewhere")
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "none"))
    found = predict_frame(moved, frame, keep=["user"])
    assert found.columns.tolist() == expected.columns.tolist() and len(found) == ROWS
    np.testing.assert_allclose(found["probs_click"], expected["probs_click"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found["value_spend"], expected["value_spend"], rtol=1e-5)
    np.testing.assert_allclose(
        np.stack(found["probs_kind"]), np.stack(expected["probs_kind"]), rtol=0, atol=1e-5
    )
    assert found["class_kind"].tolist() == expected["class_kind"].tolist()
    assert not (tmp_path / "none").exists()
    with pytest.raises(DataError, match="brand"):
        predict_frame(moved, rows())  # side tables stayed at home


def test_the_card_and_the_manifest(run: Path, served: Path) -> None:
    card, manifest = (
        (served / "README.md").read_text(),
        json.loads((served / "manifest.json").read_text()),
    )
    assert "Source and licence: Made for tests; CC0 1.0 ‹script› / 'x'" in card
    assert (
        "`hour` is the hour of `time`" in card
        and "blue, green, red" in card
        and "- seed: 0" in card
    )
    assert "hesitated" not in card
    results = json.loads(one_phase(run, "retrain").results.read_text())
    assert f"| click | validation | {results['validation']['tasks']['click']['rows']} |" in card
    listed = {p.relative_to(served).as_posix() for p in served.rglob("*") if p.is_file()} - {
        "manifest.json"
    }
    assert set(manifest["files"]) == listed and manifest["outputs"] == [
        "probs_click",
        "value_spend",
        "probs_kind",
    ]
    assert all(value <= 1e-5 for value in manifest["parity"].values())
    everything = b"".join(p.read_bytes() for p in served.rglob("*") if p.is_file())
    assert str(run.parent).encode() not in everything, "no path of the machine"


def test_a_changed_file_is_refused(served: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "vocabularies/0.jsonl"):
        copy = shutil.copytree(served, tmp_path / name.replace("/", "-"))
        (copy / name).write_bytes((copy / name).read_bytes()[:-1])
        with pytest.raises(ArtifactError, match=f"{name}: must be as it was written"):
            predict_frame(copy, rows())
        (copy / name).unlink()
        with pytest.raises(ArtifactError, match=f"{name}: must be there"):
            predict_frame(copy, rows())


def test_refusals_leave_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError,
        match="--format: must be one of onnx, pt2, python.*got onx; did you mean 'onnx'",
    ):
        export(run, "onx", out=tmp_path / "new")
    (tmp_path / "there").mkdir()
    with pytest.raises(ArtifactError, match="there: must not exist yet"):
        export(run, "onnx", out=tmp_path / "there")
    with pytest.raises(EnvironmentFault, match="no_such_library: must be installed for ONNX"):
        monkeypatch.setitem(
            formats.FORMATS,
            "onnx",
            formats.Format("ONNX", _wrong, "", "", needs=("no_such_library",)),
        )
        export(run, "onnx", out=tmp_path / "new")
    monkeypatch.setitem(formats.FORMATS, "onnx", formats.Format("ONNX", _wrong, "", ""))
    with pytest.raises(
        NumericalError, match="export, output 'probs_click': must answer as the network does"
    ):
        export(run, "onnx", out=tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def _wrong(folder: object, served: object) -> formats.Runner:
    return lambda features: [np.full(len(features["user"]), 2.0)] * 3


def test_a_gate_has_chosen_before_it_is_evaluated_and_the_card_has_those_figures(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = run.parent / "served.yaml"
    automtl.retrain(
        "dselect_k", data=data, out=tmp_path / "run", retrain={"epochs": 1, "batch_size": 64}
    )
    same = formats.Format(
        "nothing", lambda folder, served: lambda features: eager(served, features), "", ""
    )
    monkeypatch.setitem(formats.FORMATS, "onnx", same)
    card = (export(tmp_path / "run", "onnx").path / "README.md").read_text()
    results = json.loads(one_phase(tmp_path / "run", "retrain").results.read_text())
    assert f"{results['validation']['tasks']['click']['logloss']:.5f}" in card
    assert (
        results["sharing"]["binary_step"] is not None
        and max(results["sharing"]["experts_per_row"].values()) <= 2
    )


def test_plain_python(run: Path, tmp_path: Path) -> None:
    result = automtl.export(run, "python", out=tmp_path / "plain")
    assert set(result.parity.values()) == {0.0}
    code = f"import sys; sys.modules.update(dict.fromkeys({BANNED[1:]}))\n{block(result.path)}"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=result.path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and done.stdout.startswith("probs_click tensor(0."), done.stderr
    assert not list(result.path.rglob("__pycache__"))


@pytest.mark.slow
def test_an_exported_program(run: Path, tmp_path: Path) -> None:
    folder = export(run, "pt2", out=tmp_path / "program").path
    assert "unpickles" in (folder / "README.md").read_text()
    code = f"import sys; sys.modules.update(dict.fromkeys({BANNED[1:]}))\n{block(folder)}"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3, done.stderr
    with pytest.raises(ConfigError, match="must be an export in ONNX to predict with, got pt2"):
        predict_frame(folder, rows())
