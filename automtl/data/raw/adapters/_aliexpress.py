"""AliExpress searched items, per country: as its publisher has it (Tianchi), or as the library
MTReclib rewrites it.

Tianchi: `<country>_user_{train,test}.csv` (33 columns) and `<country>_item_{train,test}.csv` (49
columns), headerless, joined by their first column, the search; the last item column is 0 (seen), 1
(clicked) or 2 (bought). MTReclib: `{train,test}.csv` with search_id, categorical_1..16,
numerical_1..63, click, conversion. Both give the latter's columns.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.raw.joins import SideTable, joined
from automtl.data.raw.sources import Piece, Reading, convert, read_pieces
from automtl.data.spec.dataset import Csv
from automtl.data.spec.sections import Join
from automtl.data.values.forms import missing_words
from automtl.data.values.text_columns import spread
from automtl.errors import DataError
from automtl.strict import nearest

USER, ITEM = tuple(f"user_{i}" for i in range(1, 34)), tuple(f"item_{i}" for i in range(1, 50))
ITEM_IDS = tuple(f"item_{i}" for i in (19, 34, 35, 36, 40, 41, 42))
IDS = (*USER[1:8], *USER[31:], *ITEM_IDS)
NUMBERS = (*USER[8:31], *(name for name in ITEM[1:48] if name not in ITEM_IDS))
RAW = {f"categorical_{i}": name for i, name in enumerate(IDS, 1)} | {
    f"numerical_{i}": name for i, name in enumerate(NUMBERS, 1)
}
LABELS = ("click", "conversion")
SEARCH = "search_id"


def read_aliexpress(
    paths: Sequence[Path], readings: Mapping[str, Reading], csv: Csv, say: Callable[[str], None]
) -> Iterator[Piece]:
    """The rows of either layout, by MTReclib's names.

    Raises:
        DataError: an unknown column is asked for, or files of both layouts or of half a layout.
    """
    for name in readings:
        if name not in (known := (SEARCH, *LABELS, *RAW)):
            raise DataError(
                f"aliexpress: column '{name}'",
                "must be one of the data set's",
                name,
                nearest(name, known),
            )
    users, items = (
        [path for path in paths if f"_{kind}_" in path.name] for kind in ("user", "item")
    )
    rest = [path for path in paths if path not in users and path not in items]
    if rest and not users and not items:
        yield from read_pieces(rest, readings, csv)
    elif users and items and not rest:
        yield from _raw(users, items, readings, csv, say)
    else:
        rule = (
            "must be the user and item files of Tianchi, or the train.csv and test.csv of MTReclib"
        )
        raise DataError(
            paths[0].parent,
            rule,
            ", ".join(path.name for path in paths),
            "leave the files of one layout there",
        )


def _raw(
    users: Sequence[Path],
    items: Sequence[Path],
    readings: Mapping[str, Reading],
    csv: Csv,
    say: Callable[[str], None],
) -> Iterator[Piece]:
    wanted: dict[str, Reading] = {
        RAW[name]: reading for name, reading in readings.items() if name in RAW
    }
    join = Join(file=tuple(map(str, users)), on=SEARCH, csv=Csv(columns=(SEARCH, *USER[1:])))
    table = SideTable(join, users, wanted, missing_words(csv.null_values))
    own: dict[str, Reading] = {name: reading for name, reading in wanted.items() if name in ITEM}
    own |= {SEARCH: "text", ITEM[-1]: "text"}
    for piece in read_pieces(items, own, Csv(columns=(SEARCH, *ITEM[1:]))):
        before = table.unmatched
        columns = joined(piece, [table])
        columns = {
            name: columns[raw] for name, raw in ({SEARCH: SEARCH} | RAW).items() if name in readings
        }
        columns |= _labels(piece, readings)
        batch = pa.RecordBatch.from_arrays(
            [columns[name] for name in readings], names=list(readings)
        )
        yield piece._replace(
            batch=batch.filter(pa.array(table.matched)) if table.unmatched > before else batch
        )
    if table.unmatched:
        say(
            f"{table.unmatched:,} of {table.rows:,} items dropped: their search has no row in "
            f"{users[0].name}"
        )


def _labels(piece: Piece, readings: Mapping[str, Reading]) -> dict[str, pa.Array]:
    outcome = piece.batch.column(ITEM[-1])
    words = outcome.dictionary.to_pylist()
    if not set(words) <= {"0", "1", "2"}:
        wrong = next(word for word in words if word not in ("0", "1", "2"))
        raise DataError(
            piece.path,
            f"must have 0, 1 or 2 in the last of its {len(ITEM)} columns",
            repr(wrong),
            "is this the item file?",
        )
    values = spread(np.array([int(word) for word in words]), outcome)
    labels = {"click": values >= 1, "conversion": values == 2}
    arrays = {
        name: pc.cast(pa.array(labels[name]), pa.int8()) for name in LABELS if name in readings
    }
    return {
        name: convert(array, readings[name], piece.path, name) for name, array in arrays.items()
    }
