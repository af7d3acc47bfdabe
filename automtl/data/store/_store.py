"""The prepared rows on disk: NumPy arrays per split, memory-mapped; vocabularies in Arrow; every
file with its checksum.

Layout: what `encoding.py` lists, kept/<i>.arrow (words of kept columns), vectors/<i>.npy
(pretrained, field i), and train/, validation/, test/ with ids.npy, dense.npy, labels.npy,
weights.npy (where a task is weighted), kept.npy (where columns are kept), lists/<i>.values.npy and
.offsets.npy; train/ also has alpha.npy.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from automtl.data.access.fingerprints import Fingerprints, fingerprint
from automtl.data.store.encoding import Encoding
from automtl.data.store.id_lists import OFFSETS, VALUES, Lists
from automtl.data.store.npy import NoArray, mapped, require_form
from automtl.data.store.schema import SPLITS, VECTORS, Schema
from automtl.errors import ArtifactError, ConfigError, counted
from automtl.strict import nearest

REMEDY = "run `automtl data prepare` again"


@dataclass(frozen=True)
class Rows:
    """The rows of a batch or of a split. n rows, Fc categorical fields, M numeric fields, T tasks.

    Attributes:
        ids: (n, Fc) int32, 0 = unknown or missing.
        dense: (n, M) float32, standardised by the training split.
        labels: (n, T) float32, NaN = missing; binary 0/1, multiclass the class index, regression in
            the label's unit after its transform.
        weights: (n, T) float32, or None where every weight is 1.
        lists: per field of lists, each row's known ids.
        kept: (n, K) int32 codes of the kept columns, 0 = missing; None where none is kept.
    """

    ids: np.ndarray
    dense: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None
    lists: tuple[Lists, ...] = ()
    kept: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


class Store(Encoding):
    """A prepared data set, opened for reading; use `Store.open`."""

    remedy = REMEDY

    def __init__(self, path: Path, manifest: dict[str, Any], schema: Schema) -> None:
        super().__init__(path, manifest, schema)
        self._rows: dict[str, Rows] = {}

    @classmethod
    def open(
        cls, path: Path, *, verify: bool = True, fingerprints: Fingerprints | None = None
    ) -> Self:
        """Open a store.

        Args:
            path: its folder.
            verify: read every file once and compare its checksum (about a second per GB); sizes are
                always compared.
            fingerprints: known ones, so that only files changed since they were noted are read.

        Raises:
            ArtifactError: a file is absent, cut short or changed; the message names it.
        """
        manifest, schema = cls._opened(
            path, (fingerprints.of if fingerprints else fingerprint) if verify else None
        )
        if fingerprints:
            fingerprints.save()
        return cls(path, manifest, schema)

    def rows(self, split: str) -> Rows:
        """The rows of `train`, `validation` or `test`, mapped at the first call; other splits are
        not touched.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in SPLITS:
            raise ConfigError(
                "split", f"must be one of {', '.join(SPLITS)}", split, nearest(split, SPLITS)
            )
        if split not in self._rows:
            self._rows[split] = self._mapped(split)
        return self._rows[split]

    def _mapped(self, split: str) -> Rows:
        s, there = self.schema, self.files
        ids = self._array(f"{split}/ids.npy", np.int32, None, len(s.categorical))
        n, tasks = len(ids), len(s.tasks)
        dense = self._array(f"{split}/dense.npy", np.float32, n, len(s.numeric))
        labels = self._array(f"{split}/labels.npy", np.float32, n, tasks)
        weights = (
            self._array(name, np.float32, n, tasks)
            if (name := f"{split}/weights.npy") in there
            else None
        )
        kept_codes = (
            self._array(name, np.int32, n, len(s.kept))
            if (name := f"{split}/kept.npy") in there
            else None
        )
        return Rows(
            ids,
            dense,
            labels,
            weights,
            tuple(self._lists(split, i, n) for i in range(len(s.lists))),
            kept_codes,
        )

    def _lists(self, split: str, i: int, n: int) -> Lists:
        name = f"{split}/{OFFSETS.format(i)}"
        values = self._array(f"{split}/{VALUES.format(i)}", np.int32, None)
        offsets = self._array(name, np.int64, n + 1)
        if offsets[0] != 0 or offsets[-1] != len(values) or not _ascending(offsets):
            raise ArtifactError(
                self.path / name,
                f"must say where each row's values begin, ascending from 0 to {len(values)}",
                f"from {offsets[0]} to {offsets[-1]}",
                REMEDY,
            )
        return Lists(values, offsets)

    @cached_property
    def alpha_index(self) -> np.ndarray:
        """The training rows that the alpha steps own. Shape: (n_alpha,) int64."""
        index = np.asarray(self._array("train/alpha.npy", np.int64, None))
        n = len(self.rows("train"))
        if len(np.unique(index)) != len(index) or (
            len(index) and not 0 <= index.min() <= index.max() < n
        ):
            raise ArtifactError(
                self.path / "train/alpha.npy",
                f"must be rows from 0 to {n - 1}, each once",
                f"{counted(len(index), 'row')} from {index.min()} to {index.max()}",
                REMEDY,
            )
        return index

    @cached_property
    def fit_index(self) -> np.ndarray:
        """The other training rows. Shape: (n_fit,) int64."""
        is_fit = np.ones(len(self.rows("train")), bool)
        is_fit[self.alpha_index] = False
        return np.flatnonzero(is_fit)

    def kept_words(self, column: str) -> pa.Table:
        """`word` and `count` (all rows) of a kept column; word i has code i + 1.

        Raises:
            ConfigError: it is not kept.
        """
        if column not in self.schema.kept:
            raise ConfigError(
                "column",
                "must be one that the data set keeps",
                column,
                nearest(column, self.schema.kept),
            )
        return self._words(f"kept/{self.schema.kept.index(column)}.arrow")

    def vectors(self) -> dict[str, np.ndarray]:
        """Per field that owns pretrained ones, (V, width) float32; NaN in the rows without."""
        own = {i: f.name for i, f in enumerate(self.schema.fields) if f.pretrained and not f.shares}
        sizes = {
            i: (self.schema.fields[i].vocabulary_size, self.schema.fields[i].embedding_dim)
            for i in own
        }
        return {
            name: self._array(VECTORS.format(i), np.float32, *sizes[i]) for i, name in own.items()
        }

    def _array(self, name: str, dtype: type[np.generic], *shape: int | None) -> np.ndarray:
        path = self.path / name
        # copy on write: torch refuses to share a read-only array in silence, and nothing reaches
        # the file
        try:
            return require_form(mapped(path, mode="c"), dtype, shape)
        except NoArray as error:
            raise ArtifactError(path, "must be an array of the store", error, REMEDY) from error


def _ascending(values: np.ndarray) -> bool:
    """Whether none is less than the one before; looked at in blocks, since a map may be larger than
    memory.
    """
    return all(
        bool((np.diff(values[i : i + 2**20 + 1]) >= 0).all()) for i in range(0, len(values), 2**20)
    )
