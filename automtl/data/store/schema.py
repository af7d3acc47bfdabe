"""What the prepared rows are: fields, tasks, and the hashes that say which data, which split, which
settings.
"""

import math
from typing import Annotated, Literal

from pydantic import Field as Bounded
from pydantic import FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from automtl.data.spec.features import ORDER
from automtl.data.values.forms import LONGEST_CODE, Form, Kind
from automtl.strict import Strict

SPLITS = ("train", "validation", "test")
VECTORS = "vectors/{}.npy"  # of a store: the pretrained ones of field i
Share = Annotated[float, Bounded(gt=0, le=1)]


class Field(Strict):
    """One input field.

    >>> mtl.Field(name="user", kind="categorical", vocabulary_size=100).owner
    'user'

    Attributes:
        kind: categorical: one id; multi, sequence: a list of ids; numeric: a number.
        vocabulary_size: ids: how many, id 0 (unknown, missing; in lists: nothing) counted.
        unknown_count: categorical: training rows with id 0. Lists: training rows without a known
            id. Numeric: without a value.
        mean, std: numeric: of the training rows, after `transform`; a standard deviation of 0 is
            kept as 1.
        form, digits: ids: what the training words have in common, see `forms.Form`.
        hash_buckets: ids are hashed to so many rows, and there is no vocabulary; 0: counted.
        shares: the field whose vocabulary and embedding rows this one uses; "" its own.
        embedding_dim: width of its own embedding; 0: the model's.
        pretrained: the store has vectors to start the embedding from.
        indicator_of: numeric: 1 where that column is missing, 0 elsewhere; "" a column of numbers.
        quantiles: numeric, transform quantile: the training rows' values at evenly spaced ranks.
    """

    name: str
    kind: Literal["categorical", "multi", "sequence", "numeric"]
    vocabulary_size: NonNegativeInt = 0
    unknown_count: NonNegativeInt = 0
    mean: float = 0.0
    std: float = 1.0
    transform: Literal["none", "log1p", "quantile"] = "none"
    form: Kind = "text"
    digits: int = Bounded(0, ge=0, le=LONGEST_CODE)
    hash_buckets: NonNegativeInt = 0
    shares: str = ""
    embedding_dim: NonNegativeInt = 0
    pretrained: bool = False
    indicator_of: str = ""
    quantiles: tuple[float, ...] = ()

    @property
    def owner(self) -> str:
        """The field whose vocabulary this one uses; itself, where it shares no other's."""
        return self.shares or self.name

    @property
    def words(self) -> Form:
        """The form of its ids' words."""
        return Form(self.form, self.digits)


class Task(Strict):
    """One thing to predict.

    >>> mtl.Task(name="colour", kind="multiclass", classes=3).outputs
    3

    Attributes:
        weight: share in the loss, as the user gave it.
        classes: multiclass: how many; binary: 2.
        class_names: multiclass: the label's text, in the order of the class index.
        mean, std: regression: of the training labels, after `transform`; labels are stored
            unstandardised.
        labelled: training rows that have the label.
        positives: binary: training rows with label 1.
        constant: what the best constant model would say, as a network does, of the training rows
            and weighted as the loss weighs them: binary log(p / (1 - p)), multiclass the log of
            each class's share, regression the mean in standardised units.
        negatives_kept: binary: the share of the log's negatives that are among the training rows.
        negatives_kept_test: likewise, among the test rows.
    """

    name: str
    kind: Literal["binary", "regression", "multiclass"]
    weight: float = 1.0
    classes: PositiveInt = 2
    class_names: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    transform: Literal["none", "log1p"] = "none"
    labelled: NonNegativeInt = 0
    positives: NonNegativeInt = 0
    constant: tuple[FiniteFloat, ...] = ()
    negatives_kept: Share = 1.0
    negatives_kept_test: Share = 1.0

    @model_validator(mode="after")
    def _fits(self) -> "Task":
        if len(self.constant) not in (0, self.outputs):
            raise ValueError(f"constant must have {self.outputs} numbers, one per output, or none")
        return self

    @property
    def outputs(self) -> int:
        """Numbers that a network gives per row."""
        return self.classes if self.kind == "multiclass" else 1

    @property
    def base(self) -> tuple[float, ...]:
        """``constant``; where a schema made by hand does not say, what its counts or its mean say;
        empty where those do not either.
        """
        if not self.constant and self.kind == "binary" and 0 < self.positives < self.labelled:
            return (math.log(self.positives / (self.labelled - self.positives)),)
        return self.constant or ((0.0,) if self.kind == "regression" else ())

    @property
    def logit_offset(self) -> float:
        """What makes a logit of the kept rows one of the whole log; see
        `training/metrics/sampling.py`.
        """
        return math.log(self.negatives_kept)


class Schema(Strict):
    """Fields and tasks in the order of the store's columns: categorical fields first, then lists of
    ids, then numeric ones.

    >>> price = mtl.Field(name="price", kind="numeric")
    >>> click = mtl.Task(name="click", kind="binary")
    >>> [field.name for field in mtl.Schema(name="shop", fields=(price,), tasks=(click,)).numeric]
    ['price']

    Attributes:
        train_rows: how many the training split has.
        kept: columns kept beside the rows, to slice and group metrics by.
        times: the forms in which columns of times are read, where they are texts.
        group: the one of them that GAUC groups by; "" none.
        data_hash: of the rows' content, whatever the order of rows and files.
        split_hash: of which row is in which split, whatever their order.
        config_hash: of the data set's settings, paths left out.
    """

    name: str
    fields: tuple[Field, ...]
    tasks: tuple[Task, ...]
    train_rows: NonNegativeInt = 0
    kept: tuple[str, ...] = ()
    times: dict[str, str] = Bounded({})
    group: str = ""
    data_hash: str = ""
    split_hash: str = ""
    config_hash: str = ""

    @model_validator(mode="after")
    def _whole(self) -> "Schema":
        """A store and an export bring their own, and a stranger may have written it."""
        order = [ORDER[field.kind] for field in self.fields]
        if order != sorted(order):
            raise ValueError("fields must be those of one id, then those of lists, then numbers")
        own = {field.name for field in self.fields if field.kind != "numeric" and not field.shares}
        if unknown := [
            field.shares for field in self.fields if field.shares and field.shares not in own
        ]:
            raise ValueError(f"fields can share what another field owns, not '{unknown[0][:80]}'")
        for what, names in (
            ("fields", [f.name for f in self.fields]),
            ("tasks", [t.name for t in self.tasks]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} must have names of their own")
        return self

    @property
    def categorical(self) -> tuple[Field, ...]:
        """The fields of the columns of `ids`."""
        return tuple(field for field in self.fields if field.kind == "categorical")

    @property
    def lists(self) -> tuple[Field, ...]:
        """The fields of the lists of ids, `multi` and `sequence`."""
        return tuple(field for field in self.fields if field.kind in ("multi", "sequence"))

    @property
    def id_fields(self) -> tuple[Field, ...]:
        """The fields of one id, then those of lists: all that have embedding rows."""
        return self.categorical + self.lists

    @property
    def numeric(self) -> tuple[Field, ...]:
        """The fields of the columns of `dense`."""
        return tuple(field for field in self.fields if field.kind == "numeric")

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """Ids per categorical field, id 0 counted."""
        return tuple(field.vocabulary_size for field in self.categorical)

    @property
    def owners(self) -> tuple[str, ...]:
        """The fields that own a vocabulary, in the order of the vocabularies' files."""
        return tuple(
            f.name
            for f in self.fields
            if f.kind != "numeric" and not f.shares and not f.hash_buckets
        )

    def only(self, task: str) -> "Schema":
        """The same rows and fields with one task."""
        return self.model_copy(update={"tasks": tuple(t for t in self.tasks if t.name == task)})
