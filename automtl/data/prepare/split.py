"""Which row is for what: fit and alpha rows (together the training split), validation, test.

A row's part follows from its key alone, whatever the order of rows and files: its time; the hash of
its user, or of the value of another column; else its own draw (`_copies.py`), by which equal rows
fall apart as any others do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa

from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.sections import Split
from automtl.data.store.schema import SPLITS
from automtl.data.values.hashing import share
from automtl.errors import DataError

FIT, ALPHA, VALIDATION, TEST = range(4)
PARTS = ("fit", "alpha", "validation", "test")
ALPHA_SHARE = 0.2
FALLBACK_VALIDATION = 0.1

Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]  # roles (int8), keys -> parts (int8)


def parts_of(rule: Rule, batch: pa.RecordBatch) -> np.ndarray:
    """The part of each row of a digest."""
    key = "key" if "key" in batch.schema.names else "draw"
    return rule(batch.column("role").to_numpy(), batch.column(key).to_numpy())


def by_split(counts: np.ndarray) -> dict[str, int]:
    """Counts of the four parts as those of the three splits: fit and alpha rows train."""
    return dict(
        zip(SPLITS, [int(counts[: ALPHA + 1].sum()), *counts[ALPHA + 1 :].tolist()], strict=True)
    )


class Times:
    """The times of all rows, to be asked for by their order.

    Args:
        parts: the times of some rows each, rising.
    """

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def below(self, time: int, side: Literal["left", "right"] = "left") -> int:
        """How many times are below one, or not above it."""
        return sum(int(np.searchsorted(part, time, side)) for part in self._parts)

    def at(self, place: int) -> int:
        """The time at a place from 0 in their order."""
        there = [part for part in self._parts if len(part)]
        if len(there) == 1:
            return int(there[0][place])
        low, high = min(int(part[0]) for part in there), max(int(part[-1]) for part in there)
        while low < high:
            middle = (low + high) // 2
            if self.below(middle, "right") > place:
                high = middle
            else:
                low = middle + 1
        return low

    def whole(self) -> np.ndarray:
        """All times, rising."""
        return np.sort(np.concatenate([*self._parts, np.zeros(0, np.int64)]))


def split_rule(config: DatasetConfig, times: Times) -> Rule:
    """The rule of a data set; `times` of all rows, where it is split by time.

    Raises:
        DataError: a split by time with too few distinct times for its shares.
    """
    if config.split.kind == "time":
        cuts = Cuts.of(config.split, times)
        _check_times(config, cuts, times)
        return cuts
    if config.split.kind == "files":
        return partial(
            _by_file,
            config.split,
            not config.files.validation and not config.split.test_to_validation,
        )
    return partial(_by_share, config.split)


def _carve(parts: np.ndarray, keys: np.ndarray, split: Split, no_validation: bool) -> np.ndarray:
    """Validation (where there is none), then alpha rows, from the training split."""
    if no_validation:
        parts[(parts == FIT) & (share(keys, split.seed, "validation") < FALLBACK_VALIDATION)] = (
            VALIDATION
        )
    parts[(parts == FIT) & (share(keys, split.seed, "alpha") < ALPHA_SHARE)] = ALPHA
    return parts


def _by_share(split: Split, roles: np.ndarray, keys: np.ndarray) -> np.ndarray:
    drawn = share(keys, split.seed, "split")
    parts = np.where(
        drawn < split.train, FIT, np.where(drawn < split.train + split.validation, VALIDATION, TEST)
    ).astype(np.int8)
    return _carve(parts, keys, split, split.validation == 0)


def _by_file(split: Split, no_validation: bool, roles: np.ndarray, keys: np.ndarray) -> np.ndarray:
    parts = np.array([FIT, VALIDATION, TEST], np.int8)[roles]
    if split.test_to_validation:
        parts[(parts == TEST) & (share(keys, split.seed, "split") < split.test_to_validation)] = (
            VALIDATION
        )
    return _carve(parts, keys, split, no_validation)


@dataclass(frozen=True)
class Cuts:
    """A split by time: a row at a cut belongs to the later part, so equal times stay together."""

    alpha: int
    validation: int
    test: int

    @classmethod
    def of(cls, split: Split, times: Times) -> "Cuts":
        """The cuts that leave the latest rows to test, those before to validation,
        the last fifth of training to alpha.
        """
        test = _cut(times, len(times), split.train + split.validation)
        earlier = times.below(test)
        validation = (
            _cut(times, len(times), split.train)
            if split.validation
            else _cut(times, earlier, 1 - FALLBACK_VALIDATION)
        )
        training = min(earlier, times.below(validation))
        alpha = _cut(times, training, 1 - ALPHA_SHARE)
        return cls(alpha=alpha, validation=validation, test=test)

    def sizes(self, times: Times) -> np.ndarray:
        """How many rows each part has."""
        ends = [len(times), *map(times.below, (self.test, self.validation, self.alpha))]
        return np.diff([0, *np.minimum.accumulate(ends)[::-1]])

    def __call__(self, roles: np.ndarray, keys: np.ndarray) -> np.ndarray:
        parts = np.full(len(keys), FIT, np.int8)
        for part, cut in ((ALPHA, self.alpha), (VALIDATION, self.validation), (TEST, self.test)):
            parts[keys >= cut] = part
        return parts


def _cut(times: Times, count: int, fraction: float) -> int:
    """The value from which on the rest of the first `count` begins; past the last value where there
    is no rest.
    """
    position = round(fraction * count)
    return times.at(position) if position < count else np.iinfo(np.int64).max


def _check_times(config: DatasetConfig, cuts: Cuts, times: Times) -> None:
    """Refuse cuts that leave a part empty because rows of one time stay together; no rows at all
    are refused later.
    """
    sizes = cuts.sizes(times)
    if not len(times) or sizes.all():
        return
    ordered = times.whole()
    distinct = int(np.count_nonzero(np.diff(ordered))) + 1
    rows = ", ".join(f"{part} {size}" for part, size in zip(PARTS, sizes, strict=True))
    shares = _shares_that_fit(config.split, ordered) if distinct >= len(PARTS) else None
    example = (
        f"for example {', '.join(f'{name}: {share:g}' for name, share in shares.items())}, or "
        if shares
        else ""
    )
    rule = f"must leave a time to each of {', '.join(PARTS)}, as rows of one time stay together"
    got = f"rows: {rows}, of {distinct} distinct time{'s' * (distinct > 1)}"
    fix = f"change split: {example}kind: random"
    raise DataError(f"{config.name}: column '{config.split.column}'", rule, got, fix)


def _shares_that_fit(split: Split, times: np.ndarray) -> dict[str, float] | None:
    """Shares that leave the last time to test and the one before to validation; None where they
    leave another part empty.
    """
    ends = np.append(np.flatnonzero(np.diff(times)) + 1, len(times))
    train, validation = (
        round(float(end / len(times)), 4) for end in (ends[-3], ends[-2] - ends[-3])
    )
    shares = {"train": train, "validation": validation, "test": round(1 - train - validation, 4)}
    if min(shares.values()) <= 0:
        return None
    rows = Times([times])
    return shares if Cuts.of(split.model_copy(update=shares), rows).sizes(rows).all() else None
