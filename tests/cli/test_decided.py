"""What a search decided is said first: on the terminal, in --json, by show, status and the report."""

import json
from pathlib import Path

import pytest

from automtl.cli import console
from automtl.cli._search_screen import legend
from automtl.runs.decided import block_name
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir
from automtl.spaces.architecture import Architecture
from tests.cli.test_errors import SMALL, here, run  # noqa: F401 # a fixture

SEARCH = ["search", "data/tiny.yaml", "--space", "automtl_small", *SMALL]


@pytest.fixture
def searched(here, capfd):  # noqa: F811
    assert run([*SEARCH, "--out", "run"]) == 0
    return here, capfd.readouterr()


def test_a_search_says_first_that_nothing_is_decided(searched, capfd, monkeypatch):
    monkeypatch.setattr(console._out, "width", 300)
    _, said = searched
    first = said.out.splitlines()[0]
    assert first.startswith("nothing is decided, of ") and "no candidate was trained alone" in first
    assert "searched architecture (done" in said.err and "found" not in said.out + said.err
    assert "--set search.selection=race" in said.err
    phase = RunDir(Path("run")).search
    held = list(Architecture.load(phase.architecture).provenance["decisions"])
    assert held == Manifest.read(phase.manifest).values["decisions"]
    lines = phase.read_metrics()
    assert [d["choice"] for d in lines[-1]["decisions"]] == [d["choice"] for d in held]
    assert run(["status", "run"]) == 0
    assert "search: nothing is decided" in capfd.readouterr().err
    assert run(["status", "run", "--full"]) == 0
    said = capfd.readouterr().out
    choices = ["loss on B (95%, adjusted)", *(block_name(d["choice"]) for d in held)]
    assert all(map(said.__contains__, choices)), "a line per choice"
    assert "to decide more  search with" in said
    assert run(["status", "run", "--json"]) == 0
    [told] = json.loads(capfd.readouterr().out)
    assert told["decisions"] == held and list(told)[1] == "decided"
    assert run(["show", "run", "-o", "it.svg"]) == 0
    said = capfd.readouterr()
    assert said.err.startswith("nothing is decided") and all(map(said.out.__contains__, choices))
    assert run(["report", "run", "-o", "it.html"]) == 0
    page = Path("it.html").read_text()
    verdict = page[page.index('<div class="verdict">') :]
    assert verdict.index("nothing is decided") < verdict.index("is derived and not trained")
    assert "found by the search" not in page and "found on" not in page


def test_json_begins_with_the_decisions_and_unmet_is_5(here, capfd):  # noqa: F811
    assert run([*SEARCH, "--out", "run", "--json", "--require-decided"]) == 5
    said = capfd.readouterr()
    told = json.loads(said.out)
    assert list(told)[:2] == ["decided", "decisions"]
    assert told["decided"].startswith("nothing is decided")
    assert "must have decided a choice (--require-decided), got that nothing is decided" in said.err
    assert RunDir(Path("run")).search.state() == "done"


def test_one_decided_choice_meets_it(here, capfd, monkeypatch):  # noqa: F811
    from automtl.runs import decided

    monkeypatch.setattr(decided, "count", lambda decisions, verdict: 1)
    assert run([*SEARCH, "--out", "run", "--json", "--require-decided"]) == 0


@pytest.mark.parametrize(
    ("decisions", "words"),
    [
        ([("decided", None)], "! decided"),
        ([("not decided", "idle"), ("decided", None)], "! decided"),  # no mark stands beside it
        ([("not decided", None)], "? not decided against the runner-up"),
        (
            [("not decided", None), ("tied", None), ("decided", None)],
            "! decided, ~ tied with, ? not decided against the runner-up",
        ),
        ([("not decided", "idle")], ""),
    ],
)
def test_the_legend_tells_the_marks_that_are_there(decisions, words):
    """Where all was decided it said "! decided the runner-up"."""
    assert legend([{"verdict": verdict, "reason": why} for verdict, why in decisions]) == words
