"""Whether an export computes what the network computes, on real rows."""

from collections.abc import Mapping

import numpy as np
import torch

from automtl.data.store.schema import Task
from automtl.errors import NumericalError
from automtl.exports.graph import Runner
from automtl.exports.network import Served, output_name, tensors

PROBABILITY, VALUE = 1e-5, 1e-5


def eager(served: Served, features: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """What the network itself answers."""
    with torch.inference_mode():
        return [output.numpy() for output in served(*tensors(features, served.schema))]


def compare(
    run: Runner, served: Served, features: Mapping[str, np.ndarray], *, exact: bool = False
) -> dict[str, float]:
    """The largest difference per output: absolute of probabilities; of values relative to their
    size, see `scale`.

    Raises:
        NumericalError: a difference above 1e-5, or any where `exact`.
    """
    largest = {}
    for task, answer, exported in zip(
        served.schema.tasks, eager(served, features), run(features), strict=True
    ):
        name, regression = output_name(task), task.kind == "regression"
        differences = np.abs(answer.astype(np.float64) - exported) / (
            scale(task, answer) if regression else 1.0
        )
        largest[name] = (
            float(differences.max(initial=0.0)) if answer.shape == exported.shape else float("nan")
        )
        allowed = 0.0 if exact else VALUE if regression else PROBABILITY
        if not largest[name] <= allowed:
            rule = (
                f"must answer as the network does, within {allowed:g}"
                if allowed
                else "must answer as the network does, bit for bit"
            )
            fix = "this is a fault of the export, which is not kept; try another --format"
            raise NumericalError(
                f"export, output '{name}'", rule, f"a difference of {largest[name]:.3g}", fix
            )
    return largest


def scale(task: Task, values: np.ndarray) -> np.ndarray:
    """What a value's difference is measured by: its size, and near 0 the label's standard deviation
    (of log1p labels: 1 + value).

    A value is the network's output times that deviation plus the mean: near 0 the two cancel, and a
    float32 output's own rounding is all that is left of the value.
    """
    size = np.abs(values.astype(np.float64))
    return 1 + size if task.transform == "log1p" else np.maximum(size, task.std)
