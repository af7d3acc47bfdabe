"""The wheel, installed in an empty environment elsewhere with the tested pins, has all it ships: no
checkout beside it, and nothing that its own requirements do not bring.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.api.shop import shop
from tests.docs.blocks import blocks, write_clicks
from tests.support import write_dataset

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("automtl", "benchmarks", "search_spaces", "derived_archs")
BUILT_FROM = (*FOLDERS, "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
ROWS = 1500

pytestmark = pytest.mark.slow


def call(*command, cwd, env=None):
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=1200
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
    # the checkout must not be found by another way
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"AUTOMTL_DATA_DIR": str(here / "cache"), "OMP_NUM_THREADS": "1"}
    python = here / "venv/bin/python"
    pins = ROOT / "constraints.txt"
    call(python, "-m", "pip", "install", "-c", pins, f"{wheel}[onnx]", cwd=here, env=env)
    found = call(python, "-c", "import automtl; print(automtl.__file__)", cwd=here, env=env)
    assert Path(found.strip()).is_relative_to(here / "venv")
    yield here, env
    shutil.rmtree(here / "venv")  # 1.4 GB


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


@pytest.fixture
def program(elsewhere):
    """Runs a program of some ten lines from a file of its own, and gives what it prints."""
    here, env = elsewhere

    def run(name, text):
        text = textwrap.dedent(text).strip()
        assert len(text.splitlines()) <= 15
        (here / f"{name}.py").write_text(text)
        return call(here / "venv/bin/python", f"{name}.py", cwd=here, env=env)

    return run


@pytest.fixture(scope="module")
def home(elsewhere):
    """The folder of the programs, with the rows of a shop as they came in time."""
    here, _ = elsewhere
    place = np.arange(ROWS)
    rows = shop(ROWS).assign(item=place * 7 % 40, ts=1_700_000_000 + 60 * place)
    rows.to_csv(here / "shop.csv", index=False)
    rows[["user", "item", "price", "ts"]].tail(20).to_csv(here / "new_rows.csv", index=False)
    return here


def test_a_sharing_module_stands_in_a_network_of_ones_own(program):
    told = program(
        "modules",
        """
        import torch
        from torch import nn
        from automtl import nn as mtl
        h, labels = torch.randn(16, 64), torch.randint(0, 2, (2, 16)).float()
        experts = [nn.Sequential(nn.Linear(64, 32), nn.ReLU()) for _ in range(4)]
        towers = [nn.Linear(32, 1), nn.Linear(32, 1)]
        share = mtl.DSelectK(experts, width_in=64, tasks=2, k=2)
        click, buy = share(h)
        logits = [tower(own)[:, 0] for tower, own in zip(towers, (click, buy))]
        bce = nn.functional.binary_cross_entropy_with_logits
        loss = sum(map(bce, logits, labels)) + share.auxiliary_loss()
        loss.backward()
        print(tuple(click.shape), tuple(buy.shape), bool(loss.isfinite()))
        print(all(weight.grad is not None for weight in share.parameters()))
        """,
    )
    assert told.splitlines() == ["(16, 32) (16, 32) True", "True"]


def test_what_is_searched_is_trained_judged_asked_and_handed_over(program, home):
    told = program(
        "acting",
        """
        import pandas as pd
        import torch
        import automtl
        df, new_df = pd.read_csv("shop.csv"), pd.read_csv("new_rows.csv")
        data = automtl.Dataset.from_frame(
            df, ids=["user", "item"], numbers=["price"], tasks=["click", "buy"], split="time:ts"
        )
        result = automtl.search(data, space="automtl_small", budget="60000rows")
        models = result.retrain(seeds=range(3), sharing="adatt")
        models.evaluate().frame.to_csv("evaluated.csv"), models.history.to_csv("history.csv")
        models.predict(new_df).to_csv("answers.csv"), models.export("served", format="onnx")
        print(isinstance(models[0].net, torch.nn.Module), models.labels)
        print(automtl.compare(models, automtl.retrain("mmoe", data, seeds=range(3))))
        """,
    )
    labels = [f"adatt-s{seed}" for seed in range(3)]
    assert told.startswith(f"True {labels}\n")
    assert re.search(r": adatt: .* data-mmoe-1: mmoe .*\(p = 0\.\d+, 3 retrain seeds", told)
    history = pd.read_csv(home / "history.csv")
    assert history.model.unique().tolist() == labels
    assert history.groupby("model").best.any().all()  # epochs better than those before
    answers = pd.read_csv(home / "answers.csv", index_col=0)
    assert (
        answers.shape == (20, 2) and answers.ge(0).all(axis=None) and answers.nunique().gt(1).all()
    )
    assert pd.read_csv(home / "evaluated.csv").seeds.tolist() == [3, 0]  # of them, of the constant
    assert (home / "served/model.onnx").stat().st_size > 10_000


def test_the_readmes_lines_run(program, home):
    write_clicks(home)
    [block] = [b for b in blocks("README.md") if b.info == "python"]
    assert 'budget="1e6rows"' in block.text
    told = program("readme", block.text.replace('budget="1e6rows"', 'budget="60000rows"'))
    assert "shop" in told and "mmoe" in told and "constant" in told
    assert (home / "model").is_dir() and (home / "runs/shop/search/architecture.json").exists()


def test_a_search_in_a_loop_of_ones_own(program, home):
    told = program(
        "loop",
        """
        import pandas as pd
        import automtl
        df = pd.read_csv("shop.csv")
        data = automtl.Dataset.from_frame(df, ids=["user", "item"], tasks=["click", "buy"])
        net = automtl.Supernet("automtl_small", data.schema)
        darts = automtl.Darts(net, steps=4)
        batches = zip(data.batches("alpha", 64).cycle(), data.batches("fit", 64).cycle())
        for _, (alpha_batch, fit_batch) in zip(range(4), batches):
            darts.step(alpha_batch, fit_batch)
        found = darts.derive()
        print([task.name for task in found.tasks], [field.name for field in found.fields])
        print(len(found.experts), [len(experts) > 0 for experts in found.chosen])
        """,
    )
    assert told.splitlines() == ["['click', 'buy'] ['user', 'item']", "4 [True, True]"]


def test_studies_reports_tables_and_the_rules_of_a_module_of_ones_own(program, home):
    told = program(
        "judging",
        """
        import pandas as pd
        import automtl
        class SharpMMoE(automtl.GatedNetwork):
            kind = "sharp_mmoe"
            def unit_weights(self, units, gate_inputs):
                return super().unit_weights(units, [2 * x for x in gate_inputs])
        automtl.register_sharing(SharpMMoE, like="mmoe")
        automtl.testing.check_sharing(SharpMMoE)
        data = automtl.Dataset.from_frame(pd.read_csv("shop.csv"), ids=["user"], tasks=["click", "buy"])
        brief = {"fast_dev_run": True}
        study = automtl.tune(data, space="automtl_small", trials=2, runtime=brief)
        print(study.frame["state"].tolist(), len(automtl.benchmarks.load("movielens_100k")) > 100)
        models = automtl.retrain("mmoe", data, sharing="sharp_mmoe", runtime=brief)
        print(automtl.report(models, path="shop.html"))
        """,
    )
    assert told.splitlines() == ["['complete', 'complete'] True", "shop.html"]
    page = (home / "shop.html").read_text()
    assert "sharp_mmoe" in page and page.rstrip().endswith("</html>")
