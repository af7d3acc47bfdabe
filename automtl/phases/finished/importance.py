"""Which fields a trained model draws on, task by task, on its validation rows."""

import numpy as np
import pandas as pd

from automtl.data.store.batches import Batches
from automtl.data.store.slices import groups
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.run.reporter import Reporter
from automtl.reports.load import FieldImportance
from automtl.runs.run_dir import PhaseDir
from automtl.training.metrics.importance import importance

MOST_ROWS = 50_000  # of the validation rows, drawn evenly: they are in memory together


def field_importance(
    folder: PhaseDir, *, repeats: int, device: str = "auto", reporter: Reporter
) -> FieldImportance:
    """By how much each task's loss rises when a field's values are shuffled among the validation
    rows.

    Args:
        folder: a retrain folder.
        repeats: shuffles of each field.
        device: where to run.
        reporter: told what it is about.

    Raises:
        ArtifactError: its rows are gone, or changed since.
    """
    session = session_of(folder, device, reporter)
    store, net = session.store, load_net(folder, session)
    rows = store.rows("validation")
    count = len(rows)
    index = np.arange(count)
    if count > MOST_ROWS:
        index = np.sort(np.random.default_rng(0).choice(count, MOST_ROWS, replace=False))
    [batch] = Batches(rows, batch_size=len(index), index=index).epoch(0)
    reporter.say(
        f"{folder.path}: shuffling each of {len(session.schema.fields)} fields {repeats} times on "
        f"{len(index):,} validation rows"
    )
    rises = importance(
        net,
        batch,
        session.schema,
        repeats=repeats,
        units=groups(store, "validation", index),
        device=session.device,
    )
    table = pd.DataFrame(rises, columns=["task", "field", "rise", "low", "high"])
    order = {task.name: k for k, task in enumerate(session.schema.tasks)}
    ranked = table.assign(place=table.task.map(order), least=-table.rise)
    table = ranked.sort_values(["place", "least"], kind="stable")[list(table.columns)]
    return FieldImportance(len(index), repeats, table.reset_index(drop=True))
