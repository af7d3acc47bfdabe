"""An overview of a folder of runs: every phase with its state, and what can be removed without
losing a result.
"""

from pathlib import Path
from typing import Any

from automtl import files
from automtl.bounds import fitting
from automtl.errors import ArtifactError
from automtl.runs.epoch_line import judged
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir


def phases(folder: Path) -> list[PhaseDir]:
    """All phase folders under a folder of runs, by name.

    Raises:
        ArtifactError: there is no such folder.
    """
    if not folder.is_dir():
        raise ArtifactError(
            folder,
            "must be a folder of runs",
            "no such folder",
            "name the folder, or run `automtl search` first",
        )
    manifests = [
        *folder.glob("*/search/manifest.json"),
        *folder.glob("*/retrain/*/manifest.json"),
        *folder.glob("*/tune/manifest.json"),
    ]
    return [PhaseDir(path.parent) for path in sorted(manifests)]


def overview(folder: Path) -> list[dict[str, Any]]:
    """One row per phase: run, phase, state, data, MTL-Loss and its rows, best epoch, start,
    megabytes. By data set those with a loss come first, the best of the same rows first.
    """
    rows = []
    for phase in phases(folder):
        manifest = Manifest.read(phase.manifest).values
        size = sum(f.stat().st_size for f in phase.path.rglob("*") if f.is_file())
        run, name = _names(phase, folder)
        data, start = manifest.get("data", {}).get("name", ""), manifest.get("start", "")
        rows.append(
            {
                "run": run,
                "phase": name,
                "state": manifest["state"],
                "data": str(data),
                **_figure(phase),
                "start": start,
                "megabytes": size / 2**20,
            }
        )
    return sorted(rows, key=_place)


_ROWS = ("test", "validation", "B", "")


def _place(row: dict[str, Any]) -> tuple[str, int, float]:
    loss = row["loss"]
    return row["data"], _ROWS.index(row["rows"]), float("inf") if loss is None else loss


def _figure(phase: PhaseDir) -> dict[str, Any]:
    """The MTL-Loss of a phase, where it has one: of a trained model on test or validation rows, of
    a search that of the last epoch's supernet.
    """
    none: dict[str, Any] = {"loss": None, "rows": "", "best_epoch": None}
    with fitting(phase.path):
        if phase.results.exists() and phase.path.name != "tune":
            results = files.read_json(phase.results)
            part = "test" if "test" in results else "validation"
            epochs = [epoch + 1 for epoch in results["best_epochs"]]
            return {"loss": results[part]["loss"], "rows": part, "best_epoch": epochs}
        lines = phase.read_metrics()
        rows, figures = judged(lines[-1]) if lines else ("", {})
        if rows in _ROWS and figures.get("loss") is not None:
            return none | {"loss": figures["loss"], "rows": rows}
    return none


def _names(phase: PhaseDir, folder: Path) -> tuple[str, str]:
    parts = phase.path.relative_to(folder).parts
    return parts[0], "/".join(parts[1:])


def cleanable(folder: Path) -> list[Path]:
    """Failed phases, and last checkpoints of finished searches."""
    removable = []
    for phase in phases(folder):
        state = phase.state()
        last = phase.checkpoint("last")
        if state == "failed":
            removable.append(phase.path)
        elif state == "done" and phase.path.name == "search" and last.exists():
            removable.append(last)
    return removable


def remove(path: Path) -> None:
    """Remove what ``cleanable`` named."""
    files.remove_folder(path) if path.is_dir() else files.remove_file(path)
