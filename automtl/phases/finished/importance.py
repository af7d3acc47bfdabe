"""Which fields a trained model draws on, task by task, on its validation rows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from automtl.data.store.batches import Batches
from automtl.data.store.schema import Schema
from automtl.data.store.slices import groups
from automtl.errors import counted, need_whole
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.run.reporter import Reporter
from automtl.reports.load import FieldImportance
from automtl.runs.run_dir import PhaseDir
from automtl.training.loop import StepEvent
from automtl.training.metrics.importance import Importance, importance, shuffled_fields

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
        ConfigError: no repeats, fewer than two rows, or a number that is not whole.
        ArtifactError: its rows are gone, or changed since.
    """
    need_whole("repeats", repeats, 1)
    need_whole("rows", most_rows, 2)
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
    found = importance(
        net,
        batch,
        session.schema,
        repeats=repeats,
        units=groups(store, "validation", index),
        device=session.device,
    )
    schema = session.schema
    first = StepEvent(
        epoch=0,
        step=0,
        steps=len(shuffled_fields(schema)),
        rows=len(index) * repeats,
        losses=None,
        part=place[0],
        parts=place[1],
        stage=f"fields of {folder.path.name}",
    )
    rises = _told(found, len(schema.tasks), first, reporter)
    return FieldImportance(len(index), count, repeats, _ranked(rises, schema))


def _told(
    found: Iterator[Importance], tasks: int, first: StepEvent, reporter: Reporter
) -> list[Importance]:
    """All that is found; the reporter is told of each field after its last task."""
    rises = []
    for rise in found:
        rises.append(rise)
        field, rest = divmod(len(rises), tasks)
        if not rest:
            reporter.step(replace(first, step=field - 1), 1)
    return rises


def _ranked(rises: Sequence[Importance], schema: Schema) -> pd.DataFrame:
    """Tasks in the order of the schema, each one's largest rise first."""
    order = {task.name: place for place, task in enumerate(schema.tasks)}
    ordered = sorted(rises, key=lambda rise: (order[rise.task], -rise.rise))
    return pd.DataFrame(ordered, columns=[*Importance._fields])
