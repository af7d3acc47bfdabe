"""The wheel, installed in an empty environment elsewhere, has all it ships: no checkout
beside it.
"""

import os
import shutil
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import pytest

from tests.docs.blocks import blocks, write_clicks
from tests.support import write_dataset

ROOT = Path(__file__).resolve().parents[1]
SITES = os.pathsep.join(p for p in sys.path if p.endswith("site-packages"))
FOLDERS = ("automtl", "benchmarks", "search_spaces", "derived_archs")
BUILT_FROM = (*FOLDERS, "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


def call(*command, cwd, env=None):
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with an environment of its own, the wheel installed in it, and what commands run
    with.
    """
    here = tmp_path_factory.mktemp("elsewhere")
    (here / "source").mkdir()
    for name in BUILT_FROM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, here / "source" / name)
    call(sys.executable, "-m", "pip", "wheel", "./source", "--no-deps", "-w", "wheels", cwd=here)
    [wheel] = (here / "wheels").glob("automtl-*.whl")
    shutil.rmtree(here / "source")
    venv.create(here / "venv", with_pip=True)
    call(here / "venv/bin/python", "-m", "pip", "install", "--no-deps", wheel, cwd=here)
    # the dependencies come from here; a folder on PYTHONPATH runs no .pth, so an editable automtl
    # in it stays unseen
    env = {
        **os.environ,
        "PYTHONPATH": SITES,
        "AUTOMTL_DATA_DIR": str(here / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    return here, env


@pytest.mark.slow
def test_the_wheel_runs_the_three_first_commands_on_a_users_own_csv(elsewhere):
    here, env = elsewhere
    write_dataset(here / "mine")

    def automtl(*argv):
        return call(here / "venv/bin/automtl", *argv, cwd=here, env=env)

    assert "9.97e+29" in automtl("space", "automtl")
    automtl("retrain", "mmoe", "--data", "mine/tiny.yaml", "--out", "hand", "--fast-dev-run")
    automtl(
        "search", "mine/tiny.yaml", "--space", "automtl_small", "--out", "run", "--fast-dev-run"
    )
    assert (here / "run/search/architecture.json").exists()
    assert (here / "hand/retrain/mmoe-s0/results.json").exists()


def readme_program():
    """The README's own lines; its search may cost little."""
    [block] = [b for b in blocks("README.md") if b.info == "python"]
    assert 'budget="1e6rows"' in block.text and len(block.text.splitlines()) <= 14
    return block.text.replace('budget="1e6rows"', 'budget="60000rows"')


PROGRAMS = {
    "modules": """
        import torch
        from torch import nn
        from automtl import nn as mtl
        experts = [nn.Sequential(nn.Linear(64, 32), nn.ReLU()) for _ in range(4)]
        share = mtl.DSelectK(experts, width_in=64, tasks=2, k=2)
        click, buy = share(torch.randn(16, 64))
        loss = click.square().mean() + buy.square().mean() + share.auxiliary_loss()
        loss.backward()
        print(click.shape, buy.shape)
    """,
    "acting": readme_program,
    "loop": """
        import pandas as pd
        import automtl
        data = automtl.Dataset.from_frame(
            pd.read_csv("clicks.csv"), ids=["user_id", "item_id"], tasks=["clicked", "purchased"]
        )
        net = automtl.Supernet("automtl_small", data.schema)
        darts = automtl.Darts(net, steps=4)
        for _, alpha, fit in zip(
            range(4), data.batches("alpha", 64).cycle(), data.batches("fit", 64).cycle()
        ):
            darts.step(alpha, fit)
        print(darts.derive().interaction)
    """,
    "judging": """
        import automtl
        table = automtl.benchmarks.load("movielens_100k")
        models = automtl.open("runs/shop").models
        print(automtl.compare(models, automtl.open("runs/data-mmoe-1")))
        print(automtl.report("runs/shop", path="shop.html"), len(table))
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_ten_lines_of_python_run_where_nothing_but_the_wheel_is(name, elsewhere):
    here, env = elsewhere
    if not (here / "clicks.csv").exists():
        write_clicks(here)
    program = PROGRAMS[name]
    text = program() if callable(program) else textwrap.dedent(program)
    assert len(text.strip().splitlines()) <= 14
    where = "import automtl; print(automtl.__file__)\n"
    told = call(here / "venv/bin/python", "-c", where + text, cwd=here, env=env)
    assert str(here / "venv") in told and len(told.splitlines()) > 1
