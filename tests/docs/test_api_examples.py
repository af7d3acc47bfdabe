"""The `>>>` examples of what Python users call run and say what is printed there."""

import doctest
import subprocess
import sys

import pandas as pd
import pytest

import automtl
from automtl import api
from tests.api.shop import BRIEF, DARTS, SPACE, shop


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a search, its models and a hand-made one; what examples may name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("examples"))
        patch.setenv("AUTOMTL_DATA_DIR", str(tmp_path_factory.mktemp("cache")))
        rows = shop()
        rows.to_csv("shop.csv", index=False)
        data = automtl.Dataset.from_frame(
            rows, ids=["user"], numbers=["price"], tasks=["click", "buy"], name="shop"
        )
        found = automtl.search(data, space=SPACE, out="runs/mine", search=DARTS, **BRIEF)
        models = automtl.retrain(found, seeds=range(2), **BRIEF)
        plain = automtl.retrain("shared_bottom", data, seeds=range(2), out="runs/bottom", **BRIEF)
        yield {"automtl": automtl, "pd": pd, "rows": rows, "data": data} | {
            "found": found,
            "models": models,
            "plain": plain,
        }


def examples(name):
    """The examples of a public name and of its methods."""
    found = doctest.DocTestFinder().find(getattr(automtl, name), name)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", api.__all__)
def test_the_examples_of_a_public_name_run(name, world):
    said, tests = [], examples(name)
    assert tests, f"{name} has no example"
    for test in tests:
        test.globs = dict(world)
        result = doctest.DocTestRunner().run(test, out=said.append)
        assert result.failed == 0, "".join(said)


def test_nothing_is_skipped():
    assert [n for n in api.__all__ for t in examples(n) if "+SKIP" in t.docstring] == []


def test_every_public_name_is_listed_before_it_is_imported():
    fresh = [sys.executable, "-c", "import automtl; print(*dir(automtl))"]
    listed = subprocess.run(fresh, capture_output=True, text=True, check=True).stdout.split()
    assert {*automtl.__all__} <= {*listed}
