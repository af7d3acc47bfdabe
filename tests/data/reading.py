"""Tables written and read again, value by value."""

from pathlib import Path
from typing import Any

import pytest

from automtl.data.raw.columns import Columns
from automtl.data.raw.sources import read_pieces
from automtl.data.spec.csv_settings import Csv
from automtl.errors import DataError
from automtl.strict import build


def read(
    path: Path,
    settings: dict[str, Any] | None = None,
    *,
    notes: list[str] | None = None,
    **readings: str,
) -> dict[str, list[Any]]:
    """The values of some columns, all pieces together."""
    csv_settings = build(Csv, settings or {}, "csv")
    found: dict[str, list[Any]] = {name: [] for name in readings}
    rows = 1
    for piece in read_pieces(
        [path], readings, csv_settings, (notes if notes is not None else []).append
    ):  # type: ignore[arg-type]
        assert piece.first_row == rows
        rows += piece.batch.num_rows
        for name in readings:
            column = (
                Columns(piece).numbers(name)
                if readings[name] == "number"
                else piece.batch.column(name)
            )
            found[name] += column.tolist() if readings[name] == "number" else column.to_pylist()
    return found


def refusal(path: Path, settings: dict[str, Any] | None = None, **readings: str) -> str:
    with pytest.raises(DataError) as caught:
        read(path, settings, **readings)
    return str(caught.value)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
