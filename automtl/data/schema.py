"""What the prepared rows are: fields, tasks, and the hashes that say which data, which split, which settings."""

from typing import Literal

from automtl.strict import Strict


class Field(Strict):
    """One input field.

    Attributes:
        vocabulary_size: categorical: number of ids, id 0 (unknown, missing) counted.
        unknown_count: categorical: training rows with id 0. Numeric: training rows without a value.
        mean, std: numeric: of the training rows, after `transform`; a standard deviation of 0 is kept as 1.
        float_text: categorical: the column holds float numbers, read as their canonical text (`1.0` -> `1`).
    """

    name: str
    kind: Literal["categorical", "numeric"]
    vocabulary_size: int = 0
    unknown_count: int = 0
    mean: float = 0.0
    std: float = 1.0
    transform: Literal["none", "log1p"] = "none"
    float_text: bool = False


class Task(Strict):
    """One thing to predict.

    Attributes:
        weight: share in the loss, as the user gave it.
        classes: multiclass: how many; binary: 2.
        class_names: multiclass: the label's text, in the order of the class index.
        mean, std: regression: of the training labels, after `transform`; labels are stored unstandardised.
        labelled: training rows that have the label.
        positives: binary: training rows with label 1.
    """

    name: str
    kind: Literal["binary", "regression", "multiclass"]
    weight: float = 1.0
    classes: int = 2
    class_names: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    transform: Literal["none", "log1p"] = "none"
    labelled: int = 0
    positives: int = 0


class Schema(Strict):
    """Fields and tasks in the order of the store's columns: categorical fields first, then numeric ones.

    Attributes:
        data_hash: of the rows' content, whatever the order of rows and files.
        split_hash: of which row is in which split, whatever their order.
        config_hash: of the data set's settings, paths left out.
    """

    name: str
    fields: tuple[Field, ...]
    tasks: tuple[Task, ...]
    data_hash: str = ""
    split_hash: str = ""
    config_hash: str = ""

    @property
    def categorical(self) -> tuple[Field, ...]:
        """The fields of the columns of `ids`."""
        return tuple(field for field in self.fields if field.kind == "categorical")

    @property
    def numeric(self) -> tuple[Field, ...]:
        """The fields of the columns of `dense`."""
        return tuple(field for field in self.fields if field.kind == "numeric")

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """Ids per categorical field, id 0 counted."""
        return tuple(field.vocabulary_size for field in self.categorical)

    def only(self, task: str) -> "Schema":
        """The same rows and fields with one task."""
        return self.model_copy(update={"tasks": tuple(t for t in self.tasks if t.name == task)})
