"""`automtl evaluate`: trained models on the test rows, side by side."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automtl.cli._evaluate_screen import show
from automtl.cli._options import AsJson, Device, Full, Workers, by_workers
from automtl.cli.console import print_json, say, say_command, table
from automtl.cli.progress import ConsoleReporter
from automtl.errors import counted

if TYPE_CHECKING:
    from automtl.phases.finished.evaluate import ModelResult

Runs = Annotated[list[Path], typer.Argument(help="Run folders, or retrain folders inside them.")]
By = Annotated[
    str | None,
    typer.Option(
        "--by", help="A column to slice the test rows by, such as tab.", show_default=False
    ),
]
Bootstrap = Annotated[
    int,
    typer.Option(
        "--bootstrap", min=0, max=100_000, help="Resamples for 95% intervals of AUC, say 1000."
    ),
]


def run(
    runs: Runs,
    by: By = None,
    bootstrap: Bootstrap = 0,
    device: Device = None,
    workers: Workers = None,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate the trained models of some runs on their test rows, side by side.

    Each reading of the test rows is counted.

    Example:
        automtl evaluate runs/census_income-automtl_small-1 runs/census_income-shared_bottom-1
    """
    from automtl.phases.finished.evaluate import (
        evaluate_runs,
        interval_rows,
        known_rows,
        slice_rows,
        summary,
    )
    from automtl.phases.finished.figures import of_same_rows, stored_sizes, verdicts

    by_workers(workers)
    with ConsoleReporter() as reporter:
        results = evaluate_runs(
            runs, device=device or "auto", by=by, bootstrap=bootstrap, reporter=reporter
        )
    if as_json:
        _print(results, summary(results), stored_sizes(results), sliced=bool(by))
        return
    if full:
        for sentence in verdicts(results):
            say(sentence)
        _models(results)
    else:
        show(results)
    for tested in results:
        name = f"{tested.label}, seed {tested.seed}"
        resamples = counted(bootstrap, "resample")
        _rows(f"{name}: 95% intervals of AUC, {resamples}", interval_rows(tested))
        if full:
            title = f"{name}: test rows with ids that the training rows have, and without"
            _rows(title, known_rows(tested))
        _rows(f"{name}: test rows by {by}", slice_rows(tested))
    if not full and len(of_same_rows(results)) == 1:
        _next(results)


def _print(
    results: "Sequence[ModelResult]",
    rows: list[dict[str, Any]],
    sizes: dict[str, dict[str, float]],
    *,
    sliced: bool,
) -> None:
    """Everything as JSON."""
    from automtl.phases.finished.figures import constants, verdicts

    models = [
        {
            "folder": str(r.folder.path),
            "seed": r.seed,
            "test_reads": r.reads,
            "test": asdict(r.test),
            "by_known_ids": {column: asdict(part) for column, part in r.known.items()},
        }
        | ({"slices": {name: asdict(part) for name, part in r.slices.items()}} if sliced else {})
        for r in results
    ]
    print_json(
        {
            "verdicts": verdicts(results),
            "summary": [{**row, "stored_megabytes": sizes[row["model"]]} for row in rows],
            "constant": constants(results),
            "models": models,
        }
    )


def _next(results: "Sequence[ModelResult]") -> None:
    homes = list(dict.fromkeys(str(r.folder.run) for r in results))
    several = len({r.label for r in results}) > 1
    say_command("next", shlex.join(["automtl", "compare" if several else "report", *homes]))


def _models(results: "Sequence[ModelResult]") -> None:
    """The models beside the constants that predict base rates, a table for those of the same
    rows.
    """
    from automtl.phases.finished.evaluate import summary
    from automtl.phases.finished.figures import constants, of_same_rows, stored_sizes

    groups, sizes = of_same_rows(results), stored_sizes(results)
    parts = list(dict.fromkeys(part for size in sizes.values() for part in size if part != "trunk"))
    for (name, group), constant in zip(groups, constants(results), strict=True):
        rows = summary(group)
        metrics = [key for key in rows[0] if key not in ("model", "seeds")]
        cells = [
            [
                row["model"],
                str(len(row["seeds"])),
                *(_cell(row.get(m)) for m in metrics),
                *(_megabytes(sizes[row["model"]], p) for p in parts),
            ]
            for row in rows
        ]
        constants_cells = [_cell(constant.get(m)) for m in metrics]
        cells.append([constant["model"], "-", *constants_cells, *("-" for _ in parts)])
        table(
            f"test rows{f' of {name}' if len(groups) > 1 else ''} (mean +- sd over seeds)",
            ("model", "seeds", *metrics, *(f"{part} MB" for part in parts)),
            cells,
        )


def _rows(title: str, rows: list[dict[str, Any]]) -> None:
    """A table of rows, where there are any."""
    lines = [
        [
            "undefined" if v is None else v if isinstance(v, str) else f"{v:.6g}"
            for v in row.values()
        ]
        for row in rows
    ]
    if rows:
        table(title, tuple(rows[0]), lines)


def _megabytes(sizes: dict[str, float], part: str) -> str:
    return f"{sizes[part]:.3g}" if part in sizes else "-"


def _cell(value: Any) -> str:
    if value is None or value["mean"] is None:
        return "undefined"
    return f"{value['mean']:.5f}" + (f" +- {value['sd']:.5f}" if value["sd"] is not None else "")
