"""The status of a run, read from its files alone, while another process writes them or later."""

import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

from automtl import files
from automtl.bounds import fitting, parse_json, read_lines
from automtl.errors import ArtifactError, counted
from automtl.runs import decided
from automtl.runs.constant import LOSS, above, remarks
from automtl.runs.epoch_line import epochs_in_words, judged, scores_only, trained
from automtl.runs.manifest import Manifest, again, now
from automtl.runs.run_dir import PhaseDir, RunDir


def status(source: Path) -> list[dict[str, Any]]:
    """One mapping per phase at `source`, a run folder or a phase folder.

    Raises:
        ArtifactError: no such folder, or no phase in it.
    """
    if (source / "manifest.json").exists():
        return [_phase(PhaseDir(source))]
    run = RunDir(source)
    phases = [phase for phase in (run.search, run.tune) if phase.manifest.exists()] + run.retrains()
    if not phases:
        raise ArtifactError(
            source,
            "must be a run folder",
            "no phase in it" if source.exists() else "no such folder",
            "see `automtl runs list`",
        )
    return [_phase(phase) for phase in phases]


def _phase(phase: PhaseDir) -> dict[str, Any]:
    manifest = Manifest.read(phase.manifest)
    manifest.verify()
    with fitting(phase.path):
        return _facts(phase, manifest.values)


def _facts(phase: PhaseDir, manifest: dict[str, Any]) -> dict[str, Any]:
    lines = phase.read_metrics()
    last = lines[-1] if lines else None
    said = _constant(phase, lines)
    facts: dict[str, Any] = {"phase": str(phase.path)}
    if phase.path.name == "search" and manifest["state"] in ("done", "time_limited"):
        facts |= _decided(manifest)
    facts |= {"constant": "; ".join(said)} if said else {}
    facts |= {
        "state": manifest["state"],
        "data": manifest["data"]["name"],
        "seed": manifest["seed"],
    }
    facts["start"], facts["end"] = manifest["start"], manifest["end"]
    if phase.path.name == "tune":
        return {**facts, **_study(phase, manifest)}
    if drawn := last is not None and not any(map(trained, lines)):
        facts["epoch"] = None  # a race over draws has none
    else:
        facts["epoch"] = f"{last['epoch'] + 1 if last else 0} of {manifest['planned_epochs']}"
    if manifest["state"] == "running":
        facts["left_s_at_most"] = _left(manifest, last)
    if last is not None and not drawn:
        facts["last_epoch"] = _epoch(last)
        if scores_only(last):
            facts["last_epoch"]["trained"] = "nothing, since it scores architectures"
    if best := _best(lines):
        facts["best_epoch"] = best
    if manifest.get("monitor", LOSS) != LOSS:
        facts["best epoch by"] = manifest["monitor"]
    if phase.race.exists():
        facts["race"] = _race(phase)
    checkpoint = next(
        (c for c in (phase.checkpoint("last"), phase.checkpoint("best")) if c.exists()), None
    )
    facts["checkpoint"] = None if checkpoint is None else f"{checkpoint} of {_when(checkpoint)}"
    facts["spent"] = _spent(phase)
    if phase.results.exists():
        facts["result"] = _result(phase)
    facts["verdict"] = _verdict(phase, manifest)
    return facts


def _result(phase: PhaseDir) -> dict[str, Any]:
    """The MTL-Loss of a trained model, and the rows it is of."""
    results = files.read_json(phase.results)
    rows = "test" if "test" in results else "validation"
    return {"rows": rows, "loss": results[rows]["loss"]}


def _race(phase: PhaseDir) -> str:
    """The progress of a race, in words."""
    lines = [parse_json(line) for line in read_lines(phase.race)]
    last = lines[-1] if lines else {}
    rung = int(last.get("rung", 0))
    begun = f"rung {rung + 1}" if rung else "candidates"
    stage = {"rung": begun, "final": "finals", "check": "checks"}
    place = stage.get(str(last.get("stage")), "not begun")
    said = (
        f"{counted(len(lines), 'training')}; last: {last.get('name')} in {place}"
        if lines
        else "begun"
    )
    losses = [line["b"] for line in lines if line.get("b") is not None]
    return said + (f"; least loss on B rows {min(losses):.5f}" if losses else "")


def _decided(manifest: dict[str, Any]) -> dict[str, Any]:
    """The decision of an ended search, and what would help."""
    decisions, (headline, more) = (
        decided.decisions_of(manifest),
        decided.sentence_and_advice(manifest),
    )
    facts = {"decided": headline, **({"to decide more": more.partition(": ")[2]} if more else {})}
    return {**facts, "decisions": decisions} if decisions else facts


def _spent(phase: PhaseDir) -> str | None:
    """The cost of an ended phase, in words; a search tells what its networks computed, too."""
    if not phase.cost.exists():
        return None
    cost = files.read_json(phase.cost)
    words = f"{counted(cost['samples'], 'row')} read, {cost['seconds']:,.0f} s"
    if (flops := cost.get("flops_spent")) is not None:
        words += f", {float(flops):.3g} FLOPs"
    if (seconds := cost.get("reference_seconds")) is not None:
        words += f", {seconds:,.0f} reference seconds"
    return words


def _epoch(line: dict[str, Any]) -> dict[str, Any]:
    """One epoch's figures."""
    rows, figures = judged(line)
    losses = {"epoch": line["epoch"] + 1, "train_loss": line["loss"]["total"]}
    if not rows:
        return losses
    name = rows.lower()
    return {
        **losses,
        f"{name}_loss": figures["loss"],
        name: {task: _headline(metrics) for task, metrics in figures["tasks"].items()},
    }


def _best(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of the epoch whose weights a retrain keeps so far; by task where tasks are
    trained one after the other.
    """
    # a later best takes the place of an earlier
    best = {", ".join(line["part"]): _epoch(line) for line in lines if line.get("best")}
    parts = {", ".join(line["part"]) for line in lines if "part" in line}
    return next(iter(best.values()), {}) if len(parts) < 2 else best


def _constant(phase: PhaseDir, lines: list[dict[str, Any]]) -> list[str]:
    """What must be said beside the constant: of a trained model by its figures, of one in training
    and of a supernet by the last epoch.
    """
    if phase.results.exists() and phase.path.name != "tune":
        results = files.read_json(phase.results)
        return remarks([results["test" if "test" in results else "validation"]])
    return [said] if lines and (said := above(lines[-1])) else []


def _study(phase: PhaseDir, manifest: dict[str, Any]) -> dict[str, Any]:
    """The progress of a study of settings: trials that were begun are folders of their own."""
    begun = len(list(phase.path.glob("trials/*")))
    results = files.read_json(phase.results) if phase.results.exists() else {}
    named = {name: f"trial {number}" for name, number in results.get("named", {}).items()}
    by = {"judged by": results["monitor"]} if results.get("monitor", LOSS) != LOSS else {}
    facts = {
        **by,
        "trials": f"{begun} of {manifest['planned_trials']} begun, "
        f"{len(results.get('trials', []))} judged",
        "named": named or None,
    }
    if manifest["state"] in ("interrupted", "time_limited"):
        facts["verdict"] = (
            f"{manifest['state']}; go on with: {again(str(manifest['command']), phase.path.parent)}"
        )
    return facts


def _left(manifest: dict[str, Any], last: dict[str, Any] | None) -> float | None:
    """Seconds to the planned end at the rate so far; None before the first epoch and after the
    last, when a race goes on, or where the clock was set back since.
    """
    spent = (
        datetime.fromisoformat(now()) - datetime.fromisoformat(manifest["start"])
    ).total_seconds()
    done = last["epoch"] + 1 if last else 0
    if not done or done >= manifest["planned_epochs"] or spent < 0:
        return None
    return float(round(spent / done * (manifest["planned_epochs"] - done)))


def _headline(metrics: dict[str, float | None]) -> str:
    for name in ("auc", "rmse", "accuracy"):
        value = metrics.get(name)
        if value is not None:
            return f"{name} {value:.4f}"
    return "undefined"


def _when(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime).isoformat(sep=" ", timespec="seconds")


def _verdict(phase: PhaseDir, manifest: dict[str, Any]) -> str | None:
    """The outcome of an ended phase, in words."""
    state = manifest["state"]
    if state == "failed":
        return f"failed: {manifest.get('error', 'no reason kept')}"
    if state == "interrupted":
        if phase.path.name == "search":
            command = shlex.join(["automtl", "search", manifest["data"]["source"]])
            return f"interrupted; go on with: {again(command, phase.run)}"
        return f"interrupted; go on with: {again(str(manifest['command']), phase.run)}"
    if state == "running":
        return None
    if phase.results.exists():
        results = files.read_json(phase.results)
        part = "test" if "test" in results else "validation"
        loss = results[part]["loss"]
        loss_text = "undefined" if loss is None else f"{loss:.5f}"
        by = "" if results.get("monitor", LOSS) == LOSS else f" by {results['monitor']}"
        return (
            f"{part} MTL-Loss {loss_text}; best epoch{by} "
            f"{', '.join(str(e + 1) for e in results['best_epochs'])}"
        )
    return _derived(phase, manifest) + (", at the time limit" if state == "time_limited" else "")


def _derived(phase: PhaseDir, manifest: dict[str, Any]) -> str:
    """What an architecture rests on, in words: epochs, a race, both, or a draw alone."""
    lines = phase.read_metrics()
    epochs = manifest["finished_epochs"] if not lines or any(map(trained, lines)) else 0
    after = [epochs_in_words(epochs, sum(map(scores_only, lines)))] if epochs else []
    if phase.race.exists():
        after.append(f"a race of {counted(len(list(read_lines(phase.race))), 'training')}")
    if not after:
        return "architecture drawn, nothing was trained"
    return f"architecture derived after {' and '.join(after)}"
