"""What every phase sets up first: device, threads, seeds, prepared data, and someone to tell."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import nn

from automtl.config import RunConfig
from automtl.data.batches import Batches
from automtl.data.dataset import default_data_dir, load_dataset
from automtl.data.prepare import prepare
from automtl.data.schema import Schema
from automtl.data.store import Rows, Store
from automtl.errors import DataError
from automtl.models.skeleton import load_vectors
from automtl.phases.machine import Autocast, Trimmer, autocast, set_up, warn_of_slow_bfloat16
from automtl.runs.loggers import Sinks
from automtl.training.loop import StepEvent

DEV_BATCHES = 4
LOOK_ROWS = 2**18


class Reporter(Protocol):
    """Someone to tell how a phase goes on."""

    def say(self, text: str) -> None:
        """A line for people."""

    def step(self, event: StepEvent, epochs: int) -> None:
        """A finished step of a phase that plans `epochs` epochs."""

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """A finished epoch of a "search" or a "retrain": its line in metrics.jsonl."""


class Silent:
    """A reporter that tells no one."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def step(self, event: StepEvent, epochs: int) -> None:
        """Show nothing."""

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class Seeds:
    """Independent streams of one seed, so that changing one use of randomness leaves the others as they were."""

    weights: int
    fit: int
    alpha: int
    noise: int

    @classmethod
    def of(cls, seed: int) -> "Seeds":
        """The streams of `seed`."""
        return cls(*(int(s) for s in np.random.SeedSequence(seed).generate_state(4, np.uint32) & 0x7FFFFFFF))


@dataclass(frozen=True)
class Session:
    """Everything a phase starts from."""

    config: RunConfig
    store: Store
    machine: dict[str, Any]
    seeds: Seeds
    reporter: Reporter
    sinks: Sinks
    trim: Trimmer = field(default_factory=Trimmer)

    @property
    def device(self) -> torch.device:
        """Where networks run."""
        return torch.device(self.machine["device"])

    @property
    def autocast(self) -> Autocast:
        """The context of a training forward pass."""
        return autocast(self.machine["precision"], self.device)

    @property
    def schema(self) -> Schema:
        """The data set's schema."""
        return self.store.schema

    def noise(self) -> torch.Generator:
        """The source of dropout and gate noise, on the device."""
        return torch.Generator(self.device).manual_seed(self.seeds.noise)

    def start(self, net: nn.Module) -> None:
        """Make ready to train a fresh network: its embeddings start from the data set's pretrained vectors, where it has some."""
        warn_of_slow_bfloat16(self.machine["precision"], self.device, self.reporter.say)
        if vectors := self.store.vectors():
            load_vectors(net, self.schema, vectors)

    def batches(self, role: Literal["fit", "alpha", "train"], *, batch_size: int, seed: int) -> Batches:
        """Shuffled batches of the "fit" or "alpha" rows, or of "train", which is both."""
        index = None if role == "train" else self.store.fit_index if role == "fit" else self.store.alpha_index
        rows = self.store.rows("train")
        index, block = self._cut(rows, index, batch_size), self.config.data.shuffle_block
        return Batches(rows, batch_size=batch_size, index=index, shuffle=True, block=block, seed=seed)

    def in_order(self, split: str) -> Batches:
        """Batches of a whole split in row order, for evaluation."""
        return self.rows_in_order(split, None)

    def rows_in_order(self, split: str, index: np.ndarray | None) -> Batches:
        """Batches of some rows of a split, in the order given."""
        size = self.config.runtime.eval_batch_size
        rows = self.store.rows(split)
        return Batches(rows, batch_size=size, index=self._cut(rows, index, size))

    def labelled(self, split: str, index: np.ndarray | None, batch_size: int) -> np.ndarray:
        """(T,) bool: which tasks have a label, with a weight above 0, in the rows given that a phase reads."""
        rows, found = self.store.rows(split), np.zeros(len(self.schema.tasks), bool)
        index = self._cut(rows, index, batch_size)
        for start in range(0, len(rows) if index is None else len(index), LOOK_ROWS):
            block = slice(start, start + LOOK_ROWS) if index is None else index[start : start + LOOK_ROWS]
            there = ~np.isnan(rows.labels[block])
            found |= (there if rows.weights is None else there & (rows.weights[block] > 0)).any(axis=0)
            if found.all():
                break
        return found

    def _cut(self, rows: Rows, index: np.ndarray | None, batch_size: int) -> np.ndarray | None:
        """In a fast development run, only as many rows as four batches hold."""
        if not self.config.runtime.fast_dev_run:
            return index
        everyone = np.arange(len(rows)) if index is None else index
        return everyone[: DEV_BATCHES * batch_size]


def open_session(config: RunConfig, reporter: Reporter | None = None) -> Session:
    """Set device and threads and open the prepared data, preparing it first where need be."""
    reporter = reporter or Silent()
    machine = set_up(config.runtime)
    sinks = Sinks(config.runtime.loggers, reporter.say)
    store = open_store(config, reporter.say)
    return Session(config, store, machine, Seeds.of(config.seed), reporter, sinks)


def training_session(config: RunConfig, reporter: Reporter | None = None, *, search: bool) -> Session:
    """As `open_session`, for a phase that chooses by the MTL-Loss.

    Args:
        config: resolved settings.
        reporter: told how it goes on.
        search: whether fit and alpha rows are to have labels of their own.

    Raises:
        DataError: a task has no label in the rows to choose by, so that their MTL-Loss is not defined.
    """
    session = open_session(config, reporter)
    store, size = session.store, config.search.batch_size
    parts: list[tuple[str, str, np.ndarray | None, int]] = [("validation", "validation", None, config.runtime.eval_batch_size)]
    if search:
        parts += [("fit", "train", store.fit_index, size), ("alpha", "train", store.alpha_index, size)]
    for part, split, index, batch_size in parts:
        found = session.labelled(split, index, batch_size)
        if lacking := [f"'{task.name}'" for task, labelled in zip(store.schema.tasks, found, strict=True) if not labelled]:
            rule = "must have a label, with a weight above 0, of every task: the MTL-Loss to choose by is not defined without"
            fix = "change split, or leave out the task"
            raise DataError(f"{store.schema.name}: {part} rows", rule, f"none of {', '.join(lacking)}", fix)
    return session


def open_store(config: RunConfig, say: Callable[[str], None]) -> Store:
    """The prepared store of a config's data set; prepared now where it is not yet."""
    folder = Path(config.data.dir) if config.data.dir else default_data_dir()
    return prepare(load_dataset(config.data.source), data_dir=folder, progress=say)
