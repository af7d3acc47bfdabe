"""Which rows have no id that the model knows, and how many, in words: a column in another spelling
makes all of its ids unknown, and says nothing.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from automtl.data.store.id_lists import Lists
from automtl.data.store.schema import Schema


def unknown_rows(schema: Schema, ids: np.ndarray, lists: Sequence[Lists]) -> dict[str, np.ndarray]:
    """Per field of ids, which rows have no known one. Shape: (n,) bool."""
    single = {field.name: ids[:, i] == 0 for i, field in enumerate(schema.categorical)}
    return single | {
        field.name: np.diff(values.offsets) == 0
        for field, values in zip(schema.lists, lists, strict=True)
    }


def is_alarming(share: float, trained: float) -> bool:
    """Whether so many rows without a known id, against their share in training, look like another
    spelling or another column.
    """
    return share > 0.5 and share > 2 * trained + 0.1


def unknown_warnings(
    schema: Schema, unknown: Mapping[str, int], rows: int, where: str
) -> list[str]:
    """A warning for each column whose share of unknown ids is far above that of training.

    Args:
        schema: of the training rows.
        unknown: per field of ids, how many of the rows have no known id.
        rows: how many there are.
        where: what they are called.
    """
    lines = []
    for field in schema.id_fields:
        share = unknown[field.name] / max(rows, 1)
        trained = field.unknown_count / max(schema.train_rows, 1)
        if is_alarming(share, trained):
            what = (
                f"{share:.1%} of the {where} have no id of '{field.name}' that the training "
                f"rows have ({trained:.1%} there)"
            )
            lines.append(f"WARNING: {what}: is it the same column, written the same way?")
    return lines


def unknown_remarks(schema: Schema, unknown: Mapping[str, int], rows: int, where: str) -> list[str]:
    """A line that tells all shares of unknown ids, then the warnings; see `unknown_warnings`."""
    shares = {name: count / max(rows, 1) for name, count in unknown.items()}
    some = [f"{name} {share:.1%}" for name, share in shares.items() if share]
    line = f"{where} without an id that the training rows have: {', '.join(some)[:500]}"
    return [*([line] if some else []), *unknown_warnings(schema, unknown, rows, where)]
