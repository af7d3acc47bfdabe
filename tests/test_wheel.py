"""The wheel, installed in an empty environment elsewhere, has all it ships: no checkout
beside it.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support import write_dataset

ROOT = Path(__file__).resolve().parents[1]
SITE = next(p for p in sys.path if p.endswith("site-packages"))
FOLDERS = ("automtl", "benchmarks", "search_spaces", "derived_archs")
BUILT_FROM = (*FOLDERS, "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


def call(*command, cwd, env=None):
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_wheel_runs_the_three_first_commands_on_a_users_own_csv(tmp_path):
    (tmp_path / "source").mkdir()
    for name in BUILT_FROM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / "source" / name)
    call(
        sys.executable, "-m", "pip", "wheel", "./source", "--no-deps", "-w", "wheels", cwd=tmp_path
    )
    [wheel] = (tmp_path / "wheels").glob("automtl-*.whl")
    shutil.rmtree(tmp_path / "source")
    venv.create(tmp_path / "venv", with_pip=True)
    call(tmp_path / "venv/bin/python", "-m", "pip", "install", "--no-deps", wheel, cwd=tmp_path)
    # the dependencies come from here; a folder on PYTHONPATH runs no .pth, so an editable automtl
    # in it stays unseen
    env = {
        **os.environ,
        "PYTHONPATH": SITE,
        "AUTOMTL_DATA_DIR": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    write_dataset(tmp_path / "mine")

    def automtl(*argv):
        return call(tmp_path / "venv/bin/automtl", *argv, cwd=tmp_path, env=env)

    assert "9.97e+29" in automtl("space", "automtl")
    automtl("retrain", "mmoe", "--data", "mine/tiny.yaml", "--out", "hand", "--fast-dev-run")
    automtl(
        "search", "mine/tiny.yaml", "--space", "automtl_small", "--out", "run", "--fast-dev-run"
    )
    where = call(
        tmp_path / "venv/bin/python",
        "-c",
        "import automtl; print(automtl.__file__)",
        cwd=tmp_path,
        env=env,
    )
    assert str(tmp_path / "venv") in where
    assert (tmp_path / "run/search/architecture.json").exists() and (
        tmp_path / "hand/retrain/mmoe-s0/results.json"
    ).exists()
