"""The `>>>` examples of the public modules run and say what is printed there."""

import doctest
import inspect
import re

import pytest
import torch
from torch import nn

from automtl import nn as mtl
from automtl.sharing.base import SharingModule
from tests.nn.modules import CLASSES

MODULES = [
    name
    for name in mtl.__all__
    if inspect.isclass(getattr(mtl, name)) and issubclass(getattr(mtl, name), nn.Module)
]


def examples(name: str) -> doctest.DocTest:
    """The examples in the docstring of a public name; "" the room's own."""
    home = getattr(mtl, name) if name else mtl
    names = {"torch": torch, "nn": nn, "mtl": mtl}
    [found] = doctest.DocTestFinder(recurse=False).find(home, name or "automtl.nn", globs=names)
    return found


@pytest.mark.parametrize("name", ["", *mtl.__all__])
def test_the_examples_of_a_public_name_run(name: str) -> None:
    test, said = examples(name), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        result = doctest.DocTestRunner().run(test, out=said.append)
    assert result.failed == 0, "".join(said)
    assert result.attempted >= (4 if name in [*MODULES, "Darts"] else 1)
    assert (
        result.skipped == 0 if hasattr(result, "skipped") else "SKIP" not in (test.docstring or "")
    )


def test_there_are_many() -> None:
    assert sum(len(examples(name).examples) for name in mtl.__all__) >= 120


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is(name: str) -> None:
    text = inspect.getdoc(getattr(mtl, name)) or ""
    assert "Shape:" in text and re.search(r"\w+\s?=|->", text)
    assert "Args:" in text
    spelled = [p for p in inspect.signature(getattr(mtl, name).__init__).parameters if p != "self"]
    assert [p for p in spelled if not re.search(rf"^    {p}: ", text, re.MULTILINE)] == []
    if name in {cls.__name__ for cls in CLASSES.values()} | {"Supernet"}:
        assert re.search(
            r"Source: .*(19|20)\d\d|Source: .*anonymous|Source: a baseline", text, re.DOTALL
        )


def test_a_wrong_example_fails() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner().run(test, out=lambda _: None).failed == 1


def test_every_kind_is_there() -> None:
    assert all(issubclass(cls, SharingModule) for cls in CLASSES.values())
    assert {cls.__name__ for cls in CLASSES.values()} <= set(mtl.__all__)
