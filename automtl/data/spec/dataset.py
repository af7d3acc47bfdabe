"""The user's data set as one YAML file: where the rows are, which columns are features and tasks,
how rows are split.
"""

import importlib.resources
import os
import shlex
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, Self, TypeVar

from pydantic import Field as Setting
from pydantic import ValidationInfo, field_validator, model_validator

from automtl.data.access.formats import TABULAR
from automtl.data.access.paths import home
from automtl.data.access.remote import MARK
from automtl.data.spec.csv_settings import Csv as Csv
from automtl.data.spec.features import Feature, Name, Numeric
from automtl.data.spec.sections import Derived, Join, SourceFiles, Split, TaskConfig
from automtl.data.values.dates import check_format
from automtl.errors import ConfigError, EnvironmentFault
from automtl.strict import Strict, build, load_yaml, nearest, parse_yaml

P = ParamSpec("P")
T = TypeVar("T")
_ELSEWHERE = "set AUTOMTL_DATA_DIR, or --data-dir, to a folder that can be written"


class DatasetConfig(Strict):
    """A data set, as its YAML file says it."""

    name: str = Setting(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="Letters, digits, dot, underscore, hyphen.",
    )
    source: str = Setting("", description="Where the data come from, and their licence.")
    adapter: Name | None = Setting(
        None, description="The publisher's raw layout, for the shipped data sets."
    )
    files: SourceFiles
    csv: Csv = Csv()
    joins: tuple[Join, ...] = ()
    derived: tuple[Derived, ...] = ()
    times: dict[Name, str] = Setting(
        {}, description="Per column of times: ymd, dmy, mdy, or a format such as `%d %b %Y %H:%M`."
    )
    features: tuple[Feature, ...]
    tasks: tuple[TaskConfig, ...]
    split: Split = Split()
    group: Name | None = Setting(
        None, description="The column whose groups GAUC averages over, such as the user."
    )
    keep: tuple[Name, ...] = Setting(
        (), description="Columns kept beside the rows, to slice metrics by; no features."
    )
    vocabularies_from: Name | None = Setting(
        None, description="Folder of prepared data, or of a run's, whose ids stay; new ones follow."
    )
    outcome_columns: tuple[Name, ...] = Setting(
        (), description="Columns known only after the fact: never features."
    )
    allow_leak: tuple[Name, ...] = Setting(
        (), description="Columns that may be features although a check takes them for a leak."
    )

    recommends: dict[Literal["search", "retrain", "space", "architecture"], dict[str, Any]] = (
        Setting(
            {},
            description="Settings of the configuration for this "
            "data set, by section; what is in the "
            "store does not depend on them.",
        )
    )

    @field_validator("features", "tasks", mode="before")
    @classmethod
    def _some(cls, items: object, where: ValidationInfo) -> object:
        if items is None or items == ():
            example = (
                "{name: click, label: is_click}"
                if where.field_name == "tasks"
                else "{name: user_id, kind: categorical}"
            )
            raise ValueError(f"must name at least one, as in `- {example}`")
        return items

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        lists = {"features": self.features, "tasks": self.tasks, "derived": self.derived}
        for what, items in lists.items():
            names = [item.name for item in items]
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise ValueError(f"{what}: '{twice[0]}' is named twice")
        given = set(self.files.roles())
        if self.split.kind == "files" and "test" not in given:
            raise ValueError("files.test must be given where split.kind is files")
        if self.split.kind != "files" and len(given) > 1:
            raise ValueError(
                "split.kind must be files where files.validation or files.test are given, got "
                f"'{self.split.kind}'"
            )
        if self.split.test_to_validation and "validation" in given:
            raise ValueError("split.test_to_validation must be 0 where files.validation is given")
        return self

    @model_validator(mode="after")
    def _times_are_formats(self) -> Self:
        used = {derived.column for derived in self.derived} | (
            {self.split.column} if self.split.kind == "time" else set()
        )
        for name, form in self.times.items():
            if name not in used:
                raise ValueError(
                    f"times: '{name}' must be a column that is split by time, or one that "
                    "derived columns are made of"
                )
            check_format(form, f"times: {name}")
        return self

    @model_validator(mode="after")
    def _sharing_fits(self) -> Self:
        by_name = {feature.name: feature for feature in self.features}
        for feature in self.features:
            owner = None if isinstance(feature, Numeric) else feature.share_embedding
            if owner is None:
                continue
            other = by_name.get(owner)
            if (
                other is None
                or isinstance(other, Numeric)
                or other.share_embedding
                or other is feature
            ):
                raise ValueError(
                    f"features: '{feature.name}' shares '{owner}', which must be a feature of "
                    "ids that shares no other"
                )
        return self

    @model_validator(mode="after")
    def _no_outcome_among_features(self) -> Self:
        outcomes = {task.label: f"the label of task '{task.name}'" for task in self.tasks}
        outcomes = dict.fromkeys(self.outcome_columns, "one of outcome_columns") | outcomes
        for feature in self.features:
            if feature.name in outcomes and feature.name not in self.allow_leak:
                raise ValueError(
                    f"features: '{feature.name}' is {outcomes[feature.name]} and would leak it; "
                    "take it out, or name it in allow_leak"
                )
        return self

    def in_folder(self, folder: Path) -> "DatasetConfig":
        """The same data set with its files' paths taken relative to `folder`."""
        placed = {
            role: tuple(_place(pattern, folder) for pattern in files)
            for role, files in self.files.roles().items()
        }
        joins = tuple(
            join.model_copy(update={"file": tuple(_place(p, folder) for p in join.file)})
            for join in self.joins
        )
        features = tuple(_placed_feature(feature, folder) for feature in self.features)
        older = (
            {"vocabularies_from": _place(self.vocabularies_from, folder)}
            if self.vocabularies_from
            else {}
        )
        return self.model_copy(
            update={"files": SourceFiles(**placed), "joins": joins, "features": features, **older}
        )

    @property
    def kept(self) -> tuple[str, ...]:
        """The columns kept beside the rows, the group first."""
        return tuple(dict.fromkeys([*([self.group] if self.group else []), *self.keep]))


def _placed_feature(feature: Feature, folder: Path) -> Feature:
    paths = (
        {}
        if isinstance(feature, Numeric)
        else {key: getattr(feature, key) for key in ("pretrained", "words")}
    )
    placed = {key: _place(path, folder) for key, path in paths.items() if path}
    return feature.model_copy(update=placed) if placed else feature


def _place(pattern: str, folder: Path) -> str:
    return pattern if MARK in pattern else str(folder / home(pattern))


def list_presets() -> tuple[str, ...]:
    """The names of the data sets that ship with the package."""
    folder = importlib.resources.files("automtl.data.presets")
    return tuple(
        sorted(
            entry.name.removesuffix(".yaml")
            for entry in folder.iterdir()
            if entry.name.endswith(".yaml")
        )
    )


def is_dataset(name_or_path: str | Path) -> bool:
    """Whether it is a file, or the name of a shipped data set."""
    return Path(home(name_or_path)).is_file() or str(name_or_path) in list_presets()


def is_table(name: str) -> bool:
    """Whether a name is that of the rows themselves, and of no description of them."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return False
    if path.is_file() and not name.endswith(TABULAR):
        try:
            return not isinstance(load_yaml(path), dict)
        except ConfigError:
            return True
    return name not in list_presets() and (
        path.exists() or name.endswith(TABULAR) or any(sign in name for sign in "*?[")
    )


def load_dataset(name_or_path: str | Path) -> DatasetConfig:
    """Read a data set: an existing path wins, then the shipped names.

    The files of a user's YAML are relative to its folder; those of a preset to the folder of its
    raw files.

    Raises:
        ConfigError: neither a file nor a shipped name; or the YAML breaks a rule.
    """
    path = Path(home(name_or_path))
    if path.exists() and is_table(str(path)):
        words = [
            "automtl",
            "data",
            "describe",
            str(path),
            "--draft",
            f"{path.stem.partition('.')[0] or 'draft'}.yaml",
        ]
        fix = f"draft one and look it through: {shlex.join(words)}"
        raise ConfigError(
            path,
            "must be a data set's YAML file, or the name of a shipped one",
            "the rows themselves",
            fix,
        )
    if path.is_file():
        return build(DatasetConfig, load_yaml(path), path).in_folder(path.absolute().parent)
    name = str(name_or_path)
    if name not in list_presets():
        is_path = Path(name).suffix != "" or "/" in name or path.exists()
        raise ConfigError(
            name,
            "must be a YAML file or the name of a shipped data set",
            ("a folder" if path.exists() else "no such file") if is_path else "neither",
            "check the path" if is_path else nearest(name, list_presets()),
        )
    text = (
        importlib.resources.files("automtl.data.presets")
        .joinpath(f"{name}.yaml")
        .read_text(encoding="utf-8")
    )
    return build(DatasetConfig, parse_yaml(text, name), name)


def default_data_dir() -> Path:
    """`$AUTOMTL_DATA_DIR`, else `$XDG_CACHE_HOME/automtl`, else `~/.cache/automtl`.

    Raises:
        EnvironmentFault: the user has no home.
    """
    if given := os.environ.get("AUTOMTL_DATA_DIR"):
        return Path(home(given))
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "automtl"
    try:
        return Path.home() / ".cache" / "automtl"
    except RuntimeError as error:
        raise EnvironmentFault(
            "the user's home",
            "must be known, to keep data there",
            "no HOME, and no such user",
            _ELSEWHERE,
        ) from error


def keeps_data(function: Callable[P, T]) -> Callable[P, T]:
    """A function that writes below the folder `data_dir`; where it cannot, its error says how to
    choose another.
    """

    @wraps(function)
    def act(*args: P.args, **given: P.kwargs) -> T:
        try:
            return function(*args, **given)
        except OSError as error:
            fault = (
                error
                if isinstance(error, EnvironmentFault)
                else EnvironmentFault(error.filename, "must be writable", error.strerror)
            )
            below = (
                Path(fault.where).absolute().is_relative_to(Path(str(given["data_dir"])).absolute())
            )
            # one of a folder in use, or of the user's own files
            if type(fault) is not EnvironmentFault or not below:
                raise
            raise EnvironmentFault(
                fault.where,
                fault.rule,
                fault.got,
                ", or ".join(filter(None, (fault.fix, _ELSEWHERE))),
            ) from error

    return act
