"""What an epoch's line says, told to other programs too: TensorBoard, MLflow. ``metrics.jsonl``
stays the record.

Names are those that users know: ``loss/total``, ``loss/click``, ``validation_loss/total`` (of a
search ``b_loss/total``, see ``runs/epoch_line.py``), ``metric/auc_click``, ``search/entropy``.
"""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol

from automtl.errors import ConfigError
from automtl.runs.epoch_line import judged
from automtl.runs.run_dir import PhaseDir
from automtl.strict import nearest

_SEARCH_FIGURES = ("entropy", "lr", "auxiliary_skip", "jsd_weight")


class Logger(Protocol):
    """Something that takes figures of epochs."""

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Take the figures of one epoch, counted from 0."""

    def close(self, state: str) -> None:
        """Write what is left; `state` is "done" or "failed"."""


class TensorBoardLogger:
    """Event files in the phase's own ``tensorboard/`` folder; needs the extra ``tensorboard``.

    Args:
        folder: the phase's folder.
        about: words about the phase; not used here.
        first: the first epoch to come; what an earlier process wrote from there on is hidden.
    """

    def __init__(self, folder: PhaseDir, about: Mapping[str, str], first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder.path / "tensorboard"), purge_step=first)

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self, state: str) -> None:
        self._writer.close()


class MLflowLogger:
    """A run in ``mlflow.db`` (SQLite) beside the runs' folders; needs the extra ``mlflow``. Nothing
    goes to any network.

    Look with ``mlflow ui --backend-store-uri sqlite:///runs/mlflow.db``.

    Args:
        folder: the phase's folder; a run of the same folder is gone on with.
        about: words about the phase: "data" names the experiment, all of them become parameters.
        first: the first epoch to come.
    """

    def __init__(self, folder: PhaseDir, about: Mapping[str, str], first: int) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        place = folder.run.resolve().parent
        self._client = MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
        # MLflow's filters cannot quote a quote
        digest = hashlib.sha256(str(folder.path.resolve()).encode()).hexdigest()
        experiment = self._client.get_experiment_by_name(about["data"])
        experiment_id = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(about["data"], str(place / "mlflow-artifacts"))
        )
        runs = (
            self._client.search_runs(
                [experiment_id], f"tags.automtl_folder = '{digest}'", max_results=1
            )
            if first
            else []
        )
        title, tags = f"{folder.run.name}: {folder.path.name}", {"automtl_folder": digest}
        self._run = (
            runs[0].info.run_id
            if runs
            else self._client.create_run(experiment_id, run_name=title, tags=tags).info.run_id
        )
        for key, value in about.items():
            self._client.log_param(self._run, key, value[:500])

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(mlflow_name(name), value, now, epoch) for name, value in values.items()]
        for start in range(0, len(metrics), 1000):  # the most that MLflow takes at once
            self._client.log_batch(self._run, metrics=metrics[start : start + 1000])

    def close(self, state: str) -> None:
        self._client.set_terminated(self._run, "FINISHED" if state == "done" else "FAILED")


def mlflow_name(name: str) -> str:
    """The name with letters that MLflow refuses written as their numbers."""
    return re.sub(r"[^\w. /-]", lambda m: f"_{ord(m[0]):x}", name, flags=re.ASCII)[:250]


# name -> what makes it, and the module that its extra installs
LOGGERS: dict[str, tuple[Callable[[PhaseDir, Mapping[str, str], int], Logger], str]] = {
    "tensorboard": (TensorBoardLogger, "tensorboard"),
    "mlflow": (MLflowLogger, "mlflow"),
}


def scalars(line: Mapping[str, Any], tasks: int) -> dict[str, float]:
    """The figures of one line of metrics.jsonl by their names; what is undefined is left out.

    Args:
        line: of an epoch.
        tasks: of the whole model. A line of one of several nets (``single_task``) has no total of
            the whole.
    """
    whole = len(line.get("part") or range(tasks)) == tasks
    rows, figures = judged(line)
    values = {
        f"loss/{name}": value for name, value in line["loss"].items() if whole or name != "total"
    }
    if whole and rows:
        values[f"{rows.lower()}_loss/total"] = figures.get("loss")
    for task, metrics in figures.get("tasks", {}).items():
        values |= {f"metric/{metric}_{task}": value for metric, value in metrics.items()}
    values |= {f"search/{name}": line[name] for name in _SEARCH_FIGURES if name in line}
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


class Sinks:
    """The loggers of one phase. One that fails is dropped and named once; the phase goes on.

    Args:
        names: keys of ``LOGGERS``.
        say: told of one that fails.

    Raises:
        ConfigError: an unknown name, or its extra is not installed.
    """

    def __init__(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        self.names, self._say = tuple(names), say
        # opened by the first line, which knows the first epoch to come
        self._open: dict[str, Logger] | None = None
        self._place: tuple[PhaseDir, Mapping[str, str], int] | None = None
        for name in self.names:
            if name not in LOGGERS:
                raise ConfigError(
                    "runtime.loggers", "must name known loggers", repr(name), nearest(name, LOGGERS)
                )
            if find_spec(LOGGERS[name][1]) is None:
                raise ConfigError(
                    "runtime.loggers",
                    f"{name} must be installed",
                    "no such package",
                    f"pip install 'automtl[{name}]'",
                )

    @contextlib.contextmanager
    def of(self, folder: PhaseDir, *, about: Mapping[str, str], tasks: int) -> Iterator[None]:
        """Loggers for a phase, closed when the block ends, however it ends.

        Args:
            folder: the phase's folder.
            about: words about the phase, "data" among them.
            tasks: how many the data set has.
        """
        self._open, self._place = None, (folder, about, tasks)
        state = "failed"
        try:
            yield
            state = "done"
        finally:
            opened: dict[str, Logger] = self._open or {}
            for name, logger in list(opened.items()):
                self._try(name, partial(logger.close, state))
            self._open, self._place = None, None

    def log(self, line: Mapping[str, Any]) -> None:
        """Tell every logger a line of metrics.jsonl."""
        assert self._place is not None, "use inside the with block"
        folder, about, tasks = self._place
        if self._open is None:
            self._open = {}
            for name in self.names:
                self._try(name, partial(self._start, name, folder, about, line["epoch"]))
        values = scalars(line, tasks) if self._open else {}
        for name, logger in list(self._open.items()):
            self._try(name, partial(logger.log, line["epoch"], values))

    def _start(self, name: str, folder: PhaseDir, about: Mapping[str, str], first: int) -> None:
        assert self._open is not None
        self._open[name] = LOGGERS[name][0](folder, about, first)

    def _try(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        # whatever another program's library raises, the training is worth more than its log
        except Exception as error:
            (self._open or {}).pop(name, None)
            self._say(
                f"the logger {name} failed and is left out from here on: "
                f"{type(error).__name__}: {error}"
            )
