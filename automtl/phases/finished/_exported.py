"""An export in ONNX that answers rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from automtl.data.prepare.new_rows import Server
from automtl.data.store import Rows
from automtl.data.store.schema import Task
from automtl.errors import ConfigError
from automtl.exports.encoding import Exported
from automtl.exports.folder import open_export
from automtl.exports.formats import ONNX
from automtl.exports.graph import onnx_runner
from automtl.exports.network import arrays, names
from automtl.phases.run.reporter import Reporter

SERVED_ROWS = 4096  # at a time

Answers = Callable[[Rows], list[np.ndarray]]


def exported(folder: Path, reporter: Reporter) -> tuple[Server, tuple[Task, ...], Answers]:
    """An export in ONNX, on the CPU; it needs nothing outside its folder."""
    kind = open_export(folder)["kind"]
    if kind != "onnx":
        raise ConfigError(
            folder,
            "must be an export in ONNX to predict with",
            kind,
            "its README says how to score rows with it",
        )
    encoding = Exported(folder)
    run, schema = onnx_runner(folder / ONNX, names(encoding.schema)[1]), encoding.schema

    def answers(rows: Rows) -> list[np.ndarray]:
        starts = range(0, len(rows), SERVED_ROWS)
        parts = [
            run(arrays(rows, schema, np.arange(start, min(start + SERVED_ROWS, len(rows)))))
            for start in starts
        ]
        return [np.concatenate(task) for task in zip(*parts, strict=True)]

    return Server(encoding, encoding.config, say=reporter.say), schema.tasks, answers
