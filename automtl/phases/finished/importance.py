"""Which fields a trained model draws on, task by task, on its validation rows."""

import numpy as np
import pandas as pd

from automtl.data.store.batches import Batches
from automtl.data.store.slices import groups
from automtl.errors import ConfigError, counted
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.run.reporter import Reporter
from automtl.reports.load import FieldImportance
from automtl.runs.run_dir import PhaseDir
from automtl.training.loop import StepEvent
from automtl.training.metrics.importance import importance, shuffled_fields

MOST_ROWS = 20_000  # unless told otherwise; of half of them intervals are 1.4 times as wide


def field_importance(
    folder: PhaseDir,
    *,
    repeats: int,
    most_rows: int = MOST_ROWS,
    device: str = "auto",
    reporter: Reporter,
    place: tuple[int, int] = (0, 1),
) -> FieldImportance:
    """By how much each task's loss rises when a field's values are shuffled among the validation
    rows.

    Args:
        folder: a retrain folder.
        repeats: shuffles of each field.
        most_rows: of the validation rows; of more, as many are drawn evenly. They are in memory
            together.
        device: where to run.
        reporter: told what it is about, and each field.
        place: which of several models this is, from 0, and how many there are.

    Raises:
        ConfigError: no repeats, or fewer than two rows.
        ArtifactError: its rows are gone, or changed since.
    """
    for name, value, least in (("repeats", repeats, 1), ("rows", most_rows, 2)):
        if value < least:
            raise ConfigError(name, f"must be at least {least}", value)
    session = session_of(folder, device, reporter)
    store, net = session.store, load_net(folder, session)
    rows = store.rows("validation")
    count = len(rows)
    index = np.arange(count)
    if count > most_rows:
        index = np.sort(np.random.default_rng(0).choice(count, most_rows, replace=False))
    [batch] = Batches(rows, batch_size=len(index), index=index).epoch(0)
    most = f", {len(index):,} of them drawn evenly" if len(index) < count else ""
    reporter.say(
        f"{folder.path}: shuffling the values of each field {counted(repeats, 'time')} among "
        f"{counted(count, 'validation row')}{most}"
    )
    rises = []
    found = importance(
        net,
        batch,
        session.schema,
        repeats=repeats,
        units=groups(store, "validation", index),
        device=session.device,
    )
    part, parts = place
    tasks, stage = len(session.schema.tasks), f"fields of {folder.path.name}"
    fields = len(shuffled_fields(session.schema))
    for number, rise in enumerate(found, 1):
        rises.append(rise)
        if number % tasks == 0:  # the field's last task
            step = number // tasks - 1
            event = StepEvent(
                epoch=0,
                step=step,
                steps=fields,
                rows=len(index) * repeats,
                losses=None,
                part=part,
                parts=parts,
                stage=stage,
            )
            reporter.step(event, 1)
    table = pd.DataFrame(rises, columns=["task", "field", "rise", "low", "high"])
    order = {task.name: k for k, task in enumerate(session.schema.tasks)}
    ranked = table.assign(place=table.task.map(order), least=-table.rise)
    table = ranked.sort_values(["place", "least"], kind="stable")[list(table.columns)]
    return FieldImportance(len(index), count, repeats, table.reset_index(drop=True))
