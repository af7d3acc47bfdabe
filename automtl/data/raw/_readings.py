"""The ways in which a column is read."""

from typing import Literal

import pyarrow as pa

from automtl.data.values.text_columns import TEXT

Reading = Literal["text", "number", "time", "list"]
TYPES: dict[Reading, pa.DataType] = {
    "text": TEXT,
    "number": pa.float64(),
    "time": pa.int64(),
    "list": TEXT,
}
