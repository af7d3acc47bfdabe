"""The panel on fields shows what the table holds, the largest first."""

from dataclasses import replace

import pandas as pd
import pytest

from automtl.reports.load import FieldImportance, load_run
from automtl.reports.panels import _importance
from tests.reports.architectures import searched
from tests.reports.runs import write_retrain

ROWS = [
    ("click", "price", 0.02, 0.015, 0.025),
    ("click", "<b>user", 0.30, 0.27, 0.33),
    ("click", "noise", 0.001, -0.004, 0.006),
    ("buy", "price", 0.5, 0.4, 0.6),
]


@pytest.fixture
def run(tmp_path):
    write_retrain(tmp_path / "run", searched(1, 2))
    return load_run(tmp_path / "run")


def test_bars_are_the_rises_and_what_is_not_shown_is_hollow(run, monkeypatch):
    table = pd.DataFrame(ROWS, columns=["task", "field", "rise", "low", "high"])
    [phase] = run.phases
    view = replace(run, phases=[replace(phase, importance=FieldImportance(900, 4000, 5, table))])
    drawn, embed = [], _importance.embed
    monkeypatch.setattr(_importance, "embed", lambda f, *words: drawn.append(f) or embed(f, *words))
    page = _importance.importance_panel([view])
    assert "shuffled 5 times among 900 of 4,000 rows" in page and "<b>user" not in page
    click, buy = (figure.axes[0] for figure in drawn)
    assert [bar.get_width() for bar in click.patches] == [0.001, 0.02, 0.30]
    assert [label.get_text() for label in click.get_yticklabels()][-1].endswith("user")
    assert [bar.get_facecolor()[3] for bar in click.patches] == [0.0, 1.0, 1.0]
    lines = [tuple(line.get_xdata()) for line in click.lines]
    assert {(-0.004, 0.006), (0.015, 0.025), (0.27, 0.33)} <= set(lines)
    assert [bar.get_width() for bar in buy.patches] == [0.5]


def test_a_run_that_was_not_asked_has_no_such_panel(run):
    assert _importance.importance_panel([run]) is None
