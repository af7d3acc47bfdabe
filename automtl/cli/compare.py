"""`automtl compare`: trained models side by side, with tests."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automtl.cli._compare_screen import show
from automtl.cli._options import AsJson, Full
from automtl.cli.console import print_json, say, table

if TYPE_CHECKING:
    from automtl.phases.finished.compare import Comparison
    from automtl.phases.finished.contrasts import Contrast
    from automtl.phases.finished.entries import Entry


def run(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders, searched and hand-made, or retrain folders inside them."),
    ],
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            help="The difference in MTL-Loss that makes a model count as worse; default 1.5 pooled "
            "standard deviations between seeds.",
            show_default=False,
        ),
    ] = None,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Compare trained models over their seeds, with the best hand-made one and single-task models.

    Figures are those of the test rows where every model has been evaluated, else those of the
    validation rows. The MTL-Loss is tested by Welch's test with Holm's correction over the models;
    tests of single tasks are secondary.

    Example:
        automtl compare runs/census_income-automtl_small-1 runs/census_income-mmoe-1 \
            runs/census_income-single_task-1
    """
    from automtl.phases.finished.compare import compare

    comparison = compare(runs, margin=margin)
    if as_json:
        answer = asdict(comparison)
        for entry in answer["entries"]:
            del entry["derived"]
        agreed = {
            name: {place.name: place.counts for place in places}
            for name, places in comparison.agreement.items()
        }
        answer["trainings"] = comparison.trainings
        print_json(
            {
                **answer,
                "verdicts": {e.name: comparison.verdict(e) for e in comparison.entries},
                "agreement": agreed,
            }
        )
        return
    (_all if full else show)(comparison)


def _all(comparison: "Comparison") -> None:
    """Everything that the comparison tells."""
    for entry in comparison.entries:
        for remark in entry.remarks.get(comparison.split, []):
            say(f"{entry.name}: {remark}")
    _figures(comparison)
    _differences(comparison)
    _costs(comparison)
    _trainings(comparison)
    for name, places in comparison.agreement.items():
        title = (
            f"{name}: what each place chose (experts have no names: of any expert is what their "
            "order cannot change)"
        )
        table(
            title,
            ("place", "commonest", "all"),
            [(p.name, f"{p.share:.0%}", p.words) for p in places],
        )
    for entry in comparison.entries:
        say(f"{entry.name}: {comparison.against(entry)}")
        hurt = [
            f"{task} ({flag})"
            for task, flag in comparison.negative_transfer.get(entry.name, {}).items()
            if flag != "no"
        ]
        if hurt:
            say(f"  negative transfer: {', '.join(hurt)}")
    for note in comparison.notes:
        say(f"note: {note}")


def _figures(comparison: "Comparison") -> None:
    rows = []
    for entry in comparison.entries:
        cells = [
            _cell(entry.mean(comparison.split, m), entry.sd(comparison.split, m))
            for m in comparison.metrics
        ]
        rows.append(
            [
                entry.name,
                ", ".join(entry.marks) or "-",
                " ".join(map(str, entry.seeds(comparison.split))),
                *cells,
            ]
        )
    if comparison.constant:
        rows.append(
            [
                "constant",
                "training base rates",
                "-",
                *(_cell(comparison.constant.get(m), None) for m in comparison.metrics),
            ]
        )
    table(
        f"{comparison.split} rows (mean +- sd over seeds)",
        ("model", "mark", "seeds", *comparison.metrics),
        rows,
    )


def _differences(comparison: "Comparison") -> None:
    """The primary tests, then the secondary ones."""
    title = (
        "{} Welch's test over seeds, on these rows; Holm's correction over all of them with the "
        "same reference"
    )
    for primary, about in (
        (True, "MTL-Loss, the primary tests:"),
        (False, "tasks, the secondary tests:"),
    ):
        tests = [
            (name, test)
            for name, own in comparison.tests.items()
            for test in own
            if test.primary == primary
        ]
        if tests:
            _contrasts(title.format(about), tests, metric=not primary)


def _contrasts(title: str, tests: "list[tuple[str, Contrast]]", *, metric: bool) -> None:
    ranked = any(test.rank_sum is not None for _, test in tests)
    header = [
        "model",
        "minus",
        *(["metric"] if metric else []),
        "difference",
        "95% interval",
        "p",
        *(["p (rank sum)"] if ranked else []),
        "p (Holm)",
        "verdict",
    ]
    rows = [
        [
            name,
            t.reference,
            *([t.metric] if metric else []),
            _number(t.difference, "+.5f"),
            "-" if t.interval is None else f"{t.interval[0]:+.5f} .. {t.interval[1]:+.5f}",
            *(_number(p, ".3g") for p in ((t.p, t.rank_sum, t.holm) if ranked else (t.p, t.holm))),
            t.shown or ("not tested" if t.holm is None else "no difference shown"),
        ]
        for name, t in tests
    ]
    table(title, header, rows)


def _costs(comparison: "Comparison") -> None:
    parts = ("search", "tune", "retrain")
    rows = [
        [entry.name, *(_spent(entry, part) for part in parts), _whole(entry)]
        for entry in comparison.entries
    ]
    table(
        "cost (rows read; seconds; FLOPs of what a search computed)", ("model", *parts, "all"), rows
    )


def _trainings(comparison: "Comparison") -> None:
    """The settings that not all models were trained by."""
    if not comparison.trainings:
        return
    names = [entry.name for entry in comparison.entries if entry.trained_by]
    rows = [
        [name, *(by_setting[name] for by_setting in comparison.trainings.values())]
        for name in names
    ]
    table("settings of training that differ", ("model", *comparison.trainings), rows)


def _spent(entry: "Entry", part: str) -> str:
    spent = entry.cost[part]
    if not spent["samples"] and not spent["seconds"]:
        return "-"
    words = f"{spent['samples']:,.0f}; {spent['seconds']:,.0f} s"
    return words + (f"; {spent['flops_spent']:.3g} FLOPs" if "flops_spent" in spent else "")


def _whole(entry: "Entry") -> str:
    samples, seconds = (
        sum(spent[what] for spent in entry.cost.values()) for what in ("samples", "seconds")
    )
    return f"{samples:,.0f}; {seconds:,.0f} s"


def _cell(mean: float | None, sd: float | None) -> str:
    return _number(mean, ".5f") + ("" if sd is None else f" +- {sd:.5f}")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
