"""The parts of a phase folder that search and retrain write alike."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from automtl import files
from automtl.data.spec.sections import TOTAL
from automtl.data.store.schema import Task
from automtl.errors import (
    ArtifactError,
    EnvironmentFault,
    Interrupted,
    NoResult,
    NumericalError,
    RankLost,
)
from automtl.phases.run.run_data import keep_data
from automtl.phases.run.session import Session
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from automtl.training.loop import RunningLosses, combined
from automtl.training.losses import task_weights


def open_phase(folder: PhaseDir, session: Session, **values: Any) -> Manifest:
    """Write the resolved config and a manifest in state "running".

    Args:
        folder: the phase's folder.
        session: what the phase starts from.
        values: what the manifest says of this kind of phase.

    Raises:
        ArtifactError: the folder has lines, checkpoints or trials, so that its manifest was lost;
            they would be mixed with the new ones.
    """
    if not session.ranks.first:  # the first one writes
        return Manifest(folder.manifest, {"state": "running", **values})
    if any(
        path.exists()
        for path in (folder.metrics, folder.checkpoint("last").parent, folder.path / "trials")
    ):
        rule = "must be there, beside what the phase has written"
        raise ArtifactError(
            folder.manifest, rule, "no such file", "restore it, or start anew in another folder"
        )
    config, schema = session.config, session.schema
    most = config.data.keep_side_tables * 2**20
    snapshot = keep_data(
        folder, session.store, session.dataset, most_bytes=most, say=session.reporter.say
    )
    data = {
        "name": schema.name,
        "source": config.data.source,
        "hash": schema.data_hash,
        "split_hash": schema.split_hash,
    }
    files.write_text(folder.config, config.to_yaml())
    return Manifest.start(
        folder.manifest,
        seed=config.seed,
        seeds=asdict(session.seeds),
        data={**data, "snapshot": snapshot},
        machine=session.machine,
        **values,
    )


@contextlib.contextmanager
def holding(folder: PhaseDir, session: Session, phase: str) -> Iterator[None]:
    """Hold a phase folder for this process, with its loggers open.

    Args:
        folder: the phase's folder.
        session: what the phase starts from.
        phase: "search" or "retrain".

    Raises:
        EnvironmentFault: another process holds the folder, or another rank does not see it.
    """
    ranks = session.ranks
    ranks.told(None)  # the first one has made it
    if ranks.agree(int(not folder.path.is_dir())):
        rule = "must be on a file system that all ranks share"
        raise EnvironmentFault(folder.path, rule, "no such folder on one of them", "use --out")
    about = {"data": session.schema.name, "phase": phase, "seed": str(session.config.seed)}
    with (
        files.locked(folder.path),
        session.sinks.of(folder, about=about, tasks=len(session.schema.tasks)),
    ):
        yield


def append_epoch(folder: PhaseDir, session: Session, line: dict[str, Any]) -> None:
    """Append an epoch's line to metrics.jsonl and tell it to the loggers and the reporter; then
    freed memory may go back.
    """
    folder.append_metrics(line)
    session.sinks.log(line)
    session.reporter.epoch("search" if folder.path.name == "search" else "retrain", line)
    session.trim()


def charge_balancing(spent: dict[str, Any], line: dict[str, Any]) -> None:
    """Add what balancing cost in an epoch to what it cost before; times go from the line, so that
    equal runs have equal lines.

    Args:
        spent: seconds in backward passes and the balancing between them, passes per step, bytes of
            gradients held; changed in place.
        line: of metrics.jsonl.
    """
    if costs := line.get("balancing"):
        spent["seconds"] = spent.get("seconds", 0.0) + costs.pop("seconds")
        spent["backward_passes"] = max(spent.get("backward_passes", 0.0), costs["backward_passes"])
        spent["extra_bytes"] = max(spent.get("extra_bytes", 0), costs["extra_bytes"])


def close_failed(manifest: Manifest, error: BaseException) -> None:
    """Note in the manifest that a phase was interrupted (by a limit, too), or failed and why."""
    can_go_on = isinstance(error, KeyboardInterrupt | Interrupted | NoResult | RankLost)
    manifest.finish("interrupted" if can_go_on else "failed", error=str(error)[:2000])


def training_losses(
    running: RunningLosses, tasks: Sequence[Task], epoch: int
) -> dict[str, float | None]:
    """Per task name the epoch's mean loss over its labelled rows, and "total", weighted as the data
    set says; None without labels.

    Raises:
        NumericalError: a loss is NaN or infinite; the message names task and epoch.
    """
    means = running.means() or [None] * len(tasks)
    for task, mean in zip(tasks, means, strict=True):
        if mean is not None and not abs(mean) < float("inf"):
            raise NumericalError(
                f"task {task.name}, epoch {epoch}",
                "the training loss must be finite",
                mean,
                "lower the learning rate",
            )
    return {
        **{task.name: mean for task, mean in zip(tasks, means, strict=True)},
        TOTAL: combined(means, task_weights(tasks)),
    }
