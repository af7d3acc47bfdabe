"""Lines and tables as people see them."""

import pytest

from automtl.cli import console
from tests.cli.terminal import words_of


@pytest.fixture
def narrow(monkeypatch):
    """A terminal of 60 columns."""
    for name, stderr in (("_out", False), ("_err", True)):
        made = console.Console(
            width=60,
            soft_wrap=True,
            highlight=False,
            stderr=stderr,
            force_terminal=True,
            color_system=None,
        )
        monkeypatch.setattr(console, name, made)


def test_columns_of_figures_stand_right_and_names_are_never_markup(capfd):
    rows = [("[red]x[/]", "1,000"), ("y", "-"), ("z", "20")]
    console.table("a [bold]title[/]", ("name", "rows"), rows)
    assert [line.rstrip() for line in capfd.readouterr().out.splitlines()] == [
        "a [bold]title[/]",
        "name        rows",
        "[red]x[/]  1,000",
        "y              -",
        "z             20",
    ]


def test_a_table_too_wide_for_its_few_rows_is_turned(narrow, capfd):
    header = ("model", *(f"task_{i} auc" for i in range(9)))
    console.table("wide", header, [("one", *["0.70000"] * 9), ("two", *["-"] * 9)])
    lines = capfd.readouterr().out.splitlines()
    assert "task_8 auc  0.70000    -" in [line.rstrip() for line in lines]
    assert max(map(len, lines)) <= 60


def test_a_table_that_fits_neither_way_is_told_row_by_row(narrow, capfd):
    header = ("model", *(f"column_number_{i}" for i in range(6)))
    console.table("", header, [("one", *"123456")] * 9)
    out = capfd.readouterr().out
    assert out.count("one\n  column_number_0: 1\n") == 9


@pytest.mark.parametrize("words", [2, 3, 9, 30])
def test_cells_break_between_words_only(words, narrow, capfd):
    cells = [f"{name} " * words for name in ("interaction", "never_married-again", "x")]
    console.table("title " * words, ("one", "two", "three"), [cells, cells])
    out = capfd.readouterr().out
    assert set(words_of(out)) == {*"one two three title interaction x".split()} | {
        "never_married-again"
    }
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 60


def test_lines_break_between_words_and_hang(narrow, capfd):
    text = "error-prone sentences " * 6 + "/a/path/" + "x" * 70
    console.say(text)
    lines = capfd.readouterr().err.splitlines()
    assert " ".join(line.strip() for line in lines) == text
    assert all(line.startswith("  ") for line in lines[1:])
    assert all(len(line) <= 60 or " " not in line.strip() for line in lines)


def test_a_command_is_broken_as_a_shell_reads_it(narrow, capfd):
    console.say_command("next", "automtl compare 'runs/a b' " + "runs/one-of-many " * 5)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) > 1 and all(line.endswith(" \\") for line in lines[:-1])
    joined = " ".join(line.removesuffix("\\").strip() for line in lines)
    assert joined.split() == f"next: automtl compare 'runs/a b'{' runs/one-of-many' * 5}".split()
    assert max(map(len, lines)) <= 60


def test_in_a_file_no_line_is_broken(capfd):
    console.say("word " * 100)
    assert len(capfd.readouterr().err.splitlines()) == 1
