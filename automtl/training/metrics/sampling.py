"""Logs of which only a share of the negatives was kept: what is said of them is said of the whole
log.

A network that is trained on all positives and a share w of the negatives promises too much. By He
et al., Practical Lessons from Predicting Clicks on Ads at Facebook (ADKDD 2014), section 6.3, with
p its prediction, that of the whole log is

    q = p / (p + (1 - p) / w),    or in logits    logit q = logit p + ln w.

Rows that are judged stand for the whole log where each kept negative counts 1 / w rows.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from automtl.data.store.schema import Task
from automtl.training.metrics.evaluation import Predictions


def of_whole_log(predictions: Predictions, tasks: Sequence[Task]) -> tuple[Predictions, list[Task]]:
    """Predictions on test rows and the tasks' constants, corrected for the negatives that are not
    among the training rows; the rows' weights, for those left out of the test rows.

    Args:
        predictions: on the test rows.
        tasks: in the order of the predictions.
    """
    if all(task.negatives_kept == task.negatives_kept_test == 1 for task in tasks):
        return predictions, list(tasks)
    pairs = zip(tasks, predictions.logits, strict=True)
    # in float64, where no two logits become one and AUC stays what it was
    logits = [
        values.astype(np.float64) + task.logit_offset if task.logit_offset else values
        for task, values in pairs
    ]
    weights = (
        np.ones_like(predictions.labels)
        if predictions.weights is None
        else predictions.weights.copy()
    )
    for t, task in enumerate(tasks):
        # of another kind of task it is 1
        weights[predictions.labels[:, t] == 0, t] /= task.negatives_kept_test
    corrected = [
        t.model_copy(update={"constant": tuple(base + t.logit_offset for base in t.base)})
        if t.logit_offset
        else t
        for t in tasks
    ]
    return replace(predictions, logits=logits, weights=weights), corrected
