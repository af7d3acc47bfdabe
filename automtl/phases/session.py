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
from automtl.models.skeleton import load_vectors
from automtl.phases.machine import Autocast, Trimmer, autocast, set_up, warn_of_slow_bfloat16
from automtl.runs.loggers import Sinks
from automtl.training.loop import StepEvent

DEV_BATCHES = 4


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


def open_store(config: RunConfig, say: Callable[[str], None]) -> Store:
    """The prepared store of a config's data set; prepared now where it is not yet."""
    folder = Path(config.data.dir) if config.data.dir else default_data_dir()
    return prepare(load_dataset(config.data.source), data_dir=folder, progress=say)
