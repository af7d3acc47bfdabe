"""A recommender as scikit-learn has estimators, for its pipelines and its searches over settings;
scikit-learn itself is not needed.
"""

import inspect
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from automtl.api._roles import Item, Tasks
from automtl.api._wording import speaks_python
from automtl.api.dataset import Dataset
from automtl.api.models import Model
from automtl.api.training import retrain, search
from automtl.config_layers import merge
from automtl.data.access.paths import home
from automtl.data.prepare.frames import as_table
from automtl.data.prepare.new_labels import labels_of
from automtl.data.spec.dataset import default_data_dir
from automtl.data.spec.sections import TaskConfig
from automtl.errors import ArtifactError, ConfigError, counted
from automtl.files import make_folder, scratch_folder
from automtl.spaces.architecture import Architecture
from automtl.training.metrics.auc import auc

HAND_MADE = "mmoe"  # where neither an architecture nor a space is named


class MultiTaskRecommender:
    """Several tasks of one table, learned together: `fit`, `predict_proba`, `predict`, `score`, and
    all that scikit-learn's pipelines and searches over settings ask of an estimator.

    >>> model = automtl.MultiTaskRecommender(tasks=["click", "buy"], epochs=1, batch_size=64)
    >>> model.fit(rows).predict_proba(rows.head(2)).columns.tolist()
    ['click', 'buy']
    >>> model.feature_names_in_.tolist()
    ['user', 'price']
    >>> 0 <= model.score(rows) <= 1
    True
    >>> model.get_params()["architecture"] is None
    True

    Args:
        tasks: what to predict, see `Dataset.from_frame`.
        ids, numbers, lists: columns of features; where none is named, all are guessed.
        weights: a column of weights of the rows.
        split: which rows choose the epoch and which are held back to judge; see
            `Dataset.from_frame`. Default random, a tenth each.
        architecture: a hand-made model's name, an architecture or its file; default "mmoe".
        space: search an architecture in this space first, in place of `architecture`.
        sharing: another sharing kind to plug in.
        epochs, batch_size, lr: of the training; default the package's.
        seed: of everything random.
        settings: sections of the configuration, such as ``{"search": {"epochs": 3}}``.
        folder: where fits and their data are kept, one below the other; default a folder in the
            user's cache that goes when the estimator goes.
        verbose: whether to show progress.
    """

    def __init__(  # noqa: PLR0913 # an estimator's settings are its arguments
        self,
        tasks: Tasks,
        *,
        ids: Sequence[Item] | None = None,
        numbers: Sequence[Item] | None = None,
        lists: Sequence[Item] | None = None,
        weights: str | None = None,
        split: str | Mapping[str, Any] | None = "random",
        architecture: str | Architecture | None = None,
        space: Any = None,
        sharing: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        folder: str | Path | None = None,
        verbose: bool | None = False,
    ) -> None:
        self.tasks = tasks
        self.ids = ids
        self.numbers = numbers
        self.lists = lists
        self.weights = weights
        self.split = split
        self.architecture = architecture
        self.space = space
        self.sharing = sharing
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.settings = settings
        self.folder = folder
        self.verbose = verbose

    @speaks_python
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on rows that hold the labels, or on rows and labels apart.

        Args:
            X: a DataFrame, or whatever `Dataset.from_frame` takes.
            y: a DataFrame of labels, or of one task its labels; None: they are in `X`.
        """
        if self.architecture is not None and self.space is not None:
            rule = "must be given alone: an architecture is trained, a space is searched"
            raise ConfigError("architecture, space", rule, "both", "leave one out")
        rows = _joined(X, y, self._labels)
        folder = self._room()
        self._widths: tuple[int, ...] = ()
        if isinstance(X, np.ndarray):
            features = X.shape[1] - len(self._labels)
            last = {f"x{i}" for i in range(features, X.shape[1])}
            # later rows may come without the labels, where that leaves the others their names
            apart = y is None and {*self._labels} == last
            self._widths = (X.shape[1], *([features] if apart else []))
        self.data_ = Dataset.from_frame(
            rows,
            tasks=self.tasks,
            ids=self.ids,
            numbers=self.numbers,
            lists=self.lists,
            weights=self.weights,
            split=self.split,
            data_dir=folder / "data",
        )
        self.search_, self.model_ = None, None
        given = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}
        asked = {name: value for name, value in given.items() if value is not None}
        settings = merge(dict(self.settings or {}), {"retrain": asked})
        if self.space is not None:
            self.search_ = search(
                self.data_,
                space=self.space,
                out=folder / "run",
                verbose=self.verbose,
                **{**settings, "seed": self.seed},
            )
        [self.model_] = retrain(
            self.search_ or self.architecture or HAND_MADE,
            None if self.search_ else self.data_,
            sharing=self.sharing,
            seeds=[self.seed],
            out=None if self.search_ else folder / "run",
            verbose=self.verbose,
            **{name: part for name, part in settings.items() if name != "search"},
        )
        names = [feature.name for feature in self.data_.config.features]
        self.feature_names_in_ = np.array(names, object)
        self.n_features_in_ = len(names)
        return self

    def _room(self) -> Path:
        """A new folder for a fit."""
        if self.folder is not None:
            parent, n = Path(home(self.folder)), 1
            while (path := parent / f"fit-{n}").exists():
                n += 1
            return make_folder(path).absolute()
        stack = ExitStack()
        path = stack.enter_context(scratch_folder(default_data_dir() / "estimators"))
        weakref.finalize(self, stack.close)
        return path.absolute()

    @property
    def _labels(self) -> list[str]:
        if isinstance(self.tasks, Mapping):
            return list(self.tasks)
        items = [t if isinstance(t, Mapping) else {"name": str(t)} for t in self.tasks]
        return [item.get("label", item["name"]) for item in items]

    @property
    def _fitted(self) -> Model:
        model: Model | None = getattr(self, "model_", None)
        if model is None:
            raise ConfigError("MultiTaskRecommender", "must be fitted first", "none", "call fit")
        if not model.folder.path.is_dir():
            rule = "must be there: without `folder`, a fit is kept as long as its estimator"
            fix = "give a folder, which stays, before fit"
            raise ArtifactError(model.folder.path, rule, "no such folder", fix)
        return model

    @speaks_python
    def predict_proba(self, X: Any) -> pd.DataFrame:
        """A column per binary task with the probability of 1, per class of a multiclass task one
        that is named task=class; a task of numbers has none.
        """
        answers, columns = self._answers(X), {}
        for task in self.data_.schema.tasks:
            if task.kind == "binary":
                columns[task.name] = answers[f"probs_{task.name}"]
            elif task.kind == "multiclass":
                shares = np.stack(answers[f"probs_{task.name}"].to_list())
                columns |= {
                    f"{task.name}={name}": pd.Series(shares[:, i], index=answers.index)
                    for i, name in enumerate(task.class_names)
                }
        return pd.DataFrame(columns, index=answers.index)

    @speaks_python
    def predict(self, X: Any) -> pd.DataFrame:
        """A column per task: 0 or 1, the likeliest class, or the number."""
        answers, columns = self._answers(X), {}
        for task in self.data_.schema.tasks:
            if task.kind == "binary":
                columns[task.name] = (answers[f"probs_{task.name}"] >= 0.5).astype(int)
            else:
                kind = "class" if task.kind == "multiclass" else "value"
                columns[task.name] = answers[f"{kind}_{task.name}"]
        return pd.DataFrame(columns, index=answers.index)

    @speaks_python
    def score(self, X: Any, y: Any = None) -> float:
        """The mean over tasks of AUC (binary), accuracy (multiclass) and R² (regression), on the
        rows that have the task's label; NaN where a task's is undefined. More is better.
        """
        rows = _joined(X, y, self._labels)
        answers, labels = self._answers(X), labels_of(as_table(rows), self.data_.config)
        scores = [_score(task, labels[task.name], answers) for task in self.data_.config.tasks]
        return float(np.mean(scores))

    def _answers(self, X: Any) -> pd.DataFrame:
        model = self._fitted
        return model.predict(_framed(X, getattr(self, "_widths", ())))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings, as scikit-learn reads them."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change settings.

        Raises:
            ConfigError: there is no such setting.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ConfigError(name, f"must be one of {', '.join(known)}", name)
            setattr(self, name, value)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return getattr(self, "model_", None) is not None

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator before it uses it; only it calls this."""
        from sklearn.utils import InputTags, Tags, TargetTags

        target = TargetTags(required=False, multi_output=True)
        tags = InputTags(string=True, categorical=True, allow_nan=True)
        return Tags(estimator_type=None, target_tags=target, input_tags=tags)

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        said = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name].default
        ]
        return f"MultiTaskRecommender({', '.join(said)})"


def _framed(X: Any, widths: Sequence[int] = ()) -> Any:
    """Rows as they are; of a plain array, its columns named x0, x1, ...

    Raises:
        ConfigError: an array without columns, or with other columns than the fit had: then names
            would be of other columns.
    """
    if isinstance(X, np.ndarray):
        if X.ndim != 2 or (widths and X.shape[1] not in widths):
            wanted = f" of {counted(widths[0], 'column')}, as in fit" if widths else ""
            raise ConfigError("rows", f"must be an array of two dimensions{wanted}", X.shape)
        return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    return X


def _joined(X: Any, y: Any, labels: Sequence[str]) -> Any:
    """Rows with their labels.

    Raises:
        ConfigError: not a label of each task for each row.
    """
    rows = _framed(X)
    if y is None:
        return rows
    if not isinstance(rows, pd.DataFrame):
        rows = as_table(rows).to_pandas()
    if not isinstance(y, pd.DataFrame):
        values = np.asarray(y)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or values.shape[1] != len(labels):
            rule = f"must have a column for each of {', '.join(labels)}"
            got = counted(values.shape[1], "column") if values.ndim == 2 else type(y).__name__
            raise ConfigError("y", rule, got)
        y = pd.DataFrame(values, columns=list(labels))
    if len(y) != len(rows):
        rule = f"must have labels for {counted(len(rows), 'row')}"
        raise ConfigError("y", rule, counted(len(y), "row"))
    rest = rows.drop(columns=[name for name in y.columns if name in rows.columns])
    return pd.concat([rest, y.set_axis(rows.index)], axis=1)


def _score(task: TaskConfig, labels: np.ndarray, answers: pd.DataFrame) -> float:
    """A task's figure; NaN where it is undefined."""
    if task.kind == "multiclass":
        there = labels != ""
        hits = (answers[f"class_{task.name}"].to_numpy() == labels)[there]
        return float(np.mean(hits)) if len(hits) else np.nan
    there = ~np.isnan(labels)
    known = labels[there].astype(float)
    name = f"probs_{task.name}" if task.kind == "binary" else f"value_{task.name}"
    values = answers[name].to_numpy()[there].astype(float)
    if task.kind == "binary":
        area = auc(known, values)
        return np.nan if area is None else area
    spread = float(((known - known.mean()) ** 2).sum()) if len(known) else 0.0
    return 1 - float(((known - values) ** 2).sum()) / spread if spread else np.nan
