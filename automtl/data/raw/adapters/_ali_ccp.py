r"""Ali-CCP (Ma et al., SIGIR 2018): skeletons with what is the sample's own, and common features
that many samples share.

`sample_skeleton_*.csv`: sample, click, purchase, index of the common features, number of features,
features. `common_features_*.csv`: that index, number of features, features. Both headerless.
Features are `field \x02 id \x03 value`, joined by \x01; a field that comes more than once in a row
is a list. Columns are named by their field, such as `205` or `109_14`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.raw.joins import KeyedTable
from automtl.data.raw.sources import Piece, Reading, convert, read_pieces
from automtl.data.spec.dataset import Csv
from automtl.data.values.patterns import LIST_SEPARATOR
from automtl.errors import DataError

SKELETON = ("sample_id", "click", "purchase", "common_index", "feature_count", "features")
COMMON = ("common_index", "common_count", "common_features")
OWN = SKELETON[:4]


def read_ali_ccp(
    paths: Sequence[Path], readings: Mapping[str, Reading], csv: Csv, say: Callable[[str], None]
) -> Iterator[Piece]:
    """The samples with their own and their common fields; those bought without a click are dropped
    and counted.

    Raises:
        DataError: one of the two kinds of files is absent, or a field that no row has.
    """
    common, skeletons = (
        [path for path in paths if kind in path.name]
        for kind in ("common_features", "sample_skeleton")
    )
    if not common or not skeletons or len(common) + len(skeletons) != len(paths):
        rule = "must be sample_skeleton_*.csv with their common_features_*.csv"
        raise DataError(
            paths[0].parent,
            rule,
            ", ".join(path.name for path in paths),
            "bring both kinds of files",
        )
    fields = {name: reading for name, reading in readings.items() if name not in OWN}
    shared = _Common(common, fields)
    dropped = 0
    seen = set[str]()
    for piece in read_pieces(
        skeletons, dict.fromkeys((*OWN, "features"), "text"), Csv(columns=SKELETON)
    ):
        impossible = pc.and_(
            pc.equal(_text(piece, "click"), "0"), pc.equal(_text(piece, "purchase"), "1")
        )
        own = features(_text(piece, "features"), fields, piece.path, seen)
        joined = shared.table.take(piece.batch.column("common_index"))
        columns = {name: _either(own[name], joined[name]) for name in fields}
        columns |= {
            name: convert(piece.batch.column(name), readings[name], piece.path, name)
            for name in OWN
            if name in readings
        }
        batch = pa.RecordBatch.from_arrays(
            [columns[name] for name in readings], names=list(readings)
        )
        dropped += pc.sum(impossible).as_py() or 0
        yield piece._replace(batch=batch.filter(pc.invert(impossible)))
    if absent := fields.keys() - seen - shared.fields:
        raise DataError(
            skeletons[0],
            f"must have the field '{min(absent)}' in some row",
            "none",
            "check the name of the field",
        )
    say(f"{dropped:,} samples dropped: bought without a click")


class _Common:
    """The common features, held by their index."""

    def __init__(self, paths: Sequence[Path], fields: Mapping[str, Reading]) -> None:
        self.fields: set[str] = set()
        tables = []
        for piece in read_pieces(
            paths, {"common_index": "text", "common_features": "text"}, Csv(columns=COMMON)
        ):
            columns = features(_text(piece, "common_features"), fields, piece.path, self.fields)
            tables.append(pa.table({"common_index": piece.batch.column("common_index")} | columns))
        self.table = KeyedTable("common_index", pa.concat_tables(tables), paths[0])


def features(
    texts: pa.Array, fields: Mapping[str, Reading], path: Path, seen: set[str]
) -> dict[str, pa.Array]:
    """The wanted fields of rows of features, as texts; the fields that are there go into `found`.

    Raises:
        DataError: a feature has another form.
    """
    items = pc.split_pattern(texts, "\x01")
    rows = np.repeat(
        np.arange(len(texts)), pc.list_value_length(items).to_numpy(zero_copy_only=False)
    )
    parts = pc.extract_regex(
        items.flatten(), "^(?P<field>[^\x02]+)\x02(?P<id>[^\x03]+)\x03(?P<value>.+)$"
    )
    wrong = pc.and_(pc.is_null(parts), pc.not_equal(items.flatten(), ""))
    if pc.any(wrong).as_py():
        got = repr(items.flatten().filter(wrong)[0].as_py())[:80]
        raise DataError(
            path,
            "must have features of the form field \\x02 id \\x03 value, joined by \\x01",
            got,
            "is this an Ali-CCP file?",
        )
    names, ids = parts.field("field"), parts.field("id")
    columns = {}
    for name, reading in fields.items():
        here = np.asarray(pc.fill_null(pc.equal(names, name), False).to_numpy(zero_copy_only=False))
        seen |= {name} if here.any() else set()
        columns[name] = _column(ids.filter(pa.array(here)), rows[here], len(texts), reading)
    return columns


def _column(ids: pa.Array, rows: np.ndarray, count: int, reading: Reading) -> pa.Array:
    """One field's ids, in the order of their rows, as one text per row; of several, the first
    unless lists are asked for.
    """
    lengths = np.bincount(rows, minlength=count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if reading != "list":
        first = pa.array(offsets[:-1], mask=lengths == 0)
        return pc.fill_null(ids.take(first), "").dictionary_encode()
    words = pc.binary_join_element_wise("", ids, LIST_SEPARATOR)
    return pc.binary_join(
        pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), words), ""
    ).dictionary_encode()


def _either(own: pa.Array, common: pa.Array) -> pa.Array:
    """The sample's own value, or where it has none the common one."""
    own_texts, common_texts = own.cast(pa.string()), common.cast(pa.string())
    return pc.if_else(pc.equal(own_texts, ""), common_texts, own_texts).dictionary_encode()


def _text(piece: Piece, name: str) -> pa.Array:
    return piece.batch.column(name).cast(pa.string())
