"""The sections of a data set's YAML: tasks, split, files, joins, derived columns."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, field_validator, model_validator
from pydantic import Field as Setting

from automtl.data.spec.csv_settings import Csv as Csv
from automtl.data.spec.features import Name
from automtl.data.spec.where import parse_where
from automtl.strict import Strict

Files = Annotated[
    tuple[Name, ...],
    BeforeValidator(
        lambda value: (value,) if isinstance(value, str) else value,
        json_schema_input_type=Name | tuple[Name, ...],
    ),
]
TOTAL = "total"


class TaskConfig(Strict):
    """One thing to predict."""

    name: Name = Setting(description="What results and columns of predictions are called.")
    label: Name = Setting(description="The label's column.")
    kind: Literal["binary", "regression", "multiclass"] = Setting(
        "binary", description="Of the label: 0 and 1, a number, or one of several classes."
    )
    weight: float = Setting(
        1.0,
        gt=0,
        description="Share in the loss, before the shares are made to sum to 1.",
    )
    where: str | None = Setting(
        None, description="The rows that the task exists on, as in `is_click == 1`."
    )
    transform: Literal["none", "log1p"] = Setting(
        "none", description="Regression: done to the label before anything else."
    )
    sample_weight: Name | None = Setting(
        None, description="A column of weights of the rows, for this task."
    )
    positive: Name | None = Setting(
        None, description="Binary: the word for 1, as in `yes`; the column's one other word is 0."
    )
    negatives_kept: float | None = Setting(
        None,
        gt=0,
        le=1,
        description="Binary: the share of the negatives that "
        "the log kept, all parts alike; answers are "
        "of the whole log.",
    )
    negatives_kept_test: float | None = Setting(
        None, gt=0, le=1, description="That of the test rows, where it is another; 1: all."
    )

    @field_validator("name")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if name == TOTAL:
            raise ValueError(
                f"cannot be '{TOTAL}': that is the sum of all tasks' losses wherever runs tell "
                "them; name it otherwise"
            )
        return name

    @field_validator("where")
    @classmethod
    def _where_parses(cls, text: str | None) -> str | None:
        if text is not None:
            parse_where(text)
        return text

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.transform != "none" and self.kind != "regression":
            raise ValueError(
                f"transform is for regression labels only, task '{self.name}' is {self.kind}"
            )
        if self.positive is not None and self.kind != "binary":
            raise ValueError(
                f"positive is for binary labels only, task '{self.name}' is {self.kind}"
            )
        if self.negatives_kept is not None and self.kind != "binary":
            raise ValueError(
                f"negatives_kept is for binary labels only, task '{self.name}' is {self.kind}"
            )
        if self.negatives_kept_test is not None and self.negatives_kept is None:
            raise ValueError(
                "negatives_kept_test needs negatives_kept, of the training rows of task "
                f"'{self.name}'"
            )
        return self


class Split(Strict):
    """Which rows train, which choose, which judge; never mixed with a run's `--seed`."""

    kind: Literal["random", "files", "time", "by_user"] = Setting(
        "random", description="What rows are parted by; files: which file they stand in."
    )
    seed: int = Setting(0, ge=0, description="Seed of every random share, the alpha rows' too.")
    train: float = Setting(
        0.8, gt=0, lt=1, description="Share of rows (time: the earliest; by_user: of users)."
    )
    validation: float = Setting(
        0.1, ge=0, lt=1, description="0: a tenth of the training rows is taken."
    )
    test: float = Setting(0.1, gt=0, lt=1, description="Share of rows (time: the latest).")
    column: Name | None = Setting(
        None, description="The column of time or of users; random: equal values go together."
    )
    duplicates: Literal["spread", "together"] = Setting(
        "spread",
        description="Equal rows: each on its own, as any other; "
        "or together, where a copy is the same "
        "event logged again.",
    )
    test_to_validation: float = Setting(
        0.0, ge=0, lt=1, description="kind files: share of the test rows that becomes validation."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind in ("time", "by_user") and self.column is None:
            raise ValueError(f"column must be given where kind is {self.kind}")
        shares_given = self.model_fields_set & {"train", "validation", "test"}
        if self.kind == "files" and shares_given:
            raise ValueError(
                f"{', '.join(sorted(shares_given))} cannot be given where kind is files: the "
                "files say which rows are which"
            )
        if self.duplicates == "together" and self.column is not None:
            raise ValueError(
                "duplicates: together is for splits without a column: rows of one value, so "
                "copies too, go together by it"
            )
        if self.kind != "files" and self.test_to_validation:
            raise ValueError("test_to_validation is for kind files only")
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise ValueError(
                f"train + validation + test must be 1, got {self.train} + {self.validation} + "
                f"{self.test}"
            )
        return self


class SourceFiles(Strict):
    """Paths or globs per role, relative to the YAML file; a folder stands for the tables in it."""

    train: Files = Setting(min_length=1, description="One path or glob, or a list of them.")
    validation: Files = Setting(
        (), description="The same; where the split is by files, or left out: see split.validation."
    )
    test: Files = Setting((), description="The same, where the split is by files.")

    def roles(self) -> dict[str, Files]:
        """The roles that have files, training first."""
        roles = {"train": self.train, "validation": self.validation, "test": self.test}
        return {role: files for role, files in roles.items() if files}


class Join(Strict):
    """A side table: its columns join each row by a key; a key that it lacks leaves them empty."""

    file: Files = Setting(min_length=1, description="Paths or globs, as in `files`.")
    on: Name = Setting(description="The key's column, of the same name in both.")
    csv: Csv = Csv()

    @field_validator("csv")
    @classmethod
    def _one_list_of_null_values(cls, csv: Csv) -> Csv:
        if csv.null_values is not None:
            raise ValueError(
                "null_values are said once, in the data set's own csv, and are those of its "
                "side tables, too"
            )
        return csv


class Derived(Strict):
    """A column made of a column of times."""

    name: Name = Setting(description="The new column's name, for a feature to take.")
    what: Literal["hour", "weekday", "day"] = Setting(
        description="Hour 0-23, weekday 0-6 from Monday, or days since 1970-01-01."
    )
    column: Name = Setting(description="The column of times.")
    unit: Literal["s", "ms", "us", "date"] = Setting(
        "date", description="Of whole numbers since 1970; date: dates or times as text."
    )
    utc_offset_hours: float = Setting(
        0.0, ge=-14, le=14, description="Added to the time: the users' own clock."
    )
