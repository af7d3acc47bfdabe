"""Pretrained vectors: an .npy file of the user's -> one row per id of the vocabulary, NaN where
there is none.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import IdFeature, Numeric
from automtl.data.store.npy import NoArray, mapped
from automtl.data.store.schema import VECTORS, Schema
from automtl.data.values.hashing import hash_words
from automtl.errors import DataError, counted
from automtl.files import StagedFolder


def write_vectors(
    folder: StagedFolder,
    config: DatasetConfig,
    schema: Schema,
    vocabularies: dict[str, pa.Table],
    say: Callable[[str], None],
) -> None:
    """Write the vectors of each field that owns pretrained ones; the place in the file name is the
    field's in the schema.

    Raises:
        DataError: a file that is no table of finite numbers, or does not fit its words or the width
            asked for.
    """
    features = {feature.name: feature for feature in config.features}
    for i, field in enumerate(schema.fields):
        feature = features.get(field.name)
        if feature is None or isinstance(feature, Numeric) or not feature.pretrained:
            continue
        vectors, words = _read(Path(feature.pretrained), feature), _words(feature)
        rows = _rows(vectors, words, vocabularies[field.name]["word"], feature)
        count = int((~np.isnan(rows[1:, 0])).sum())
        say(
            f"feature '{field.name}': {count:,} of {counted(len(rows) - 1, 'id')} with a "
            "pretrained vector; the others start as usual"
        )
        with folder.stream(VECTORS.format(i)) as stream:
            np.save(stream, rows)


def _read(path: Path, feature: IdFeature) -> np.ndarray:
    try:
        vectors = mapped(path, mode="r")
    except NoArray as error:
        raise DataError(
            path, "must be an .npy file of numbers", error, "write it by numpy.save"
        ) from error
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.size:
        raise DataError(
            path,
            "must hold floats of shape (words, width)",
            f"{vectors.dtype} of shape {vectors.shape}",
        )
    width = feature.embedding_dim
    if width is None or vectors.shape[1] != width:
        rule = f"must have the width that embedding_dim of '{feature.name}' says"
        raise DataError(
            path, rule, f"{vectors.shape[1]} and {width}", f"set embedding_dim: {vectors.shape[1]}"
        )
    return vectors


def _words(feature: IdFeature) -> pa.Array | None:
    if feature.words is None:
        return None
    try:
        lines = Path(feature.words).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(feature.words, "must be a text file of words", error) from error
    return pa.array(lines, pa.string())


def _rows(
    vectors: np.ndarray, words: pa.Array | None, vocabulary: pa.ChunkedArray, feature: IdFeature
) -> np.ndarray:
    """(V, width) float32: row 0 and the ids without a vector are NaN."""
    names = (
        words if words is not None else pa.array([str(i) for i in range(len(vectors))], pa.string())
    )
    if len(names) != len(vectors):
        raise DataError(
            str(feature.words),
            "must have one word per vector",
            f"{counted(len(names), 'word')} for {counted(len(vectors), 'vector')}",
        )
    index = pd.Index(hash_words(names))
    if not index.is_unique:
        raise DataError(
            str(feature.words),
            "must have each word once",
            repr(names[int(np.flatnonzero(index.duplicated())[0])].as_py()),
        )
    known = (
        pa.concat_arrays(vocabulary.chunks) if vocabulary.num_chunks else pa.array([], pa.string())
    )
    places = index.get_indexer(pd.Index(hash_words(known)))
    rows = np.full((len(known) + 1, vectors.shape[1]), np.nan, np.float32)
    rows[1:][places >= 0] = vectors[places[places >= 0]]
    used = rows[1:][places >= 0]
    if len(other := used[~np.isfinite(used)]):
        raise DataError(
            str(feature.pretrained), "must hold finite numbers", f"{other[0]:g}", "mend the file"
        )
    return rows
