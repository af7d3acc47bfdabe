"""What an architecture says of the data that it was made for."""

from collections.abc import Sequence
from typing import Literal, Protocol

from pydantic import Field

from automtl.strict import Strict


class TaskSignature(Strict):
    """A task as an architecture knows it: its name, kind and number of classes, not its
    statistics.
    """

    name: str
    kind: Literal["binary", "regression", "multiclass"]
    classes: int = Field(2, ge=2, description="Number of classes; read for multiclass tasks only.")


class FieldSignature(Strict):
    """A field as an architecture knows it: its name and kind; vocabulary sizes are the data's
    business.
    """

    name: str
    kind: Literal["categorical", "numeric", "multi", "sequence"]


class _FieldLike(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...


class _TaskLike(_FieldLike, Protocol):
    @property
    def classes(self) -> int: ...


class SchemaLike(Protocol):
    """What binding reads of a data set's schema."""

    @property
    def name(self) -> str: ...
    @property
    def fields(self) -> Sequence[_FieldLike]: ...
    @property
    def tasks(self) -> Sequence[_TaskLike]: ...
