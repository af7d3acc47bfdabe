"""What columns are for, as Python users say it in a few words, as a data set's settings; what they
do not say is taken from the draft that the package makes of the rows.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from automtl.data.access.paths import ROWS
from automtl.data.describe import draft, slipped_label
from automtl.errors import ConfigError
from automtl.files import scratch_folder, write_table
from automtl.strict import nearest, parse_yaml

Item = str | Mapping[str, Any]
Tasks = Sequence[Item] | Mapping[str, Any]
LOOKED_AT = 200_000  # rows of a frame, for a draft
_SPLITS = {"random": "random", "time": "time", "by_user": "by_user", "user": "by_user"}
_LABEL_KINDS = {"numeric": "regression", "categorical": "multiclass"}


@contextlib.contextmanager
def first_rows(table: pa.Table, folder: Path) -> Iterator[Path]:
    """A file of a table's first rows, from which a draft is made; gone afterwards."""
    with scratch_folder(folder) as scratch:
        write_table(scratch / ROWS, table.slice(0, LOOKED_AT).replace_schema_metadata())
        yield scratch / ROWS


class Roles:
    """The roles of a table's columns.

    Args:
        ids, numbers, lists: features: names, or settings as a YAML file says them; where none of
            the three is given, the draft's.
        tasks: what to predict: names of labels, settings, or name -> kind. A kind that is not said
            is guessed from the values; a label of texts is multiclass, unless at least nine in ten
            say yes and no or are numbers: then the others are slips, which preparing refuses.
        weights: a column of weights of the rows, for all tasks.
        split: "random", "time:COLUMN", "by_user:COLUMN" or settings; default the draft's, or random
            where features are named.
    """

    def __init__(
        self,
        *,
        ids: Sequence[Item] | None,
        numbers: Sequence[Item] | None,
        lists: Sequence[Item] | None,
        tasks: Tasks,
        weights: str | None,
        split: str | Mapping[str, Any] | None,
    ) -> None:
        self._features = {"categorical": ids, "numeric": numbers, "multi": lists}
        self._tasks, self._weights = tasks, weights
        self._split = split
        for name, given in {"ids": ids, "numbers": numbers, "lists": lists, "tasks": tasks}.items():
            if isinstance(given, str):
                fix = f"write {name}=[{given!r}]"
                raise ConfigError(name, "must be a list of columns", repr(given), fix)
            items: list[Any] = [] if given is None else list(given)
            if odd := [item for item in items if not isinstance(item, str | Mapping)]:
                rule = "must be names of columns (texts), or mappings of settings"
                raise ConfigError(name, rule, repr(odd[0])[:100], f"write {str(odd[0])!r}")

    @property
    def guesses(self) -> bool:
        """Whether nothing is said of features."""
        return all(given is None for given in self._features.values())

    def settings(self, path: str | Path, name: str | None) -> dict[str, Any]:
        """The data set's settings.

        Args:
            path: of a table that holds the rows, for the draft.
            name: of the data set; None: the file's.
        """
        drafted = parse_yaml(draft(path, name), "draft")
        assert isinstance(drafted, dict), "a draft is a mapping"
        tasks = self._labels(drafted, path)
        labels = {task["label"] for task in tasks}
        settings: dict[str, Any] = {"name": drafted["name"], "files": drafted["files"]}
        settings["tasks"] = tasks
        settings |= {key: drafted[key] for key in ("csv",) if key in drafted}
        settings["split"] = self._parts(drafted if self.guesses else {})
        used = settings["split"].get("column")
        if self.guesses:
            settings["features"] = self._drafted(drafted, labels | {self._weights, used})
        else:
            settings["features"] = [
                _with_kind(item, kind)
                for kind, items in self._features.items()
                for item in items or ()
            ]
        if times := {k: v for k, v in (drafted.get("times") or {}).items() if k == used}:
            settings["times"] = times
        return settings

    def _drafted(self, drafted: Mapping[str, Any], taken: set[Any]) -> list[dict[str, Any]]:
        """The draft's features; a column that looks like a label is none, and is told."""
        labels = [task["label"] for task in drafted["tasks"] or ()]
        if others := [label for label in labels if label not in taken]:
            names = ", ".join(map(repr, others))
            warnings.warn(
                f"left out, since it looks like something to predict: {names}; name it in tasks, "
                "or name all features by ids, numbers and lists",
                stacklevel=5,
            )
        return [feature for feature in drafted["features"] or () if feature["name"] not in taken]

    def _labels(self, drafted: Mapping[str, Any], path: str | Path) -> list[dict[str, Any]]:
        given = self._tasks
        items = (
            [_task_of(name, kind) for name, kind in given.items()]
            if isinstance(given, Mapping)
            else list(given)
        )
        known = {task["label"]: task for task in drafted["tasks"] or ()}
        kinds = {feature["name"]: feature["kind"] for feature in drafted["features"] or ()}
        tasks = []
        for item in items:
            task = {"name": item, "label": item} if isinstance(item, str) else dict(item)
            task = {"label": task.get("name"), **task}
            guess = {k: v for k, v in known.get(task["label"], {}).items() if k != "name"}
            if not guess and kinds.get(task["label"]) in _LABEL_KINDS:
                guess = {"kind": _LABEL_KINDS[kinds[task["label"]]]}
            unseen = not known.get(task["label"])  # by the draft, which looks for slips, too
            if "kind" not in task and unseen and guess.get("kind", "multiclass") == "multiclass":
                guess = slipped_label(path, str(task["label"])) or guess
            task = (
                guess | task if task.get("kind", guess.get("kind")) == guess.get("kind") else task
            )
            tasks.append(
                ({"sample_weight": self._weights} if self._weights is not None else {}) | task
            )
        return tasks

    def _parts(self, drafted: Mapping[str, Any]) -> dict[str, Any]:
        """The split's settings."""
        if self._split is None:
            return dict(drafted.get("split", {"kind": "random"}))
        if isinstance(self._split, Mapping):
            return dict(self._split)
        word, _, column = self._split.partition(":")
        if word not in _SPLITS:
            rule = 'must be "random", "time:COLUMN", "by_user:COLUMN", or a mapping of settings'
            raise ConfigError("split", rule, repr(self._split), nearest(word, tuple(_SPLITS)))
        return {"kind": _SPLITS[word], **({"column": column} if column else {})}


def _task_of(name: str, settings: Any) -> dict[str, Any]:
    """A task of a mapping: its kind, or its settings."""
    return {
        "name": name,
        **(dict(settings) if isinstance(settings, Mapping) else {"kind": settings}),
    }


def _with_kind(item: Item, kind: str) -> dict[str, Any]:
    return {"kind": kind, **({"name": item} if isinstance(item, str) else dict(item))}
