"""Names of strangers: escaped in HTML, SVG, Python, Markdown, terminals and file names, whatever
they are.
"""

import ast
import re
import unicodedata
import xml.etree.ElementTree as xml
from html.parser import HTMLParser
from types import SimpleNamespace

import optuna
import pytest
from hypothesis import strategies as st

from automtl.cli.console import plain
from automtl.exports._expressions import identifier, wrapped
from automtl.exports._plain import _quoted
from automtl.exports.card import _escaped
from automtl.phases.retrain.plan import _safe
from automtl.phases.tune._study import Study
from automtl.phases.tune.storage import Storage
from automtl.reports.drawing import paint
from automtl.reports.drawing.embed import _opening, fill
from automtl.reports.drawing.scene import Label, Scene
from automtl.runs.loggers import mlflow_name
from automtl.strict import printable
from tests.fuzz.damage import HOSTILE, NAMES
from tests.fuzz.fuzz import fuzz

HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data):
        self.text += data


PLAIN = Tags(str(fill("broken.html", error="x"))).tags


@fuzz(name=NAMES)
def test_a_name_shows_as_text_and_nothing_else(name):
    terminal = plain(name, keep="")
    assert not any(unicodedata.category(c) in HIDDEN for c in terminal)
    page = Tags(str(fill("broken.html", error=name)))
    assert page.tags == PLAIN and not any(
        unicodedata.category(c) in HIDDEN for c in page.text.strip()
    )
    opened = xml.fromstring(_opening(1, 1, name) + "</svg>")
    assert (
        list(opened) == []
        and "onerror" not in opened.attrib
        and len(opened.get("aria-label")) <= 300
    )
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,59}", _safe(name)), "a folder's name"
    assert re.fullmatch(r"[\w. /-]{0,250}", mlflow_name(name), re.ASCII)
    said = _escaped(name)
    assert not set(said) & set("|`<>") and not any(unicodedata.category(c)[0] == "C" for c in said)


@fuzz(names=st.lists(NAMES, min_size=1, max_size=4))
def test_a_name_is_never_code_of_a_written_model(names):
    line = f"x = [features[name] for name in [{', '.join(map(_quoted, names))}]]"
    text = "\n".join(wrapped(line, ""))
    assert ast.dump(ast.parse(text)) == ast.dump(ast.parse(line))
    found = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    assert found == names and all(c.isprintable() for c in text.replace("\n", ""))
    assert printable("\u202e\n", keep="\n") == "\\U0000202e\n"
    for name in names:
        assert identifier(name).isidentifier() and identifier(name).isascii()


@pytest.mark.parametrize(
    "name", [name for name in HOSTILE if "\0" not in name], ids=lambda name: ascii(name)[:20]
)
def test_a_picture_holds_a_name_as_text(name):
    from automtl.reports.drawing import render
    from automtl.reports.drawing.text import clean

    label = Label(clean(name), 10, 10, 12)
    figure = paint(Scene(width=200, height=50, cards=(), labels=(label,), rects=(), wires=()))
    root = xml.fromstring(render(figure, SimpleNamespace(suffix=".svg")))
    assert {node.tag.rpartition("}")[2] for node in root.iter()} <= {
        "svg",
        "metadata",
        "RDF",
        "Work",
        "type",
        "creator",
        "Agent",
        "title",
        "format",
        "defs",
        "style",
        "g",
        "path",
        "text",
        "tspan",
    }


@pytest.mark.parametrize(
    "name",
    [
        "a?b#c%41",
        "'; DROP TABLE studies; --",
        "\N{PARTY POPPER} \u202e",
        "x" * 200,
        'a"b\\c',
        "a&mode=memory",
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_a_study_lives_in_its_own_folder_whatever_that_is_called(name, tmp_path):
    plan = {
        "storage": Storage(),
        "distributions": {"a": optuna.distributions.FloatDistribution(0, 1)},
        "fixed": [],
        "objectives": 1,
    }
    study = Study(tmp_path / name, **plan, sampler="random", pruner=None, seed=0)
    claim = study.claim(1)
    claim.release()
    assert (tmp_path / name / "study.db").stat().st_size > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]
