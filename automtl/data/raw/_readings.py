"""The ways in which a column is read, and what is told of a file that was."""

from typing import Literal, NamedTuple

import pyarrow as pa

from automtl.data.values.text_columns import TEXT
from automtl.errors import counted

Reading = Literal["text", "number", "time", "list"]
TYPES: dict[Reading, pa.DataType] = {
    "text": TEXT,
    "number": pa.float64(),
    "time": pa.int64(),
    "list": TEXT,
}


class Counts(NamedTuple):
    """What was seen of a text: a note on its header, rows, line breaks that end a line, and those
    within values.
    """

    note: str = ""
    rows: int = 0
    ends: int = 0
    breaks: int = 0

    @property
    def notes(self) -> list[str]:
        """What is worth telling of it."""
        empty = self.ends - self.breaks - self.rows
        notes = {
            self.note: bool(self.note),
            f"{counted(self.rows, 'row')} in {self.ends:,} "
            "lines: values in quotes hold line breaks": self.breaks > 0,
            f"{counted(empty, 'empty line')} {'is' if empty == 1 else 'are'} left out": empty > 0,
        }
        return [note for note, holds in notes.items() if holds]
