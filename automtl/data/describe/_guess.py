"""What each column of a table seems to be for: a feature of some kind, a label, a time, or nothing
at all, and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Literal

from automtl.data.describe import _naming, _shapes
from automtl.data.describe._profile import Values
from automtl.data.describe._targets import known_words, settings_of, standing
from automtl.errors import DataError

Kind = Literal["categorical", "numeric", "multi", "sequence", "label", "unsure", "time", "out"]
# columns of two values that may be labels; more of them are indicators, such as genres
MAX_UNSURE = 3
ONE_EACH, OFTEN_ONCE = 0.9, 0.5  # shares of the rows with a value whose value no other row has
MOSTLY_NUMBERS = 0.8


@dataclass(frozen=True)
class Guess:
    """A guess at what a column is for.

    Args:
        values: the column.
        kind: of the feature; or a label, a time; `unsure`: a label or a feature; `out`: of no use.
        reason: why, where that is not plain.
        settings: of the feature or of the task, beside name and kind.
        commented: it is written as a comment, since the reason must be looked at first.
        advice: on a label, a line of its own.
    """

    values: Values
    kind: Kind
    reason: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    commented: bool = False
    advice: str = ""

    @property
    def name(self) -> str:
        """The column's name."""
        return self.values.name

    @property
    def is_feature(self) -> bool:
        """Whether it is drafted as a feature that counts."""
        return self.kind in ("categorical", "numeric", "multi", "sequence") and not self.commented


def guess_each(columns: Sequence[Values]) -> list[Guess]:
    """A guess per column, by names and values, the labels settled."""
    return _settled([_alone(values) for values in columns])


def _alone(values: Values) -> Guess:
    """A guess by the column itself."""
    if values.fault:
        return Guess(values, "out", values.fault)
    if not len(values.words):
        return Guess(values, "out", "empty")
    if _shapes.is_row_number(values):
        return Guess(values, "out", "row numbers")
    if len(values.words) == 1 and not values.is_list:
        as_label = (
            "; as a label it needs another one in other rows"
            if values.missing or _naming.is_outcome(values.name)
            else ""
        )
        return Guess(values, "out", f"one value only{as_label}")
    if (unit := _shapes.time_unit(values)) and _naming.kind_by_name(values.name) != "id":
        return Guess(values, "time", settings={"unit": unit})
    if not values.is_list and (example := _shapes.numbers_as_written(values)):
        return Guess(
            values,
            "out",
            f"numbers that are written as {example!r}: bring them to the form 1234.5, then it "
            "is numeric",
        )
    if values.is_list or (separator := _shapes.separator_of(values)):
        return _list(values, None if values.is_list else separator)
    if (role := standing(values)) != "feature":
        return Guess(
            values, "label" if role == "label" else "unsure", settings=settings_of(values) or {}
        )
    coded = _shapes.leads_with_zeros(values) and _naming.kind_by_name(values.name) != "quantity"
    return _text(values) if coded or values.numbers is None else _number(values)


def _list(values: Values, separator: str | None) -> Guess:
    settings = {"separator": separator} if separator else {}
    try:
        ids, _, _ = _shapes.list_ids(values, settings)
    except DataError as error:
        return Guess(values, "out", f"no lists of ids: {error.fix}")
    if _shapes.are_decimals(ids):
        return Guess(
            values,
            "out",
            "lists of decimals, as embeddings are: `pretrained` of a feature of ids may take them",
        )
    if _shapes.is_padded(values, settings):
        return Guess(
            values, "multi", "0 looks like what only fills lists up", settings | {"padding": "0"}
        )
    return Guess(values, "multi", settings=settings)


def _number(values: Values) -> Guess:
    by_name = _naming.kind_by_name(values.name)
    whole = _shapes.is_whole(values)
    few = len(values.words) <= _shapes.FEW
    codes = whole and _shapes.looks_like_codes(values)
    counts = (
        by_name is None
        and _naming.ends_as_outcome(values.name)
        and (_naming.is_plural(values.name) or few or not codes)
    )
    if counts or _naming.is_late(values.name):
        return Guess(
            values,
            "numeric",
            "LEAK? by its name known only after the outcome, or a count of outcomes",
            commented=True,
        )
    if by_name == "id" or (by_name == "class" and whole):
        return _ids(values, "")
    if by_name == "quantity" or not whole:
        return Guess(values, "numeric")
    if codes:
        return _ids(
            values,
            ""
            if len(values.words) <= 2
            else "or numeric?"
            if few
            else "whole numbers, by their spread codes; or numeric?",
        )
    return Guess(values, "numeric", "whole numbers, by their spread quantities; or categorical?")


def _text(values: Values) -> Guess:
    if _shapes.is_prose(values):
        return Guess(values, "out", "free text")
    if values.words[0].as_py().startswith("{"):
        return Guess(values, "out", "structured text: give its parts columns of their own")
    other = _shapes.odd_among_numbers(values, MOSTLY_NUMBERS)
    if (
        other is not None
        and len(values.words) > _shapes.MANY
        and _naming.kind_by_name(values.name) not in ("id", "class")
    ):
        return Guess(values, "out", f"numbers, but for {other!r}: mend that, then it is numeric")
    return _ids(values, "")


def _ids(values: Values, reason: str) -> Guess:
    once = _shapes.seen_once(values)
    if once > ONE_EACH and len(values.words) > _shapes.FEW:
        return Guess(values, "out", "nearly every row has a value of its own")
    if once > OFTEN_ONCE and len(values.words) > _shapes.FEW:
        return Guess(
            values,
            "categorical",
            reason or f"{once:.0%} of the rows have a value of their own",
            {"min_count": 2},
        )
    return Guess(values, "categorical", reason)


def _settled(guesses: list[Guess]) -> list[Guess]:
    """The guesses with those that were unsure made labels, or features behind a comment."""
    if not any(guess.kind == "label" for guess in guesses):
        guesses = _with_labels(guesses)
    unsure = [guess for guess in guesses if guess.kind == "unsure"]
    few = len(unsure) <= MAX_UNSURE and any(guess.kind == "label" for guess in guesses)
    reason = (
        "LABEL? two values: a feature only if known before the outcome"
        if few
        else "a label? then it belongs to tasks"
    )
    return [
        Guess(guess.values, "categorical", reason, commented=few)
        if guess.kind == "unsure"
        else guess
        for guess in guesses
    ]


def _with_labels(guesses: list[Guess]) -> list[Guess]:
    """Where no name is a label's: the last columns, if they have two values; else any that say yes
    and no, if they are few.
    """
    useful = [guess for guess in guesses if guess.kind != "out"]
    closing = list(takewhile(lambda guess: guess.kind == "unsure", reversed(useful)))
    if not closing and useful and useful[-1].kind != "time" and _closes_as_label(useful[-1].values):
        closing = useful[-1:]
    chosen = closing or [guess for guess in guesses if guess.kind == "unsure"]
    if len(chosen) > MAX_UNSURE:
        return guesses
    reason = "by its place, the last" if closing else "by its two values, not its name"
    return [
        replace(g, kind="label", reason=reason, settings=settings_of(g.values) or {})
        if g in chosen
        else g
        for g in guesses
    ]


def _closes_as_label(values: Values) -> bool:
    """Whether a last column may well be the label."""
    if _naming.is_target(values.name):
        return settings_of(values) is not None
    plain = _naming.kind_by_name(values.name) not in ("id", "class") and not _naming.is_attribute(
        values.name
    )
    return plain and len(known_words(values)) == 2 and not values.is_list
