"""Picks the trained models of a run that predict."""

from collections.abc import Sequence
from pathlib import Path

from automtl import files
from automtl.bounds import fitting
from automtl.errors import ConfigError
from automtl.phases.run.reporter import Reporter
from automtl.runs.run_dir import PhaseDir, find_phase
from automtl.training.early_stopping import Monitor


def models_of(path: Path, *, average: bool, reporter: Reporter) -> list[PhaseDir]:
    """The finished models at a path that predict: the best seed by what picked its epoch on the
    validation rows, or all seeds.

    Args:
        path: a retrain folder, or a run with seeds of one model.
        average: all of them.
        reporter: told which.

    Raises:
        ArtifactError: there is no retrain.
        ConfigError: several models are there, which differ in more than their seed.
    """
    folders = find_phase(path, "retrain")
    if len(folders) == 1:
        if average:
            reporter.say(f"{folders[0].path}: the only seed, so that nothing is averaged")
        return folders
    done = [folder for folder in folders if folder.state() == "done"] or folders
    labels = dict.fromkeys(folder.path.name.rpartition("-s")[0] for folder in done)
    if len(labels) > 1:
        raise ConfigError(
            path,
            "must hold one trained model, or seeds of one",
            f"{len(labels)}: {', '.join(labels)}",
            f"pass one of them, such as {done[0].path}",
        )
    if average:
        reporter.say(f"mean of {len(done)} seeds: {', '.join(f.path.name for f in done)}")
        return done
    return [best_of(done, reporter)]


def best_of(folders: Sequence[PhaseDir], reporter: Reporter) -> PhaseDir:
    """The best seed on the validation rows."""
    costs, names = {}, {}
    for folder in folders:
        results = files.read_json(folder.results)
        with fitting(folder.results):
            words = str(results.get("monitor", "MTL-Loss")).rpartition(" ")
            monitor = Monitor(words[0], words[2]) if words[0] else Monitor()
            cost = monitor.cost(results["validation"])
        costs[folder] = float("inf") if cost is None else cost
        names[folder] = f"validation {monitor.name} {monitor.shown(costs[folder]):.5f}"
    best = min(folders, key=costs.__getitem__)
    if len(folders) > 1:
        reporter.say(f"{best.path.name}, the best of {len(folders)} seeds ({names[best]})")
    return best
