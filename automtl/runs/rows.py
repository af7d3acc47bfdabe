"""Which rows models were judged on. Models of other rows, or of another split of the same rows,
cannot be compared.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")


class Rows(NamedTuple):
    """The hashes of the rows, and of which of them are in which split."""

    data: str | None
    split: str | None


def rows_of(data: Mapping[str, Any]) -> Rows:
    """The rows of a manifest's `data`.

    Raises:
        KeyError: the manifest does not tell them.
    """
    return Rows(data["hash"], data["split_hash"])


def by_rows(
    items: Iterable[Item], of: Callable[[Item], tuple[Mapping[str, Any], str]]
) -> list[tuple[str, list[Item]]]:
    """What was judged on the same rows, together, and what to call these rows: their data set, and
    where several are called so, a run that tells them apart.

    Args:
        items: such as models.
        of: an item's `data` in its manifest, and the name of its run.
    """
    groups: dict[Rows, list[Item]] = {}
    called: dict[Rows, tuple[str, str]] = {}
    for item in items:
        data, run = of(item)
        rows = rows_of({"hash": None, "split_hash": None, **data})  # what older runs do not tell
        groups.setdefault(rows, []).append(item)
        called.setdefault(rows, (str(data.get("name", "unknown data")), run))
    names = Counter(name for name, _ in called.values())
    contents = Counter(rows.data for rows in called)

    def name_of(rows: Rows) -> str:
        name, run = called[rows]
        if names[name] == 1:
            return name
        return f"{name} ({'split' if contents[rows.data] > 1 else 'rows'} of {run})"

    return [(name_of(rows), group) for rows, group in groups.items()]


def run_names(runs: Iterable[Path]) -> dict[Path, str]:
    """What to call runs: their folder's name, or the path where several folders share one."""
    own = dict.fromkeys(runs)
    names = Counter(run.name for run in own)
    return {run: run.name if names[run.name] == 1 else str(run) for run in own}
