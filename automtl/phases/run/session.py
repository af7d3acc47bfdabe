"""What every phase sets up first: device, threads, seeds, prepared data, and someone to tell."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from automtl.config import RunConfig
from automtl.data.prepare import prepare, prepared
from automtl.data.spec.dataset import DatasetConfig, default_data_dir, load_dataset
from automtl.data.store import Rows, Store
from automtl.data.store.batches import Batches
from automtl.data.store.encoding import Encoding
from automtl.data.store.row_keys import alpha_halves
from automtl.data.store.schema import Schema
from automtl.data.store.snapshot import Snapshot
from automtl.errors import DataError, EnvironmentFault
from automtl.models.skeleton import load_vectors
from automtl.phases.run.device import Autocast, Trimmer, autocast, set_up, warn_of_slow_bfloat16
from automtl.phases.run.joining import check_shares, come_together, of_rank, share_of
from automtl.phases.run.run_data import rows_of, tell_edits
from automtl.ranks import ALONE, Ranks, place, world_size
from automtl.runs.loggers import Sinks
from automtl.training.loop import StepEvent
from automtl.training.metrics.evaluation import Predictions, predict

DEV_BATCHES = 4
LOOK_ROWS = 2**18

Role = Literal["fit", "a", "b"]


class Reporter(Protocol):
    """Someone to tell how a phase goes on."""

    def say(self, text: str) -> None:
        """A line for people."""

    def step(self, event: StepEvent, epochs: int) -> None:
        """A finished step of a phase that plans `epochs` epochs."""

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """A finished epoch of a "search" or a "retrain": its line in metrics.jsonl."""


@runtime_checkable
class Stopping(Protocol):
    """A reporter that may ask a phase to stop."""

    def stops(self) -> bool:
        """Whether it asks for that; asked after each epoch, and forgotten then."""


@runtime_checkable
class Counting(Protocol):
    """A reporter that tells of several trainings together."""

    def training(self, number: int, count: int) -> None:
        """The training `number`, from 0, of `count` alike begins."""


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
        """Where networks run."""
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
        if isinstance(self.encoding, Store):
            return self.encoding
        assert isinstance(self.encoding, Snapshot), "rows are a store's, or a run's"
        return rows_of(self.encoding, _data_dir(self.config), self.reporter.say)

    def rows_at_hand(self) -> Store | None:
        """The prepared rows where they lie ready; None where they would have to be prepared first,
        or are gone.
        """
        if isinstance(self.encoding, Store):
            return self.encoding
        try:
            store = prepared(self.encoding.key, _data_dir(self.config))
        except EnvironmentFault:
            return None
        return store if store is not None and store.schema == self.schema else None

    def asked_to_stop(self) -> bool:
        """Whether the reporter asks the phase to end with what there is."""
        asked = isinstance(self.reporter, Stopping) and self.reporter.stops()
        return bool(self.ranks.agree(int(asked)))  # only the first rank has one that may

    def noise(self) -> torch.Generator:
        """The source of dropout and gate noise, on the device."""
        return torch.Generator(self.device).manual_seed(self.seeds.noise)

    def start(self, net: nn.Module) -> None:
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
        """What a network says of rows, which ranks share; the same on all of them."""
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
        """In a fast development run, only as many rows as four batches hold."""
        if not self.config.runtime.fast_dev_run:
            return index
        everyone = np.arange(len(rows)) if index is None else index
        return everyone[: DEV_BATCHES * batch_size]


def open_session(
    config: RunConfig, reporter: Reporter | None = None, own: Snapshot | None = None
) -> Session:
    """Set device and threads and open the data.

    Args:
        config: the run's settings.
        reporter: told how it goes on.
        own: the data set as a run keeps it, in place of what its YAML says now; without, it is
            prepared where need be.
    """
    reporter = reporter or Silent()
    machine = set_up(of_rank(config.runtime))
    encoding: Encoding
    if own is not None:
        tell_edits(own, config.data.source, reporter.say)
        dataset, encoding = own.config, own
    else:
        dataset = load_dataset(config.data.source)
        encoding = _prepared(dataset, _data_dir(config), reporter.say)
    # after the data is there: preparing it may outlast any timeout
    ranks = come_together(config, encoding, machine)
    reporter = reporter if ranks.first else Silent()
    sinks = Sinks(config.runtime.loggers if ranks.first else (), reporter.say)
    seeds = Seeds.of(config.seed)
    return Session(config, dataset, encoding, machine, seeds, reporter, sinks, ranks=ranks)


def _prepared(dataset: DatasetConfig, home: Path, say: Callable[[str], None]) -> Store:
    """The store of a data set, made where need be, but not by each of several machines."""
    machines = place()[1] < world_size()
    return prepare(dataset, data_dir=home, progress=say, make_anew=not machines)


def training_session(
    config: RunConfig,
    reporter: Reporter | None = None,
    own: Snapshot | None = None,
    *,
    search: bool,
    retrain: bool,
) -> Session:
    """As `open_session`, for a phase that chooses by the MTL-Loss.

    Args:
        config: resolved settings.
        reporter: told how it goes on.
        own: see `open_session`.
        search: whether it searches: fit rows and both halves of the alpha rows must have labels of
            their own.
        retrain: whether it retrains: validation rows must.

    Raises:
        DataError: a task has no label in the rows to choose by, so that their MTL-Loss is not
            defined.
    """
    check_shares(config, world_size(), search=search, retrain=retrain)
    session = open_session(config, reporter, own)
    store, size, whole = session.store, config.search.batch_size, config.runtime.eval_batch_size
    parts: list[tuple[str, str, np.ndarray | None, int]] = []
    if retrain:
        parts += [("validation rows", "validation", None, whole)]
    if search:
        parts += [
            ("fit rows", "train", session.index("fit"), size),
            ("A rows (the alpha rows that move alpha)", "train", session.index("a"), size),
            ("B rows (the alpha rows that decide)", "train", session.index("b"), whole),
        ]
    for part, split, index, batch_size in parts:
        has_label = session.labelled(split, index, batch_size)
        if lacking := [
            f"'{task.name}'"
            for task, labelled in zip(store.schema.tasks, has_label, strict=True)
            if not labelled
        ]:
            rule = (
                "must have a label, with a weight above 0, of every task: the MTL-Loss to "
                "choose by is not defined without"
            )
            fix = "change split, or leave out the task"
            raise DataError(
                f"{store.schema.name}: {part}", rule, f"none of {', '.join(lacking)}", fix
            )
    return session


def open_store(config: RunConfig, say: Callable[[str], None]) -> Store:
    """The prepared store of a config's data set; prepared now where it is not yet."""
    return prepare(load_dataset(config.data.source), data_dir=_data_dir(config), progress=say)


def _data_dir(config: RunConfig) -> Path:
    return Path(config.data.dir) if config.data.dir else default_data_dir()
