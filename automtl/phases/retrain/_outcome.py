"""Writes the result of a retrain: the best weights, their validation figures, and the cost."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from torch import nn

from automtl import files
from automtl.data.store.slices import groups
from automtl.models.cost import cost
from automtl.models.storage import packed_state
from automtl.phases.retrain._trainer import Trainer
from automtl.phases.run.session import Session
from automtl.runs import checkpoint
from automtl.runs.constant import remarks
from automtl.runs.run_dir import PhaseDir
from automtl.training.early_stopping import Monitor
from automtl.training.metrics.evaluation import Evaluation, evaluate


def monitor_name(session: Session) -> str:
    """The name of the figure that picks the epoch."""
    return Monitor.of(session.config.retrain.monitor).name


def write_outcome(
    session: Session,
    folder: PhaseDir,
    net: nn.Module,
    trainers: Sequence[Trainer],
    spent: Callable[[], dict[str, Any]],
) -> Evaluation:
    """Save the weights, judge them on validation and write cost.json and results.json.

    Args:
        session: data and settings.
        folder: of the retrain.
        net: as its best epochs left it.
        trainers: of its networks.
        spent: what the training and its judging cost.
    """
    checkpoint.save(folder.checkpoint("best"), {"net": packed_state(net)})
    store = session.store
    predictions = session.predict(net, session.in_order("validation"))
    users = groups(store, "validation", predictions.rows)
    validation = evaluate(predictions, store.schema.tasks, reliability=True, groups=users)
    files.write_json(folder.cost, {**spent(), "model": asdict(cost(net, session.schema))})
    # as it is evaluated: its gates have seen all rows
    shared = {trainer.tasks[0].name: trainer.net.sharing.record() for trainer in trainers}
    results = {
        "best_epochs": [trainer.best_epoch for trainer in trainers],
        "monitor": monitor_name(session),
        "validation": asdict(validation),
        "sharing": shared if len(shared) > 1 else next(iter(shared.values())),
    }
    files.write_json(folder.results, results)
    for remark in remarks([asdict(validation)]):
        session.reporter.say(f"{folder.path.name}: {remark}")
    return validation
