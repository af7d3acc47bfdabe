"""Which rows models were judged on. Models of other rows, or of another split of the same rows,
cannot be compared.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")


class Rows(NamedTuple):
    """The hashes of the rows, and of which of them are in which split."""

    data: str
    split: str


def rows_of(data: Mapping[str, Any]) -> Rows:
    """The rows of a manifest's `data`.

    Raises:
        KeyError: the manifest does not tell them.
    """
    return Rows(str(data["hash"]), str(data["split_hash"]))  # strangers write manifests too


def by_rows(
    items: Iterable[Item], of: Callable[[Item], tuple[Mapping[str, Any], str]]
) -> list[tuple[str, list[Item]]]:
    """What was judged on the same rows, together, and what to call these rows: their data set, and
    where several are called so, a run that tells them apart: the first by name, whatever the
    items' order.

    Args:
        items: such as models.
        of: an item's `data` in its manifest, and the name of its run.
    """
    groups: dict[Rows, list[Item]] = {}
    runs: dict[Rows, set[str]] = {}
    called: dict[Rows, str] = {}
    for item in items:
        data, run = of(item)
        rows = rows_of({"hash": None, "split_hash": None, **data})  # what older runs do not tell
        groups.setdefault(rows, []).append(item)
        runs.setdefault(rows, set()).add(run)
        called.setdefault(rows, str(data.get("name", "the data")))
    names = Counter(called.values())
    contents = Counter(rows.data for rows in called)

    def name_of(rows: Rows) -> str:
        name = called[rows]
        if names[name] == 1:
            return name
        return f"{name} ({'split' if contents[rows.data] > 1 else 'rows'} of {min(runs[rows])})"

    found = [(name_of(rows), rows, group) for rows, group in groups.items()]
    taken = Counter(name for name, *_ in found)  # a run may hold models of two splits
    return [
        (name if taken[name] == 1 else f"{name}, {rows.split[:6]}", group)
        for name, rows, group in found
    ]
