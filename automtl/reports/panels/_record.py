"""Panels of record: what it cost, the settings, how to do it again."""

import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from automtl.reports.drawing.embed import fill
from automtl.reports.drawing.text import short
from automtl.reports.load import PhaseView, RunView
from automtl.runs.stored import stored_megabytes


def _phases(runs: Sequence[RunView]) -> list[PhaseView]:
    return [phase for run in runs for phase in run.everything]


def cost_panel(runs: Sequence[RunView]) -> Markup | None:
    """Time, samples, what was computed, parameters and operations of every phase."""
    rows = [_cost_row(phase) for phase in _phases(runs) if phase.cost]
    if not rows:
        return None
    seconds = sum(float(phase.cost.get("seconds", 0)) for phase in _phases(runs) if phase.cost)
    return fill("cost.html", rows=rows, total=duration(seconds))


def _cost_row(phase: PhaseView) -> dict[str, Any]:
    net = phase.cost.get("model") or phase.cost.get("supernet") or {}
    seconds, samples = float(phase.cost.get("seconds", 0)), int(phase.cost.get("samples", 0))
    counts = {name: short(net[key]) if key in net else "-" for name, key in _COUNTS.items()}
    rate = short(samples / seconds) if seconds else "-"
    spent = {name: phase.cost.get(key) for name, key in _SPENT.items()}
    counts |= {name: "-" if value is None else short(value) for name, value in spent.items()}
    stored = stored_megabytes({"model": net})
    counts["stored"] = "-" if stored is None else f"{stored:.3g}"
    return {
        "run": phase.run,
        "phase": phase.name,
        "time": duration(seconds),
        "samples": short(samples),
        "rate": rate,
        **counts,
    }


_SPENT = {"flops_spent": "flops_spent", "reference": "reference_seconds"}
_COUNTS = {
    "tables": "table_parameters",
    "beside_tables": "other_parameters",
    "flops": "flops_per_row",
}


def duration(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


_SEED = re.compile(r"^seed: \d+$", re.MULTILINE)


def config_panel(runs: Sequence[RunView]) -> Markup | None:
    """Every phase's resolved settings; phases that differ in their seed only stand together."""
    groups: dict[str, list[PhaseView]] = {}
    for phase in _phases(runs):
        if phase.config:
            groups.setdefault(_SEED.sub("", phase.config), []).append(phase)
    texts = [
        ([f"{p.run}: {p.name}" for p in phases], phases[0].config, len(phases) > 1)
        for phases in groups.values()
    ]
    return fill("config.html", groups=texts) if groups else None


_RECORD = ("start", "end", "git_revision", "test_reads")


def reproduce_panel(runs: Sequence[RunView]) -> Markup | None:
    """The commands, in the order in which they ran, and what they ran on."""
    phases = [phase for phase in _phases(runs) if phase.manifest]
    if not phases:
        return None
    ordered = sorted(phases, key=lambda p: str(p.manifest.get("start")))
    commands = list(
        dict.fromkeys(
            str(p.manifest.get("command", "")) for p in ordered if p.manifest.get("command")
        )
    )
    return fill(
        "reproduce.html",
        commands=commands,
        records=[(f"{p.run}: {p.name}", _record(p)) for p in ordered],
    )


def _record(phase: PhaseView) -> list[tuple[str, str]]:
    manifest = phase.manifest
    rows = [("state", phase.state), ("seed", str(phase.seed))]
    rows += [
        (name.replace("_", " "), str(manifest[name]))
        for name in _RECORD
        if manifest.get(name) is not None
    ]
    rows += [(f"data {key.replace('_', ' ')}", str(value)) for key, value in phase.data.items()]
    for section in ("versions", "hardware", "machine"):
        if isinstance(manifest.get(section), dict):
            rows.append(
                (section, ", ".join(f"{key} {value}" for key, value in manifest[section].items()))
            )
    return rows
