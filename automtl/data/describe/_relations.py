"""What the columns of a table have to do with each other: labels that tell each other, features
that tell a label, histories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.describe import _naming
from automtl.data.describe._guess import Guess
from automtl.data.describe._shapes import list_ids
from automtl.data.describe._targets import positives
from automtl.data.prepare.leakage import FOLDS, MIN_ROWS, one_feature_auc
from automtl.data.spec.where import parse_where
from automtl.data.values.hashing import share

BINS = 256
SUSPECT_AUC = 0.95
NO_CHANCE = 1e-3
LONGEST_HISTORY = 50
_PEOPLE = frozenset(
    "user customer client member visitor person account session device buyer".split()
)


def related(guesses: Sequence[Guess]) -> list[Guess]:
    """The guesses, revised by what the columns have to do with each other."""
    labels = {guess.name: guess for guess in guesses if guess.kind == "label"}
    truths = {name: positives(guess.values, guess.settings) for name, guess in labels.items()}
    revised = [
        _among_labels(guess, labels, truths) if guess.kind == "label" else guess
        for guess in guesses
    ]
    revised = [_telling(guess, truths) for guess in revised]
    owners = [guess for guess in revised if guess.kind == "categorical" and guess.is_feature]
    return [_as_history(guess, owners) if guess.kind == "multi" else guess for guess in revised]


def _among_labels(
    guess: Guess, labels: Mapping[str, Guess], truths: Mapping[str, np.ndarray]
) -> Guess:
    """A label, behind a comment where it is another one again, with a condition where it comes only
    with another one.
    """
    if guess.settings.get("kind") != "binary":
        return guess
    own, steps = truths[guess.name], dict[str, float]()
    before = True
    for name, truth in truths.items():
        before = before and name != guess.name
        if name == guess.name or labels[name].settings.get("kind") != "binary":
            continue
        if before and (same := _same(own, truth)):
            return replace(
                guess, reason=f"{same} '{name}' in every row: one of them will do", commented=True
            )
        if _only_with(own, truth):
            steps[name] = float(np.nansum(truth))
    if not steps:
        return guess
    step = min(steps, key=lambda name: steps[name])
    return replace(
        guess, advice=_condition(guess.name, labels[step], float(np.nansum(own)), steps[step])
    )


def _same(own: np.ndarray, other: np.ndarray) -> str:
    if np.array_equal(own, other, equal_nan=True):
        return "the same values as"
    return "the opposite of" if np.array_equal(own, 1 - other, equal_nan=True) else ""


def _only_with(own: np.ndarray, other: np.ndarray) -> bool:
    """Whether the one label is 1 only where the other is, which is 1 more often, and not by
    chance.
    """
    ones = own == 1
    if not ones.any() or (other[ones] != 1).any() or (other == 1).sum() <= ones.sum():
        return False
    return bool(float(np.nanmean(other)) ** float(ones.sum()) < NO_CHANCE)


def _condition(name: str, step: Guess, ones: float, of: float) -> str:
    claim = f"{name} is 1 only where {step.name} is ({ones:,.0f} of its {of:,.0f} rows)"
    value = step.settings.get("positive")
    test = "== 1" if value is None else f'== "{value}"'
    conditions = (f"{step.name} {test}", *(f"{quote}{step.name}{quote} {test}" for quote in "`'"))
    condition = next((text for text in conditions if _tests(text, step.name)), None)
    if condition is None:
        return (
            f"{claim}: give {step.name} a plainer name to learn the rate on those rows alone by "
            "`where`"
        )
    return f"{claim}: to learn the rate on those rows alone, add  where: {_quoted(condition)}"


def _tests(condition: str, name: str) -> bool:
    try:
        return [comparison.column for comparison in parse_where(condition)] == [name]
    except ValueError:
        return False


def _quoted(text: str) -> str:
    """A text as YAML between single quotes."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _telling(guess: Guess, truths: Mapping[str, np.ndarray]) -> Guess:
    """A feature behind a comment where it alone tells a label; a label with those that go
    with it.
    """
    if (guess.kind != "label" and not guess.is_feature) or guess.commented:
        return guess
    rows = np.arange(len(guess.values.texts), dtype=np.uint64)
    folds = (share(rows, 0, "leak fold") * FOLDS).astype(np.int64)
    places = _places(guess)
    aucs = {
        name: one_feature_auc(places, truth, folds)
        for name, truth in truths.items()
        if name != guess.name
    }
    telling = ", ".join(
        f"{name} (AUC {auc:.3f})"
        for name, auc in aucs.items()
        if auc is not None and auc > SUSPECT_AUC
    )
    if not telling:
        return guess
    if guess.kind == "label":
        return replace(
            guess, reason="; ".join(filter(None, [guess.reason, f"goes with {telling}"]))
        )
    return replace(
        guess, reason=f"LEAK? it alone tells {telling}: known before the outcome?", commented=True
    )


def _places(guess: Guess) -> np.ndarray:
    """(n,) small numbers, equal where values are equal, or where quantities are close."""
    codes = guess.values.codes
    if guess.kind != "numeric":
        return codes + 1
    numbers = guess.values.numbers
    assert numbers is not None, "a numeric feature has numbers"
    bins = max(min(BINS, len(codes) // (2 * MIN_ROWS)), 1)
    values = np.append(numbers, np.nan)[codes]
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, bins + 1)))
    return np.where(np.isnan(values), 0, np.searchsorted(edges, values, side="right") + 1)


def _as_history(guess: Guess, owners: Sequence[Guess]) -> Guess:
    """A sequence, where the lists hold ids of another column, as of the items that a person saw
    before.
    """
    ids, counts, longest = list_ids(guess.values, guess.settings)
    settings = {**guess.settings, "max_length": max(min(longest, LONGEST_HISTORY), 1)}
    order = "a history, whose latest id must be the last"
    overlaps = [
        (score, owner)
        for owner in owners
        if (score := _overlap(guess, owner, ids, counts)) is not None
    ]
    if overlaps:
        score, owner = max(overlaps, key=lambda pair: pair[0])
        reasons = [guess.reason, f"{score[-1]:.0%} of its ids are {owner.name}'s: {order}"]
        settings["share_embedding"] = owner.name
        return replace(
            guess, kind="sequence", reason="; ".join(filter(None, reasons)), settings=settings
        )
    if _naming.HISTORIES & set(_naming.singulars(guess.name)):
        return replace(guess, kind="sequence", reason=f"by its name {order}", settings=settings)
    return guess


def _overlap(
    guess: Guess, owner: Guess, ids: pa.Array, counts: np.ndarray
) -> tuple[float, float, float] | None:
    """How well the ids of lists are those of a column: names in common, the share of the column's
    ids, the share of the lists' ids.

    None where it is not well enough: few small numbers, as of tags, are among any column's.
    """
    words = owner.values.words
    shared = np.asarray(pc.is_in(ids, value_set=words).to_numpy(zero_copy_only=False))
    covered = float(counts[shared].sum() / max(counts.sum(), 1))
    used = float(shared.sum() / len(words))
    list_names, owner_names = (
        set(_naming.singulars(guess.name)),
        set(_naming.singulars(owner.name)) - {"id"},
    )
    numbers = bool(pc.all(pc.ascii_is_decimal(ids)).as_py()) if len(ids) else True
    if numbers and (_naming.TAGS & list_names - owner_names or _PEOPLE & owner_names):
        return None
    enough = 0.02 if list_names & owner_names or _naming.HISTORIES & list_names else 0.3
    if (
        covered < (0.8 if numbers else 0.5)
        or used < (enough if numbers else 0.0)
        or len(words) <= 2
    ):
        return None
    return float(len(list_names & owner_names)), used, covered
