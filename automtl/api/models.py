"""Trained models: they predict, are evaluated and are exported."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self, overload

import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from automtl.api._acting import acting, finished_retrains
from automtl.api._pictures import history_of, loss_curves, written
from automtl.api._progress import Listening
from automtl.api._settings import path_of
from automtl.api._wording import speaks_python
from automtl.api.answers import Answer
from automtl.api.callbacks import Calling
from automtl.api.judging import evaluate
from automtl.phases.finished.export import ExportResult
from automtl.phases.finished.export import export as _export
from automtl.phases.finished.importance import MOST_ROWS, field_importance
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.finished.predict import predict_frame
from automtl.phases.retrain import RetrainResult
from automtl.reports.load import RunView, load_phase
from automtl.reports.results import SelfShowing


class Model(RetrainResult):
    """One trained model.

    >>> model = models[0]
    >>> model.net.training, model.seed
    (False, 0)
    >>> model.predict([{"user": 3, "price": 9.5}]).columns.tolist()
    ['probs_click', 'probs_buy']
    >>> model.history.columns[:2].tolist()
    ['epoch', 'part']
    """

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where it lies."""
        return (self.folder.path,)

    @property
    def seed(self) -> int:
        """The seed of the weights and of the order of the rows."""
        return int(self.folder.path.name.rpartition("-s")[2])

    @property
    def label(self) -> str:
        """The folder's name: what was trained, and its seed."""
        return self.folder.path.name

    @cached_property
    @speaks_python
    def net(self) -> nn.Module:
        """The trained network, in evaluation mode, on the device that `device="auto"` finds: it
        takes the `inputs` of a batch and gives a logit per task.
        """
        with Listening(verbose=False) as listener:
            session = session_of(self.folder, "auto", listener)
            return load_net(self.folder, session).eval()

    @property
    def history(self) -> pd.DataFrame:
        """A row per epoch: losses of the training, figures on the validation rows."""
        return history_of(self.folder)

    @speaks_python
    def predict(self, rows: Any, *, keep: Sequence[str] = (), device: str = "auto") -> pd.DataFrame:
        """Answers for rows; see `automtl.predict`."""
        if isinstance(rows, dict) and not any(_is_column(value) for value in rows.values()):
            rows = [rows]  # one row
        return predict_frame(self.folder.path, rows, keep=keep, device=device)

    @speaks_python
    def evaluate(self, *, by: str | None = None, bootstrap: int = 0) -> Answer:
        """The model on the test rows; see `automtl.evaluate`."""
        return evaluate(self, by=by, bootstrap=bootstrap)

    @speaks_python
    def importance(
        self,
        *,
        repeats: int = 5,
        rows: int = MOST_ROWS,
        device: str = "auto",
        verbose: bool | None = None,
    ) -> pd.DataFrame:
        """By how much each task's loss rises when a field's values are shuffled among the
        validation rows, with a 95% interval over rows.

        >>> models[0].importance(repeats=2).columns.tolist()
        ['task', 'field', 'rise', 'low', 'high']

        Args:
            repeats: shuffles of each field.
            rows: validation rows, at most; of more, as many are drawn evenly. With fewer it is
                faster, and the intervals are wider.
            device: where to run.
            verbose: whether to show progress; default in terminals and notebooks.
        """
        with Listening(verbose) as listener:
            measured = field_importance(
                self.folder, repeats=repeats, most_rows=rows, device=device, reporter=listener
            )
        return measured.table

    @speaks_python
    def export(self, out: str | Path | None = None, *, format: str = "onnx") -> ExportResult:
        """The model as a folder to serve from; see `automtl.export`."""
        return _export(self.folder.path, format, out=path_of(out))

    @speaks_python
    def plot(self, what: str = "history", path: str | Path | None = None) -> Figure:
        """A picture: the MTL-Loss over the epochs ("history"), or the "architecture".

        >>> models[0].plot("history", "history.svg").axes[0].get_xlabel()
        'epoch'

        Args:
            what: which one.
            path: a file to write: .png, .svg or .pdf.
        """
        if what == "history":
            return written(loss_curves([self]), path)
        return written(super().plot(what), path)

    def __repr__(self) -> str:
        return f"Model {self.folder.path}: validation MTL-Loss {self.validation.loss_text}"


def _is_column(value: Any) -> bool:
    """Whether a dict's value is a column, not a value of one row; a list could be either."""
    return hasattr(value, "__len__") and not isinstance(value, str)


class Models(Sequence[Model], SelfShowing):
    """Trained models, one per seed; `models[0]` is one, and what a single one can do the `best` (on
    the validation rows) does for all.

    >>> len(models), models.best.seed in (0, 1)
    (2, True)
    >>> models.predict(rows).shape
    (300, 2)
    >>> models.export("served", format="python").path.name
    'served'
    """

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = tuple(models)
        self.architecture = self._models[0].architecture

    @classmethod
    def trained(cls, results: Iterable[RetrainResult], listener: Calling | None = None) -> Self:
        """The results of the retrain phase, as models that act; each is told as it comes."""
        models = []
        for result in results:
            models.append(acting(Model, result))
            if listener is not None:
                listener.end(models[-1])
        return cls(models)

    @classmethod
    def of(cls, path: Path) -> Self:
        """The finished retrains of a run folder, or the one in a retrain folder.

        Raises:
            ArtifactError: there is none.
        """
        return cls.trained(finished_retrains(path))

    @overload
    def __getitem__(self, which: int) -> Model: ...
    @overload
    def __getitem__(self, which: slice) -> "Models": ...
    def __getitem__(self, which: int | slice) -> "Model | Models":
        return Models(self._models[which]) if isinstance(which, slice) else self._models[which]

    def __len__(self) -> int:
        return len(self._models)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    @property
    def home(self) -> Path:
        return self._models[0].home

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where they lie."""
        return tuple(model.folder.path for model in self)

    @property
    def labels(self) -> list[str]:
        """The folders' names."""
        return [model.label for model in self]

    @property
    def best(self) -> Model:
        """The one with the least MTL-Loss on the validation rows; the first where none has one."""
        return min(
            self, key=lambda m: float("inf") if m.validation.loss is None else m.validation.loss
        )

    @property
    def net(self) -> nn.Module:
        """The best one's network, in evaluation mode."""
        return self.best.net

    @property
    def history(self) -> pd.DataFrame:
        """A row per model and epoch."""
        return pd.concat(
            [model.history.assign(model=model.label, seed=model.seed) for model in self],
            ignore_index=True,
        ).pipe(lambda f: f[["model", "seed", *(c for c in f if c not in ("model", "seed"))]])

    def predict(self, rows: Any, *, keep: Sequence[str] = (), device: str = "auto") -> pd.DataFrame:
        """The best one's answers; see `automtl.predict`."""
        return self.best.predict(rows, keep=keep, device=device)

    @speaks_python
    def evaluate(self, *, by: str | None = None, bootstrap: int = 0) -> Answer:
        """All of them on the test rows; see `automtl.evaluate`."""
        return evaluate(self, by=by, bootstrap=bootstrap)

    def importance(
        self,
        *,
        repeats: int = 5,
        rows: int = MOST_ROWS,
        device: str = "auto",
        verbose: bool | None = None,
    ) -> pd.DataFrame:
        """By how much each task's loss rises without a field, in the best one; see
        `Model.importance`.
        """
        return self.best.importance(repeats=repeats, rows=rows, device=device, verbose=verbose)

    def export(self, out: str | Path | None = None, *, format: str = "onnx") -> ExportResult:
        """The best one as a folder to serve from; see `automtl.export`."""
        return self.best.export(out, format=format)

    @speaks_python
    def plot(self, what: str = "history", path: str | Path | None = None) -> Figure:
        """A picture: the MTL-Loss of each over the epochs ("history"), or the "architecture"."""
        if what == "history":
            return written(loss_curves(self), path)
        return written(super().plot(what), path)

    def headline(self) -> str:
        return f"{len(self)} trained, best {self.best.headline()}"

    def _view(self) -> RunView:
        name = self.home.resolve().name
        return RunView(self.home, name, [load_phase(model.folder, name) for model in self])

    def __repr__(self) -> str:
        return f"{self.headline()}\n{self.leaderboard().to_string(index=False)}"
