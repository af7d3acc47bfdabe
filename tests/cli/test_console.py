"""Progress and tables as people see them."""

from types import SimpleNamespace

from automtl.cli import console


def test_the_time_left_is_of_the_seed_that_runs(monkeypatch, capfd):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    reporter = console.ConsoleReporter()
    # two seeds of ten steps, of 10 and of 40 seconds a step
    for start, seconds in ((0.0, 10.0), (1000.0, 40.0)):
        for step in range(10):
            now[0] = start + seconds * (step + 1)
            reporter.step(SimpleNamespace(epoch=0, step=step, steps=10), 1)
    lines = [line for line in capfd.readouterr().err.splitlines() if "left" in line]
    assert "step 4/10, at most 60 s left" in lines[0]
    assert (
        lines[-1].endswith("step 10/10, at most 0 s left")
        and "step 9/10, at most 40 s left" in lines[-2]
    )


def test_columns_of_figures_stand_right_and_names_are_never_markup(capfd):
    console.table("a [bold]title[/]", ("name", "rows"), [("[red]x[/]", "1,000"), ("y", "-")])
    out = capfd.readouterr().out
    assert (
        "a [bold]title[/]" in out
        and "[red]x[/]" in out
        and "│ 1,000 │" in out
        and "│     - │" in out
    )


def test_a_table_too_wide_for_its_few_rows_is_turned(monkeypatch, capfd):
    monkeypatch.setattr(console, "_out", console.Console(width=60, soft_wrap=True))
    console.table(
        "wide",
        ("model", *(f"task_{i} auc" for i in range(9))),
        [("one", *["0.70000"] * 9), ("two", *["-"] * 9)],
    )
    lines = capfd.readouterr().out.splitlines()
    assert "│ task_8 auc │ 0.70000 │   - │" in lines and max(map(len, lines)) < 60
    console.table("narrow", ("model", "auc"), [("one", "0.7")])
    assert "│ one   │ 0.7 │" in capfd.readouterr().out
