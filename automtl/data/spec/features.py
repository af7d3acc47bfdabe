"""What a data set's YAML can say of one feature: ids, lists of ids, numbers."""

from typing import Annotated, Literal, Self

from pydantic import Field as Setting
from pydantic import field_validator, model_validator

from automtl.strict import Strict

Name = Annotated[str, Setting(min_length=1, max_length=200)]


class _Named(Strict):
    """What all features share."""

    name: Name = Setting(description="The column.")


class _Ids(_Named):
    """What all features made of ids share."""

    min_count: int = Setting(
        1, ge=1, description="Ids seen in fewer training rows than this share the unknown id."
    )
    hash_buckets: int | None = Setting(
        None, ge=2, description="Hash the ids to this many rows instead of counting them."
    )
    share_embedding: Name | None = Setting(
        None, description="The feature whose vocabulary and embedding rows this one uses."
    )
    embedding_dim: int | None = Setting(
        None,
        ge=1,
        le=4096,
        description="Own width, mapped to the model's by a Linear without bias.",
    )
    pretrained: Name | None = Setting(
        None,
        description="An .npy file (n, width) to start from; "
        "row i is of word i, or of line i of words.",
    )
    words: Name | None = Setting(
        None,
        description="pretrained: a text file with one word per line, in the order of its rows.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        own = {
            "hash_buckets",
            "embedding_dim",
            "pretrained",
            "words",
            "min_count",
        } & self.model_fields_set
        if self.share_embedding and own:
            raise ValueError(
                f"{sorted(own)[0]} cannot be given with share_embedding: it is the other "
                "feature's business"
            )
        if self.hash_buckets and (self.pretrained or self.min_count > 1):
            raise ValueError(
                "hash_buckets cannot be given with pretrained or min_count: hashed ids have no "
                "names and no counts"
            )
        if self.words and not self.pretrained:
            raise ValueError("words are for pretrained")
        return self


class Categorical(_Ids):
    """A column of ids, whole numbers or text, each id with an embedding of its own."""

    kind: Literal["categorical"] = Setting(description="What the column holds.")


class _Lists(_Ids):
    """What features of lists share."""

    separator: str = Setting(
        ",", min_length=1, max_length=8, description="Between the ids of a text."
    )
    padding: Name | None = Setting(
        None, description="A word that only fills lists up, such as 0; it is no id."
    )

    @field_validator("padding", mode="before")
    @classmethod
    def _number_is_a_word(cls, value: object) -> object:
        return (
            str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        )


class Multi(_Lists):
    """A column of lists of ids in no order: the mean of their embeddings; Parquet lists, or text
    with a separator.
    """

    kind: Literal["multi"] = Setting(description="What the column holds.")
    max_length: int | None = Setting(
        None, ge=1, le=10_000, description="Ids beyond so many are left out."
    )


class Sequence(_Lists):
    """A column of lists of ids in order of time: as `multi`, but the latest `max_length` are
    kept.
    """

    kind: Literal["sequence"] = Setting(description="What the column holds.")
    max_length: int = Setting(
        ge=1, le=10_000, description="The latest ids are kept, at most so many."
    )


class Numeric(_Named):
    """A column of numbers, standardised by the training rows."""

    kind: Literal["numeric"] = Setting(description="What the column holds.")
    transform: Literal["none", "log1p", "quantile"] = Setting(
        "none",
        description="Done to the number before it is standardised; "
        "quantile: to normal scores by the "
        "training rows.",
    )
    missing: Literal["mean", "indicator", "refuse"] = Setting(
        "mean",
        description="A missing number becomes the mean; indicator: "
        "and a 0/1 column says so; refuse: is "
        "an error.",
    )
    fill: float | None = Setting(
        None,
        description="A missing number becomes this one (before the transform).",
    )

    @model_validator(mode="after")
    def _one_policy(self) -> Self:
        if self.fill is not None and self.missing != "mean":
            raise ValueError(f"fill cannot be given with missing: {self.missing}")
        return self


IdFeature = Categorical | Multi | Sequence
ListFeature = Multi | Sequence
Feature = Annotated[Categorical | Multi | Sequence | Numeric, Setting(discriminator="kind")]
# of a schema's fields: one id, lists in their own order, numbers
ORDER = {"categorical": 0, "multi": 1, "sequence": 1, "numeric": 2}
