"""The session of a phase: device, seeds, prepared data, reporter and loggers."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from automtl.config import RunConfig
from automtl.data.spec.dataset import DatasetConfig, default_data_dir
from automtl.data.store import Rows, Store
from automtl.data.store.batches import Batches
from automtl.data.store.encoding import Encoding
from automtl.data.store.row_keys import alpha_halves
from automtl.data.store.schema import Schema
from automtl.models.skeleton import load_vectors
from automtl.phases.run.device import Autocast, Trimmer, autocast, warn_of_slow_bfloat16
from automtl.phases.run.joining import share_of
from automtl.phases.run.reporter import Reporter, Stopping
from automtl.phases.run.run_data import rows_at_hand, rows_of
from automtl.ranks import ALONE, Ranks
from automtl.runs.loggers import Sinks
from automtl.training.metrics.evaluation import Predictions, predict

DEV_BATCHES = 4
LOOK_ROWS = 2**18

Role = Literal["fit", "a", "b"]


@dataclass(frozen=True)
class Seeds:
    """Independent streams of one seed, so that changing one use of randomness leaves the others as
    they were.
    """

    weights: int
    fit: int
    alpha: int
    noise: int

    @classmethod
    def of(cls, seed: int) -> "Seeds":
        """The streams of `seed`."""
        return cls(
            *(
                int(s)
                for s in np.random.SeedSequence(seed).generate_state(4, np.uint32) & 0x7FFFFFFF
            )
        )


@dataclass(frozen=True)
class Session:
    """Everything a phase starts from.

    Args:
        config: the run's settings.
        dataset: the data set's settings.
        encoding: its prepared rows, or a run's snapshot, whose rows are looked for when they are
            asked for.
        machine: device, precision, threads, as they are in force.
        seeds: of the phase.
        reporter: told how it goes on.
        sinks: loggers.
        trim: hands freed memory back.
        ranks: the processes that train together.
    """

    config: RunConfig
    dataset: DatasetConfig
    encoding: Encoding
    machine: dict[str, Any]
    seeds: Seeds
    reporter: Reporter
    sinks: Sinks
    trim: Trimmer = field(default_factory=Trimmer)
    ranks: Ranks = ALONE

    @property
    def device(self) -> torch.device:
        """The device of the networks."""
        return torch.device(self.machine["device"])

    @property
    def autocast(self) -> Autocast:
        """The context of a training forward pass."""
        return autocast(self.machine["precision"], self.device)

    @property
    def schema(self) -> Schema:
        """The data set's schema."""
        return self.encoding.schema

    @cached_property
    def store(self) -> Store:
        """The prepared rows.

        Raises:
            ArtifactError: those of a run are gone, or changed since.
        """
        return rows_of(self.encoding, data_dir_of(self.config), self.reporter.say)

    def rows_at_hand(self) -> Store | None:
        """The prepared rows where they lie ready; None where they would have to be prepared first,
        or are gone.
        """
        return rows_at_hand(self.encoding, data_dir_of(self.config))

    def asked_to_stop(self) -> bool:
        """Whether the reporter asks the phase to end with what there is."""
        asked = isinstance(self.reporter, Stopping) and self.reporter.stops()
        return bool(self.ranks.agree(int(asked)))  # only the first rank has one that may

    def dropout_generator(self) -> torch.Generator:
        """The source of dropout and gate noise, on the device."""
        return torch.Generator(self.device).manual_seed(self.seeds.noise)

    def load_pretrained(self, net: nn.Module) -> None:
        """Make ready to train a fresh network: its embeddings start from the data set's pretrained
        vectors, where it has some.
        """
        warn_of_slow_bfloat16(self.machine["precision"], self.device, self.reporter.say)
        if vectors := self.store.vectors():
            load_vectors(net, self.schema, vectors)

    @cached_property
    def _halves(self) -> dict[str, np.ndarray]:
        return dict(zip(("a", "b"), alpha_halves(self.store), strict=True))

    def index(self, role: Role) -> np.ndarray:
        """The rows of the training split that have a role in a search: "fit" rows train weights,
        "a" rows move alpha and score, "b" rows decide; both are halves of the alpha rows.
        """
        return self.store.fit_index if role == "fit" else self._halves[role]

    def scored_index(self, role: Role) -> np.ndarray:
        """The rows of a role that score architectures: at most `search.score_rows`, drawn the same
        for every seed of the run.
        """
        index, limit = self.index(role), self.config.search.score_rows
        if limit is not None and len(index) > limit:
            index = np.sort(np.random.default_rng(0).choice(index, limit, replace=False))
        return index

    def scored(self, role: Role) -> Batches:
        """Batches of those rows in order."""
        return self.rows_in_order("train", self.scored_index(role))

    def batches(self, role: Role | Literal["train"], *, batch_size: int, seed: int) -> Batches:
        """Shuffled batches of the rows of a role, or of "train": all of the training split. Of each
        step's `batch_size` rows, this rank's.
        """
        ranks, rank_rows = self.ranks, share_of("batch_size", batch_size, self.ranks.size)
        index = None if role == "train" else self.index(role)
        rows = self.store.rows("train")
        index, block = self._cut(rows, index, batch_size), self.config.data.shuffle_block
        given: dict[str, Any] = {"rank": ranks.rank, "world_size": ranks.size}
        return Batches(
            rows, batch_size=rank_rows, index=index, shuffle=True, block=block, seed=seed, **given
        )

    def predict(self, net: nn.Module, batches: Batches) -> Predictions:
        """A network's predictions on rows, which ranks share; the same on all of them."""
        return predict(net, batches, device=self.device, ranks=self.ranks)

    def in_order(self, split: str) -> Batches:
        """Batches of a whole split in row order, for evaluation."""
        return self.rows_in_order(split, None)

    def rows_in_order(self, split: str, index: np.ndarray | None) -> Batches:
        """Batches of some rows of a split, in the order given."""
        size = self.config.runtime.eval_batch_size
        rows = self.store.rows(split)
        return Batches(rows, batch_size=size, index=self._cut(rows, index, size))

    def labelled(self, split: str, index: np.ndarray | None, batch_size: int) -> np.ndarray:
        """(T,) bool: which tasks have a label, with a weight above 0, in the rows given that a
        phase reads.
        """
        rows, has_label = self.store.rows(split), np.zeros(len(self.schema.tasks), bool)
        index = self._cut(rows, index, batch_size)
        for start in range(0, len(rows) if index is None else len(index), LOOK_ROWS):
            block = (
                slice(start, start + LOOK_ROWS)
                if index is None
                else index[start : start + LOOK_ROWS]
            )
            there = ~np.isnan(rows.labels[block])
            has_label |= (there if rows.weights is None else there & (rows.weights[block] > 0)).any(
                axis=0
            )
            if has_label.all():
                break
        return has_label

    def _cut(self, rows: Rows, index: np.ndarray | None, batch_size: int) -> np.ndarray | None:
        """At most as many rows as four batches hold, in a fast development run; else all."""
        if not self.config.runtime.fast_dev_run:
            return index
        everyone = np.arange(len(rows)) if index is None else index
        return everyone[: DEV_BATCHES * batch_size]


def data_dir_of(config: RunConfig) -> Path:
    """Where raw and prepared data are kept."""
    return Path(config.data.dir) if config.data.dir else default_data_dir()
