"""What a network's outputs say: probabilities, or values in the label's unit."""

import numpy as np
from scipy.special import expit, softmax

from automtl.data.store.schema import Task


def answers_of(task: Task, logits: np.ndarray) -> np.ndarray:
    """The answers of a task, in float64: the probability of the label 1, of each class, or the
    label's value as the store has it, after its transform.

    `exports.network.answer` says the same in torch's operations, so that it can be traced.

    Shape: (n,) or (n, C), as the logits'.

    Args:
        task: its kind, and the mean and standard deviation of its training labels.
        logits: what the network gives: logits, or the label in standardised units.
    """
    exact = np.asarray(logits, np.float64)
    if task.kind == "regression":
        return exact * task.std + task.mean
    return np.asarray(expit(exact) if task.kind == "binary" else softmax(exact, axis=1))
