"""A data set as Python users say it: from a DataFrame, a file or a YAML; what it holds, and its
batches for a loop of one's own.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import pandas as pd
import torch
from numpy.typing import NDArray

from automtl.api._progress import Listening
from automtl.api._roles import Item, Roles, Tasks, first_rows
from automtl.api._wording import speaks_python
from automtl.api.answers import Answer
from automtl.config import check_recommends
from automtl.data.access.paths import home
from automtl.data.describe import describe
from automtl.data.prepare import prepare
from automtl.data.prepare.frames import as_table, keep_frame, keep_settings
from automtl.data.spec.dataset import DatasetConfig, default_data_dir, load_dataset
from automtl.data.store import Rows, Store
from automtl.data.store.batches import Batch, Batches
from automtl.data.store.schema import SPLITS, Schema
from automtl.errors import ConfigError, DataError
from automtl.strict import build, nearest

PARTS = (*SPLITS, "fit", "alpha")


class Dataset:
    """A user's own data set; `search`, `retrain` and `tune` take it.

    >>> import automtl, pandas as pd
    >>> rows = pd.DataFrame({"user": range(300), "click": [0, 1, 0] * 100, "buy": [0, 0, 1] * 100})
    >>> data = automtl.Dataset.from_frame(rows, ids=["user"], tasks=["click", "buy"])
    >>> data
    Dataset data: 1 feature (user), tasks click and buy, split random
    >>> len(data.schema.tasks)
    2

    Args:
        source: a data set's YAML file, or a shipped one's name.
        data_dir: folder of raw and prepared data; default the user's cache folder.
    """

    def __init__(self, source: str | Path, *, data_dir: str | Path | None = None) -> None:
        path = Path(home(source))
        self.source = str(path.resolve()) if path.exists() else str(source)
        self.data_dir = Path(home(data_dir)) if data_dir is not None else default_data_dir()
        self.config = load_dataset(self.source)

    @classmethod
    @speaks_python
    def from_yaml(cls, source: str | Path, *, data_dir: str | Path | None = None) -> Self:
        """A data set of a YAML file, or one that ships with the package.

        >>> automtl.Dataset.from_yaml("census_income").tasks
        ['income', 'never_married', 'college']

        Args:
            source: the file's path, or the name.
            data_dir: folder of raw and prepared data; default the user's cache folder.
        """
        return cls(source, data_dir=data_dir)

    @classmethod
    @speaks_python
    def from_frame(  # noqa: PLR0913 # one argument for each role that a column can have
        cls,
        frame: Any,
        *,
        tasks: Tasks,
        ids: Sequence[Item] | None = None,
        numbers: Sequence[Item] | None = None,
        lists: Sequence[Item] | None = None,
        weights: str | None = None,
        split: str | Mapping[str, Any] | None = None,
        name: str = "data",
        data_dir: str | Path | None = None,
        **settings: Any,
    ) -> Self:
        """A data set of rows in memory; they are kept below the data folder, once for equal rows.

        >>> data = automtl.Dataset.from_frame(
        ...     rows, ids=["user"], tasks={"click": "binary", "buy": "binary"}, split="random"
        ... )
        >>> data.tasks
        ['click', 'buy']

        Args:
            frame: the rows: a DataFrame of pandas or polars, an Arrow table, a list of dicts or a
                dict of columns.
            tasks: what to predict: columns, or column -> kind (binary, regression, multiclass), or
                settings as a YAML file says them: `[{"name": "buy", "where": "click == 1"}]`.
                A kind that is not said is guessed from the values: where nine in ten of them are 0
                and 1, yes and no, or numbers, others are slips and refused with their row; other
                texts are classes, which `describe()` names.
            ids: columns of ids and words, each with an embedding.
            numbers: columns of numbers.
            lists: columns of lists of ids.
            weights: a column of weights of the rows.
            split: "random", "time:COLUMN" (the latest rows judge), "by_user:COLUMN", or settings.
            name: of the data set.
            data_dir: folder of raw and prepared data; default the user's cache folder.
            settings: further sections of a data set's YAML, such as `group="user"`.

        Where none of ids, numbers and lists is given, features (and where it is not given the
        split) are guessed as `automtl data describe --draft` does; look at `.config`.

        Raises:
            ConfigError: a role is none, or names a column that is not there.
        """
        roles = Roles(
            ids=ids, numbers=numbers, lists=lists, tasks=tasks, weights=weights, split=split
        )
        folder, table = _folder(data_dir), as_table(frame)
        if not table.num_rows:
            raise DataError("rows", "must be there to learn from", "none")
        with first_rows(table, folder) as path:
            plain = roles.settings(path, name) | settings
        config = build(DatasetConfig, plain, "Dataset.from_frame").in_folder(Path.cwd())
        _need_columns(config, table.column_names)
        return cls(keep_frame(table, config, data_dir=folder), data_dir=folder)

    @classmethod
    @speaks_python
    def from_file(  # noqa: PLR0913 # one argument for each role that a column can have
        cls,
        path: str | Path,
        *,
        tasks: Tasks,
        ids: Sequence[Item] | None = None,
        numbers: Sequence[Item] | None = None,
        lists: Sequence[Item] | None = None,
        weights: str | None = None,
        split: str | Mapping[str, Any] | None = None,
        name: str | None = None,
        data_dir: str | Path | None = None,
        **settings: Any,
    ) -> Self:
        """A data set of a file of rows (CSV, Parquet, ...), a folder of them or a pattern; they
        stay where they are.

        >>> rows.to_csv("shop.csv", index=False)
        >>> automtl.Dataset.from_file("shop.csv", ids=["user"], tasks=["click"], split="random")
        Dataset shop: 1 feature (user), task click, split random

        Args:
            path: of the rows.
            tasks: see `from_frame`, as for all other arguments.
            ids: columns of ids and words.
            numbers: columns of numbers.
            lists: columns of lists of ids.
            weights: a column of weights of the rows.
            split: which rows judge.
            name: of the data set; default the file's.
            data_dir: folder of raw and prepared data; default the user's cache folder.
            settings: further sections of a data set's YAML.
        """
        roles = Roles(
            ids=ids, numbers=numbers, lists=lists, tasks=tasks, weights=weights, split=split
        )
        folder, place = _folder(data_dir), Path(home(path))
        plain = roles.settings(place, name) | settings
        config = build(DatasetConfig, plain, "Dataset.from_file").in_folder(Path.cwd())
        return cls(keep_settings(config, data_dir=folder), data_dir=folder)

    @property
    def name(self) -> str:
        """The data set's name."""
        return self.config.name

    @property
    def tasks(self) -> list[str]:
        """The tasks' names."""
        return [task.name for task in self.config.tasks]

    @cached_property
    def store(self) -> Store:
        """The prepared rows; prepared when they are first asked for."""
        check_recommends(self.config, self.source)
        with Listening() as reporter:
            return prepare(self.config, data_dir=self.data_dir, progress=reporter.say)

    @property
    @speaks_python
    def schema(self) -> Schema:
        """Fields and tasks as a network needs them: `automtl.build_model(architecture, schema)`."""
        return self.store.schema

    @speaks_python
    def describe(self) -> Answer:
        """Rows, fields, tasks and what is remarkable about them.

        >>> data.describe().details["tasks"].columns.tolist()
        ['task', 'of', 'fit', 'alpha', 'validation', 'test', 'p']
        """
        return described(describe(self.store))

    @speaks_python
    def batches(
        self, part: str = "train", batch_size: int = 1024, *, shuffle: bool = True, seed: int = 0
    ) -> Batches:
        """Batches of a part, the same for the same seed: `for batch in batches.epoch(0)`.

        >>> next(data.batches("fit", 64).epoch(0)).labels.shape
        torch.Size([64, 2])

        Args:
            part: "train", "validation" or "test"; or of the training rows "fit" (they train
                weights in a search) and "alpha" (they move alpha).
            batch_size: rows of a batch.
            shuffle: another order in each epoch.
            seed: of the orders.
        """
        rows, index = self._part(part)
        return Batches(rows, batch_size=batch_size, index=index, shuffle=shuffle, seed=seed)

    @speaks_python
    def torch(self, part: str = "train") -> "TorchRows":
        """A part as a `torch.utils.data.Dataset`.

        >>> from torch.utils.data import DataLoader
        >>> view = data.torch("fit")
        >>> batch = next(iter(DataLoader(view, batch_size=32, collate_fn=view.collate)))
        >>> len(batch)
        32

        Args:
            part: see `batches`.
        """
        return TorchRows(*self._part(part))

    def _part(self, part: str) -> tuple[Rows, NDArray[Any] | None]:
        if part not in PARTS:
            raise ConfigError(
                "part", f"must be one of {', '.join(PARTS)}", part, nearest(part, PARTS)
            )
        if part in SPLITS:
            return self.store.rows(part), None
        index = self.store.fit_index if part == "fit" else self.store.alpha_index
        return self.store.rows("train"), index

    def __repr__(self) -> str:
        names = [feature.name for feature in self.config.features]
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        *first, last = self.tasks
        tasks = f"tasks {', '.join(first)} and {last}" if first else f"task {last}"
        column = self.config.split.column
        split = f"{self.config.split.kind}{f' of {column}' if column else ''}"
        count = f"{len(names)} feature{'s' * (len(names) != 1)}"
        return f"Dataset {self.name}: {count} ({shown}), {tasks}, split {split}"


class TorchRows(torch.utils.data.Dataset[Batch]):
    """Rows of a part for torch's DataLoader: whole batches at once, collated by `collate`.

    Args:
        rows: the split.
        index: the rows of the part; None: all.
    """

    def __init__(self, rows: Rows, index: NDArray[Any] | None) -> None:
        self._rows, self._index = rows, index

    def __len__(self) -> int:
        return len(self._rows) if self._index is None else len(self._index)

    def __getitem__(self, number: int) -> Batch:
        if not -len(self) <= number < len(self):
            raise IndexError(f"row {number} of {len(self)}")
        return self.__getitems__([number % len(self)])

    def __getitems__(self, numbers: list[int]) -> Batch:
        index = numbers if self._index is None else self._index[numbers]
        asked = cast("NDArray[Any]", index)
        return next(Batches(self._rows, batch_size=len(numbers), index=asked).epoch(0))

    @staticmethod
    def collate(batch: Batch) -> Batch:
        """The batch as it is: for a DataLoader's `collate_fn`."""
        return batch


def _folder(data_dir: str | Path | None) -> Path:
    return (Path(home(data_dir)) if data_dir is not None else default_data_dir()).absolute()


def _need_columns(config: DatasetConfig, columns: Sequence[str]) -> None:
    """Refuse a role of a column that the rows have not, as long as no other table may have it.

    Raises:
        ConfigError: a column is not there.
    """
    derived_columns = {derived.name for derived in config.derived}
    wanted = {f.name: f"feature '{f.name}'" for f in config.features}
    wanted |= {task.label: f"task '{task.name}'" for task in config.tasks}
    wanted |= {t.sample_weight: "weights" for t in config.tasks if t.sample_weight}
    wanted |= {config.split.column: "split"} if config.split.column else {}
    for column, role in wanted.items():
        if column not in columns and column not in derived_columns and not config.joins:
            raise ConfigError(
                role, "must be a column of the rows", repr(column), nearest(column, columns)
            )


def described(description: Mapping[str, Any]) -> Answer:
    """The description of a prepared data set."""
    fields = pd.DataFrame(description["fields"])
    rates = [
        {"task": task["name"], "of": what, **values, "p": task["p"]}
        for task in description["tasks"]
        for what, values in task["rates"].items()
    ]
    rows = pd.DataFrame([description["rows"]])
    return Answer(
        f"{description['name']}: rows by part",
        rows,
        tuple(description["remarks"]),
        {"fields": fields, "tasks": pd.DataFrame(rates)},
        description,
    )
