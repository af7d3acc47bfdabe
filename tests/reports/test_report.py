"""The report as text: complete, self-contained, escaped, and open to runs in any state. The browser
is in test_browser.py.
"""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import Markup

from automtl.cli._report import run as report_command
from automtl.errors import ArtifactError, ConfigError
from automtl.reports.load import load_run, load_runs
from automtl.reports.panels._architecture import architecture_panel
from automtl.reports.panels._panels import PANELS, Panel
from automtl.reports.panels._record import cost_panel
from automtl.reports.panels.page import report
from automtl.reports.tables import models
from tests.reports.runs import write_front, write_run, write_search, write_study

HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Elements with their attributes, visible text, and whether every tag is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.words, self.scripts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] in ("script", "style") else self.words).append(
            data
        )

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        write_run(folder / "first", seed=1),
        write_run(folder / "second", seeds=(0,), seed=2, experts=3),
    ]
    write_search(folder / "third", seed=3)
    write_front(folder / "first")
    write_study(folder / "first")
    return report([load_run(run) for run in [*runs, folder / "third"]])


def test_every_panel_is_there_and_the_verdict_is_first(whole):
    page = Page(whole)
    sections = [
        a["id"]
        for tag, a in page.elements
        if tag == "section" and "panel" in (a.get("class") or "")
    ]
    wanted = [p.id for p in PANELS if p.id != "importance"]  # that is made where it is asked for
    assert sections == wanted and sections[0] == "verdict"
    assert re.search(r"No difference is shown between .* on the test rows of clicks", page.text)
    assert "cannot be shown" not in page.text


def test_names_in_the_page_are_unique(whole):
    page = Page(whole)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    uses = re.findall(r'(?:href="|url\()#([^")]+)', whole)
    assert set(uses) <= set(ids)


def test_nothing_is_asked_of_any_network(whole):
    page = Page(whole)
    addresses = [
        a[key]
        for tag, a in page.elements
        for key in ("src", "href", "xlink:href", "action", "srcset", "data")
        if key in a
    ]
    assert all(address.startswith(("#", "data:,")) for address in addresses)
    assert set(re.findall(r"https?://[^\s\"'<)]+", whole)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in whole and not re.search(r"url\((?!#)", whole)
    [policy] = [
        a["content"]
        for tag, a in page.elements
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    [script] = re.findall(r"<script>(.*?)</script>", whole, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'") and f"script-src 'sha256-{digest}'" in policy
    assert not any(name.startswith("on") for _, a in page.elements for name in a), (
        "no inline handlers, which the policy would stop"
    )


def test_users_names_are_text_wherever_they_appear(tmp_path):
    names = (HOSTILE, '" onmouseover="alert(2)', "{{ 7*7 }}", "a\u202eb\x07")
    run = write_run(tmp_path / "<img src=x onerror=alert(3)>", names=names, seeds=(0, 1))
    config = run / "search" / "config.yaml"
    config.write_text(config.read_text() + "# </pre><script>alert(4)</script>\n")
    text = report([load_run(run)])
    page = Page(text)
    assert [tag for tag, _ in page.elements].count("script") == 1 and not any(
        tag == "img" for tag, _ in page.elements
    )
    assert not any(name.startswith("on") for _, a in page.elements for name in a)
    assert HOSTILE in page.text and "{{ 7*7 }}" in page.text and "alert(4)" in page.text
    assert "\u202e" not in text and "\x07" not in text
    labels = [a["aria-label"] for _, a in page.elements if "aria-label" in a]
    assert any(HOSTILE in label for label in labels) and html.escape(HOSTILE) in text


STATES = {
    "running": "is not finished",
    "interrupted": "was interrupted",
    "failed": "no space left on device",
    "time_limited": "reached its time limit",
}


@pytest.mark.parametrize("finished", [0, 2])
@pytest.mark.parametrize("state", STATES)
def test_runs_in_any_state_open_and_say_what_they_are(tmp_path, state, finished):
    write_search(tmp_path / "run", state=state, finished=finished, error="no space left on device")
    text = Page(report([load_run(tmp_path / "run")])).text
    assert STATES[state] in text and "cannot be shown" not in text
    assert ("Alphas over epochs" in text) == (finished > 0)


DAMAGE = {
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "other": lambda path: path.write_text('{"epoch": []}\n["x"]\n'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_remarks_and_the_rest_opens(tmp_path, damage):
    """Each file of a search and of a retrain alone, damaged: the report opens and still shows the
    other phase.
    """
    run = write_run(tmp_path / "run", seeds=(0,), experts=2)
    for path in sorted(p for p in run.rglob("*") if p.is_file()):
        if damage == "gone" and path.name == "manifest.json":
            continue  # without it the folder is no phase
        before = path.read_bytes()
        DAMAGE[damage](path)
        view = load_run(run)
        panels = tuple(
            panel
            for panel in PANELS
            if panel.id in ("verdict", "tasks", "cost", "config", "reproduce", "entropy")
        )
        page = Page(report([view], panels))
        remarks = [remark for phase in view.phases for remark in phase.remarks]
        if damage in ("half", "empty") and path.suffix in (".json", ".parquet"):
            assert (
                any(remark.startswith(path.name) for remark in remarks) and path.name in page.text
            )
        assert "Verdict" in page.text
        path.write_bytes(before)


def test_a_later_issue_adds_a_panel_in_one_line(tmp_path):
    write_search(tmp_path / "run")
    mine = Panel(
        "mine", "Of my own", lambda runs: Markup("<p>{}</p>").format(runs[0].name + " <b>")
    )
    broken = Panel("broken", "Broken", lambda runs: {}["nothing"])
    empty = Panel("empty", "Empty", lambda runs: None)
    text = report([load_run(tmp_path / "run")], (mine, broken, empty))
    assert "<p>run &lt;b&gt;</p>" in text and "cannot be shown" in text and "Empty" not in text


def test_runs_of_one_name_are_told_apart_and_a_phase_stands_alone(tmp_path):
    runs = [
        write_run(tmp_path / place / "run", seeds=(seed,), seed=seed)
        for seed, place in enumerate("ab")
    ]
    views = load_runs([*runs, runs[0]])
    assert [view.name for view in views] == [str(run) for run in runs]
    assert [model.name for model in models(views)] and len(models(views)) == 2
    [phase] = load_run(runs[0] / "retrain" / "selected-s0").phases
    assert (phase.run, phase.name, phase.label, phase.seed) == ("run", "selected-s0", "selected", 0)


def test_the_command_writes_beside_the_run_and_refuses_other_endings(tmp_path):
    run = write_run(tmp_path / "run", seeds=(0,))
    report_command([run], None)
    assert Page((run / "report.html").read_text()).text.startswith("run")
    with pytest.raises(ConfigError, match=r"must end in \.html"):
        report_command([run], Path("x.pdf"))
    with pytest.raises(ArtifactError, match="no such folder"):
        report_command([tmp_path / "absent"], None)
    assert "par." in (run / "report.html").read_text(), "the command counts the parts"


def test_weights_of_what_was_drawn_are_not_told(tmp_path):
    """ "Margin 1.0000" stood beside a draw that nothing had decided."""
    write_search(tmp_path / "a")
    run = load_run(tmp_path / "a")
    learned = str(architecture_panel([run]))
    assert "and their weights" in learned and "margin" in learned and ", weights " in learned
    [phase] = run.phases
    weighed = phase.architecture.choices.items()
    drawn = {
        name: {one: float(one == max(own, key=own.get)) for one in own} for name, own in weighed
    }
    phase = replace(phase, architecture=phase.architecture.evolve(choices=drawn))
    told = str(architecture_panel([replace(run, phases=[phase])]))
    assert "for its candidates. Choose" in told and "drawn: no weights were learned" in told
    assert "margin" not in told and "weights " not in told.replace("no weights were", "")
    assert all(f">{one}</th>" in told for own in drawn.values() for one in own)


def test_what_was_computed_is_told_of_a_search(tmp_path):
    write_run(tmp_path / "a")
    told = str(cost_panel([load_run(tmp_path / "a")]))
    cells = re.findall(r'<td class="num">(.*?)</td>', told)
    assert cells[1] == "400k" and cells[3:5] == ["4.6T", "789"]
    cost = tmp_path / "a/search/cost.json"
    held = json.loads(cost.read_text())
    for absent in ({"flops_spent": None, "reference_seconds": None}, {}):
        rest = {k: v for k, v in held.items() if k not in ("flops_spent", "reference_seconds")}
        cost.write_text(json.dumps({**rest, **absent}))
        told = str(cost_panel([load_run(tmp_path / "a")]))
        assert re.findall(r'<td class="num">(.*?)</td>', told)[3:5] == ["-", "-"]
