"""`automtl status`: how a run goes, or how it ended."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from automtl.cli._options import AsJson, Full
from automtl.cli.console import print_json, say, say_command, show_decisions, table


def run(
    source: Annotated[Path, typer.Argument(help="A run's folder, or a phase folder inside it.")],
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Show the progress or the result of a run: each phase with its state, best epoch and
    figures.

    Example:
        automtl status runs/census_income-automtl_small-1
    """
    from automtl.runs.status import status

    phases = status(source)
    if as_json:
        print_json(phases)
    elif full:
        for phase in phases:
            rows = [
                (key.replace("_", " "), _cell(value))
                for key, value in phase.items()
                if key not in ("phase", "decisions") and value is not None
            ]
            table(phase["phase"], ("what", "value"), rows)
            show_decisions(phase.get("decisions", []))
    else:
        _show(source, phases)


def _show(source: Path, phases: Sequence[Mapping[str, Any]]) -> None:
    """One screen: a line a phase, then what an ended search decided and how to go on."""
    rows = [
        (
            Path(phase["phase"]).name,
            phase["state"],
            _place(phase),
            *_losses(phase),
            _minutes(phase.get("left_s_at_most")),
        )
        for phase in phases
    ]
    left = any(row[-1] != "-" for row in rows)
    header = ("phase", "state", "epoch", "best", "train", "MTL-Loss", "rows", "at most left")
    table(
        f"{source}: {phases[0]['data']}",
        header if left else header[:-1],
        rows if left else [row[:-1] for row in rows],
    )
    for phase in phases:
        name = Path(phase["phase"]).name
        for key in ("decided", "race", "named"):
            if phase.get(key):
                say(f"{name}: {_cell(phase[key])}")
        if phase.get("constant"):
            say(f"{name}: {str(phase['constant']).partition(' (')[0]}")
        if phase["state"] == "failed":
            say(f"{name}: {phase['verdict']}")
        elif "; go on with: " in str(phase.get("verdict")):
            say_command(f"{name}, to go on", str(phase["verdict"]).partition("; go on with: ")[2])
    say(f"all that is known: automtl status {shlex.quote(str(source))} --full")
    _next(source, phases)


def _next(source: Path, phases: Sequence[Mapping[str, Any]]) -> None:
    """The command that follows where everything has ended."""
    if any(phase["state"] not in ("done", "time_limited") for phase in phases):
        return
    trained = [phase for phase in phases if "retrain" in Path(phase["phase"]).parts[-2:]]
    if not trained:
        if any(Path(phase["phase"]).name == "search" for phase in phases):
            say_command("next", shlex.join(["automtl", "retrain", str(source)]))
        return
    tested = all(str(phase.get("verdict")).startswith("test") for phase in trained)
    say_command("next", shlex.join(["automtl", "report" if tested else "evaluate", str(source)]))


def _place(phase: Mapping[str, Any]) -> str:
    """Epochs done of those planned, or trials."""
    if "trials" in phase:
        return str(phase["trials"]).partition(",")[0]
    done, _, planned = str(phase.get("epoch") or "-").partition(" of ")
    return f"{done}/{planned}" if planned else done


def _losses(phase: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Best epoch, and the losses of it: of a search those of its last one."""
    best = phase.get("best_epoch") or {}
    parts = best if best and "epoch" not in best else {"": best} if best else {}
    epochs = ",".join(str(figures["epoch"]) for figures in parts.values()) or "-"
    figures = next(iter(parts.values()), None) if len(parts) == 1 else None
    figures = figures if parts else phase.get("last_epoch")
    if result := phase.get("result"):
        train = _number((figures or {}).get("train_loss"))
        return epochs, train, _number(result["loss"]), str(result["rows"])
    if not figures:
        return epochs, "-", "-", "-"
    rows = next((rows for rows in ("validation", "b") if f"{rows}_loss" in figures), "")
    loss = _number(figures.get(f"{rows}_loss"))
    return epochs, _number(figures["train_loss"]), loss, {"b": "B"}.get(rows, rows or "-")


def _number(value: object) -> str:
    return f"{value:.5f}" if isinstance(value, float) else "-"


def _minutes(seconds: float | None) -> str:
    from automtl.cli._models import duration

    return duration(seconds)


_WORDS = {
    "train_loss": "train loss",
    "validation_loss": "validation MTL-Loss",
    "b_loss": "MTL-Loss on B rows",
    "b": "B rows",
}


def _cell(value: object) -> str:
    if isinstance(value, dict) and all(isinstance(part, dict) for part in value.values()):
        return "; ".join(f"{name}: {_cell(part)}" for name, part in value.items())
    if isinstance(value, dict):
        known = {k: v for k, v in value.items() if v is not None}
        return ", ".join(f"{_WORDS.get(k, k)} {_cell(v)}" for k, v in known.items())
    return f"{value:.5f}" if isinstance(value, float) else str(value)
