"""The evaluate phase: trained models on the test rows, read once, at the end, and counted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automtl import files
from automtl.config import RunConfig
from automtl.errors import ArtifactError
from automtl.phases.retrain import load_net
from automtl.phases.session import Reporter, Session, Silent, open_session
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, find_phase
from automtl.strict import build, load_yaml
from automtl.training.evaluation import Evaluation, evaluate, predict


@dataclass(frozen=True)
class TestResult:
    """One model on the test rows.

    Args:
        folder: its retrain folder.
        label: what to call it: the run, and the folder without its seed.
        seed: of the model.
        test: the metrics.
        reads: how many times these test rows were read for this model, this time included.
    """

    folder: PhaseDir
    label: str
    seed: int
    test: Evaluation
    reads: int


def evaluate_runs(paths: Sequence[Path], *, device: str = "auto", reporter: Reporter | None = None) -> list[TestResult]:
    """Evaluate every retrained model of the named runs on its test rows.

    Args:
        paths: run folders, or retrain folders.
        device: where to run.
        reporter: told of second readings.

    Raises:
        ArtifactError: a folder holds no finished retrain, or its data changed since.
    """
    reporter = reporter or Silent()
    folders = [folder for path in paths for folder in find_phase(path, "retrain")]
    unfinished = [folder for folder in folders if folder.state() != "done"]
    for folder in unfinished:
        reporter.say(f"{folder.path} is {folder.state()}, left out")
    finished = [folder for folder in folders if folder not in unfinished]
    if not finished:
        raise ArtifactError(", ".join(map(str, paths)), "must hold a finished retrain", "none", "run `automtl retrain` first")
    return [_evaluate(folder, device, reporter) for folder in finished]


def _evaluate(folder: PhaseDir, device: str, reporter: Reporter) -> TestResult:
    session = session_of(folder, device, reporter)
    manifest = Manifest.read(folder.manifest)
    net = load_net(folder, session)
    reads = manifest.count_test_read()
    if reads > 1:
        reporter.say(f"{folder.path}: its test rows are read for the {_nth(reads)} time; choose nothing by them")
    predictions = predict(net, session.in_order("test"), device=session.device)
    test = evaluate(predictions, session.schema.tasks, reliability=True)
    results = files.read_json(folder.results)
    files.write_json(folder.results, {**results, "test": asdict(test)})
    run = folder.path.parent.parent.name
    label = folder.path.name.rpartition("-s")[0]
    return TestResult(folder, f"{run}: {label}", int(manifest.values["seed"]), test, reads)


def session_of(folder: PhaseDir, device: str, reporter: Reporter) -> Session:
    """The session of a finished phase: its own config and data, on this machine.

    Raises:
        ArtifactError: the data changed since the phase ran.
    """
    config = build(RunConfig, load_yaml(folder.config), folder.config)
    runtime = config.runtime.model_copy(update={"device": device, "threads": None})
    session = open_session(config.model_copy(update={"runtime": runtime}), reporter)
    held = Manifest.read(folder.manifest).values["data"]["hash"]
    if held != session.schema.data_hash:
        raise ArtifactError(folder.manifest, "must be of the same prepared data", "data that changed since", "retrain on the new data")
    return session


def _nth(n: int) -> str:
    return {2: "second", 3: "third"}.get(n, f"{n}th")


def summary(results: Sequence[TestResult]) -> list[dict[str, Any]]:
    """One row per label: seeds, and mean and sd over them of each task's AUC (or RMSE) and of the MTL-Loss."""
    rows = []
    for label in dict.fromkeys(r.label for r in results):
        group = [r for r in results if r.label == label]
        metrics = {f"{task} {name}": [r.test.tasks[task][name] for r in group] for task, name in _headline(group[0].test)}
        metrics["MTL-Loss"] = [r.test.loss for r in group]
        rows.append({"model": label, "seeds": [r.seed for r in group], **{k: _mean_sd(v) for k, v in metrics.items()}})
    return rows


def _headline(test: Evaluation) -> list[tuple[str, str]]:
    """Per task the metric people look at first."""
    return [(task, "rmse" if "rmse" in metrics else "auc") for task, metrics in test.tasks.items()]


def _mean_sd(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return {"mean": None, "sd": None}
    mean = sum(known) / len(known)
    sd = (sum((v - mean) ** 2 for v in known) / (len(known) - 1)) ** 0.5 if len(known) > 1 else None
    return {"mean": mean, "sd": sd}
