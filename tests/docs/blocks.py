"""The fenced blocks of README.md and docs/: how each is run, and what is changed so that it takes
no time.

The word after the language says what a block is:

- ``bash``, ``python``: run, in order, all blocks of a page in one folder. Python blocks of a page
  share their names.
- ``python file=NAME``, ``yaml file=NAME``: written to NAME. ``yaml`` alone must be YAML.
- ``bash checkout``: needs a fresh clone or installs something; only looked at: sound shell, scripts
  that exist, options that exist.
- ``text``: output or a picture in letters, not run. ``{toctree}``, ``{eval-rst}``: Sphinx's own.

What is changed: every search, retrain and trial is a fast development run (two epochs of four
batches), and a study has two trials.
"""

import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer.main

from automtl.cli._app import app
from automtl.cli.main import main
from automtl.strict import parse_yaml
from tests.house import ROOT

PAGES = [
    "README.md",
    *sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "docs").rglob("*.md")
        if "_build" not in path.parts
    ),
]
KINDS = {"bash", "python", "bash checkout", "yaml", "text", "{toctree}", "{eval-rst}"}
TRAINS = {"search", "retrain", "tune"}

# What stands in a page's folder before its first block: nothing, the data of the README, a searched
# run, or trained runs too.
START = {
    "README.md": "data",
    "docs/balancing.md": "searched",
    "docs/benchmark.md": "data",
    "docs/faq.md": "trained",
    "docs/own_data.md": "data",
    "docs/own_operation.md": "data",
    "docs/pictures.md": "data",
    "docs/python.md": "data",
    "docs/scale.md": "data",
    "docs/search.md": "searched",
    "docs/training.md": "data",
    "docs/tune.md": "searched",
}
FIRST = ["automtl search clicks.yaml --space automtl_small --out runs/first"]
TRAINED = ["automtl retrain runs/first"]


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, line, what the fence says, its text."""

    page: str
    line: int
    info: str
    text: str

    @property
    def file(self) -> str:
        """The file it is written to; empty for none."""
        return self.info.partition("file=")[2]

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}"


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```([^\n`]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [
        Block(page, text[: match.start()].count("\n") + 1, match[1].strip(), match[2])
        for match in found
    ]


def commands(text: str) -> list[list[str]]:
    """The words of each command of a bash block; comments and continued lines as in a shell."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def unknown(words: list[str]) -> list[str]:
    """The options of an `automtl` command line that it does not have."""
    command: Any = typer.main.get_command(app)
    words = words[1:]
    while words and words[0] in getattr(command, "commands", ()):
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    return [word for word in words if re.match("--?[a-z]", word) and word not in {*known, "--help"}]


def run_page(page: str, names: dict[str, Any]) -> None:
    """Run a page's blocks in the present folder.

    Raises:
        AssertionError: a command ends with another status than 0, or a block cannot be run.
    """
    for block in blocks(page):
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.info == "bash":
            for words in commands(block.text):
                run(words, str(block))
        elif block.info == "python":
            exec(compile(block.text, str(block), "exec"), names)
        elif block.info == "yaml":
            parse_yaml(block.text, str(block))


def run(words: list[str], where: str) -> None:
    """Run one `automtl` command in this process."""
    assert words[0] == "automtl", (
        f"{where}: {words[0]}: only automtl is run; mark the block `bash checkout`"
    )
    fast = ["--fast-dev-run"] if words[1] in TRAINS and "--plan" not in words else []
    sys.argv = [*words, *fast, *(["--trials", "2"] if words[1] == "tune" else [])]
    status: Any = None
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    assert status == 0, f"{where}: {shlex.join(words)} ended with status {status}"


def fast(call: Callable[..., Any]) -> Callable[..., Any]:
    """A Python function that trains, as a fast development run."""
    return lambda *args, **settings: call(*args, **{"runtime": {"fast_dev_run": True}, **settings})


def write_clicks(folder: Path) -> None:
    """The README's `clicks.csv`, `clicks.yaml` and `new_rows.csv`."""
    rng, rows = np.random.default_rng(0), 1500
    user, item, price = (
        rng.integers(0, 60, rows),
        rng.integers(0, 40, rows),
        rng.gamma(2.0, 10.0, rows),
    )
    click = rng.random(rows) < 1 / (1 + np.exp(0.04 * (price - 20) - 0.05 * (user - 30)))
    buy = click & (rng.random(rows) < 0.2 + 0.01 * item)
    frame = pd.DataFrame(
        {
            "user_id": user,
            "item_id": item,
            "price": price.round(2),
            "clicked": click * 1,
            "purchased": buy * 1,
        }
    )
    frame.to_csv(folder / "clicks.csv", index=False)
    frame.iloc[-20:, :3].to_csv(folder / "new_rows.csv", index=False)
    described = next(block for block in blocks("README.md") if block.file == "clicks.yaml")
    (folder / "clicks.yaml").write_text(described.text)
