"""Names that attack: in columns, tasks and words of a data set, shown by every command that shows
names.
"""

import json
import re
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
import yaml

from automtl.cli.console import plain
from scripts.small import PAPER, flags
from tests.cli.test_errors import run
from tests.support import write_dataset

HOSTILE = {
    "user": "<script>alert(1)</script>",
    "item": "\u202egnp.exe\u2066 '\"; DROP TABLE runs; --",
    "price": "$\\frac{$ {{7*7}} %s [bold red]x[/]",
    "click": "../../\x1b]0;owned\x07\x1b[2J\N{PARTY POPPER}",
    "buy": "b" * 200,  # the longest that is taken
}
RUN = "run \u202e<script>alert(2)<!-- '\"; \x1b[2J$x$ \N{PARTY POPPER}"
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def test_a_terminal_never_sees_control_characters():
    assert plain("a\x1b[2J\u202eb\n\tc\x9b") == "a\\u001b[2J\\u202eb\n\tc\\u009b"
    assert plain("a\nb", keep="") == "a\\u000ab"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    path = write_dataset(tmp_path / "data", rows=200)
    rows = tmp_path / "data/rows.csv"
    header, _, rest = rows.read_text().partition("\n")
    quoted = ['"' + HOSTILE[name].replace('"', '""') + '"' for name in header.split(",")]
    rows.write_text(
        ",".join(quoted) + "\n" + rest.replace("\n3,", "\n<img src=x onerror=alert(1)>,")
    )
    config = yaml.safe_load(path.read_text())
    for entry in (*config["features"], *config["tasks"]):
        entry |= {key: HOSTILE[entry[key]] for key in ("name", "label") if key in entry}
    path.write_text(yaml.safe_dump(config, allow_unicode=False))
    return tmp_path


def test_a_name_of_ten_thousand_letters_is_refused_in_a_short_line(here, capfd):
    path = Path("data/tiny.yaml")
    path.write_text(path.read_text().replace("b" * 200, "b" * 10_000))
    assert run(["data", "describe", "data/tiny.yaml"]) == 2
    assert len(capfd.readouterr().err) < 1500


def test_hostile_names_go_through_every_command_escaped(here, capfd):
    small = [
        *flags(PAPER),
        "--set",
        "space.expert=[gate, skip]",
        "--set",
        "space.interaction=[skip]",
        "--fast-dev-run",
    ]
    commands = [
        ["data", "describe", "data/tiny.yaml"],
        ["search", "data/tiny.yaml", "--space", "automtl_small", "--out", RUN, *small],
        ["retrain", RUN, "--fast-dev-run"],
        ["evaluate", RUN],
        ["status", RUN],
        ["status", RUN, "--json"],
        ["predict", f"{RUN}/retrain/selected-s0", "data/rows.csv", "-o", "out.parquet"],
        ["show", RUN, "-o", "it.svg"],
        ["compare", RUN],
        ["runs", "list", "."],
        ["report", RUN, "-o", "it.html"],
        [
            "retrain",
            RUN,
            "--data",
            "data/tiny.yaml",
            "--set",
            "retrain.balancing.weights={'\\x1b[2J': 2}",
            "--out",
            "new",
        ],
    ]
    for command in commands:
        status = run(command)
        told = capfd.readouterr()
        assert status == (2 if "new" in command else 0), told.err
        assert "Traceback" not in told.err and not HIDDEN.search(told.out + told.err), command
    page = Path("it.html").read_text()
    assert not HIDDEN.search(page) and page.count("<script") == 1 and "<img src=x" not in page
    picture = Path("it.svg").read_text()
    assert not HIDDEN.search(picture) and not list(
        xml.fromstring(picture).iter("{http://www.w3.org/2000/svg}script")
    )
    assert (
        json.loads(Path(RUN, "search/architecture.json").read_text())["tasks"][1]["name"]
        == HOSTILE["buy"]
    ), "kept as it is"
    assert {p.name for p in here.iterdir()} == {
        "data",
        "cache",
        RUN,
        "out.parquet",
        "it.svg",
        "it.html",
    }
