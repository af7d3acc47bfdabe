"""Make a golden run with the code at hand, for tests/test_older_files.py: `python
tests/golden/make.py tests/golden/format3`.

One folder per format that a release wrote; an older one is never made again, but by the code of its
time: `git archive before-K | tar -x -C /tmp/old`, and `PYTHONPATH=/tmp/old python
tests/golden/make.py ...` made format2.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

YAML = """\
name: golden
files: {train: rows.csv}
features:
  - {name: user, kind: categorical}
  - {name: tags, kind: multi, separator: "|"}
  - {name: price, kind: numeric, transform: log1p, missing: indicator}
tasks:
  - {name: click, label: click}
  - {name: spend, label: spend, kind: regression}
split: {kind: random, train: 0.6, validation: 0.2, test: 0.2}
"""
CHANGES = [
    "expert=[mlp(4), skip]",
    "interaction=[skip]",
    "num_experts=2",
    "num_blocks=1",
    "expert_dim=4",
    "embedding_dim=2",
    "towers=[4]",
]
SPACE = [word for change in CHANGES for word in ("--set", f"space.{change}")]
COMMANDS = [
    ["search", "golden.yaml", "--space", "automtl_small", "--out", "run", "--fast-dev-run", *SPACE],
    ["retrain", "run", "--fast-dev-run"],
    ["predict", "run", "rows.csv", "-o", "scores.parquet"],
    ["export", "run", "--format", "python", "-o", "served"],
    ["runs", "clean", ".", "--yes"],  # the supernet, which is most of the bytes
]


def write_rows(folder: Path) -> None:
    """The data set."""
    g = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"user": g.integers(0, 6, 120), "tags": g.choice(["a", "a|b", "b|c", ""], 120)}
    )
    rows["price"] = np.where(g.random(120) < 0.1, np.nan, g.gamma(2.0, size=120).round(2))
    rows["click"], rows["spend"] = (g.random(120) < 0.4).astype(int), g.normal(size=120).round(3)
    rows.to_csv(folder / "rows.csv", index=False)
    (folder / "golden.yaml").write_text(YAML)


def main(target: Path) -> None:
    """Make all of it in a passing folder, and put what is to be kept under its name."""
    from automtl.cli.main import main as automtl

    target = target.absolute()
    with tempfile.TemporaryDirectory() as place:
        os.environ["AUTOMTL_DATA_DIR"] = str(Path(place) / "cache")
        os.chdir(place)
        write_rows(Path(place))
        for words in COMMANDS:
            sys.argv = ["automtl", *words]
            try:
                automtl()
            except SystemExit as ended:
                if ended.code:
                    raise
        target.mkdir()
        for name in ("run", "scores.parquet", "served", "rows.csv", "golden.yaml"):
            shutil.move(Path(place) / name, target / name)
        shutil.move(Path(place) / "cache/prepared", target / "prepared")
        for path in target.rglob(".lock"):
            path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
