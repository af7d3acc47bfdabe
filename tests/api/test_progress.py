"""Progress in terminals and notebooks, and silence elsewhere."""

import io
import math
import re
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

import automtl
from automtl.api import _progress
from automtl.api._progress import Listening, NotebookProgress, terminal_progress
from automtl.errors import ConfigError
from automtl.phases.run.reporter import Silent
from automtl.progress import TerminalReporter
from automtl.training.loop import StepEvent
from automtl.training.losses import Losses
from tests.api.shop import BRIEF

NOTHING = Losses(torch.tensor(0.25), torch.zeros(2), torch.ones(2), ())


def step(epoch, number, steps=10):
    return StepEvent(epoch, number, steps, 100, NOTHING)


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)


def test_a_terminal_has_a_bar_and_lines_above_it(terminal):
    with terminal_progress(terminal) as progress:
        progress.say("go on with --resume")
        for number in range(10):
            progress.step(step(0, number), 2)
        progress._bar.refresh()
    shown = terminal.file.getvalue()
    assert "go on with resume=True" in shown and "epoch 1 of 2" in shown and "50%" in shown
    assert "rows/s" in shown and "batch 0.2500" in shown


def test_importance_tells_each_field(models, terminal, monkeypatch):
    monkeypatch.setattr(_progress, "_own", lambda verbose: terminal_progress(terminal))
    whole = models[0].importance(repeats=2)
    shown = " ".join(terminal.file.getvalue().split())
    assert "shuffling the values of each field 2 times among 35 validation rows" in shown
    assert f"fields of {models[0].label}" in shown and "100%" in shown and "batch" not in shown
    assert " left" in shown and ">" not in shown
    few = models[0].importance(repeats=2, rows=20)
    assert "35 validation rows, 20 of them drawn evenly" in terminal.file.getvalue()
    width = [(table.high - table.low).mean() for table in (whole, few)]
    assert width[1] > width[0]


def test_importance_is_silent_where_told(models, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    models.importance(repeats=1, verbose=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "least"), [("repeats", 1), ("rows", 2)])
@pytest.mark.parametrize("value", [2.5, "3", None, True, math.nan])
def test_importance_takes_whole_numbers(models, name, least, value):
    for wrong in (value, least - 1, -7):
        rule = f"{name}: must be a whole number, at least {least}, got {wrong!r}"
        with pytest.raises(ConfigError, match=f"^{re.escape(rule)}$"):
            models[0].importance(**{name: wrong})
    assert len(models.importance(**{"repeats": 1, "rows": 10, name: np.int64(least)})) == 4


def test_a_report_takes_whole_numbers(models, tmp_path):
    page = tmp_path / "page.html"
    for given, said in (
        ({"importance": 2.5}, "importance: must be a whole number, at least 0, got 2.5"),
        ({"importance": -1}, "importance: must be a whole number, at least 0, got -1"),
        (
            {"importance": 2, "importance_rows": 1.5},
            "importance_rows: must be a whole number, at least 2, got 1.5",
        ),
    ):
        with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
            automtl.report(models, path=page, **given)
    assert not page.exists()


def test_the_bar_is_of_all_seeds(terminal):
    with terminal_progress(terminal) as progress:
        progress.training(0, 2)
        progress.step(step(1, 9), 2)
        progress.training(1, 2)
        progress.step(step(0, 0), 2)
        assert [task.completed for task in progress._bar.tasks] == [0.525]


class Display:
    """IPython's display, with a handle that keeps what it is given."""

    def __init__(self):
        self.shown = []

    def __call__(self, thing, display_id):
        assert display_id is True
        self.shown.append(thing._repr_html_())
        return SimpleNamespace(update=lambda other: self.shown.append(other._repr_html_()))


@pytest.fixture
def notebook(monkeypatch):
    display, module = Display(), ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return display


def test_a_notebook_has_a_bar_in_its_cell(notebook, data, home, tmp_path):
    automtl.retrain("mmoe", data, out=tmp_path / "r", **BRIEF)
    last = notebook.shown[-1]
    assert "<progress" in last and "training mmoe, seed 0" in last
    assert "epoch 2" in last and "validation 0." in last and "constant 0." in last


def test_what_a_notebook_shows_is_text(notebook):
    progress = NotebookProgress(notebook)
    progress.say("<script>alert(1)</script>")
    assert "<script>" not in notebook.shown[-1]
    for line in range(100):
        progress.say(f"line {line}")
    assert "line 99" in notebook.shown[-1] and "line 80<" not in notebook.shown[-1]


def test_who_is_told(monkeypatch, notebook):
    kinds = lambda **given: type(_progress._own(**given))  # noqa: E731
    assert kinds(verbose=None) is NotebookProgress and kinds(verbose=False) is Silent
    monkeypatch.delitem(sys.modules, "ipykernel")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert kinds(verbose=None) is Silent and kinds(verbose=True) is TerminalReporter
    sys.stderr.isatty = lambda: True
    assert kinds(verbose=None) is TerminalReporter


def test_a_reporter_of_ones_own_is_told_in_place_of_a_bar(notebook, data, home, tmp_path):
    lines = []

    class Mine(Silent):
        def say(self, text):
            lines.append(text)

    automtl.retrain("mmoe", data, out=tmp_path / "r", reporter=Mine(), **BRIEF)
    assert any("seed 0" in line for line in lines) and notebook.shown == []


def test_the_bar_ends_with_an_error(monkeypatch, terminal):
    monkeypatch.setattr(_progress, "_own", lambda verbose: terminal_progress(terminal))
    with pytest.raises(ZeroDivisionError), Listening(True) as told:
        told.step(step(0, 0), 2)
        raise ZeroDivisionError
    assert terminal.file.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in terminal.file.getvalue()
