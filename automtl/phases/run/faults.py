"""Faults that stop a training without being bugs: numbers that are not finite, too little memory,
operations that do not repeat.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from automtl import files
from automtl.config import RuntimeSection
from automtl.data.store import Store
from automtl.data.store.schema import Schema
from automtl.errors import ArtifactError, ConfigError, NoMemory, NumericalError, counted
from automtl.models.size import heaviest
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.training.step.guard import LOOK_EVERY, BadBatch, Guard

_SHOWN = 8
# parameters of an interaction that are worth a word; copies of each: itself, gradient, momentum
_HEAVY, _STATES = 10**7, 3


def make_guard(runtime: RuntimeSection, device: torch.device) -> Guard:
    """The guard that a run's settings ask for, on a device."""
    return Guard(
        runtime.on_nan, runtime.nan_limit, look_every=1 if device.type == "cpu" else LOOK_EVERY
    )


@contextlib.contextmanager
def known_ids(store: Store) -> Iterator[None]:
    """Turn an index error of a network into an error of the store: its rows hold ids or classes
    that its schema does not have.

    They are not looked for when a store is opened, since that would read all of it, and torch looks
    at each anyway.

    Raises:
        ArtifactError: there are some.
    """
    try:
        yield
    except IndexError as error:
        if not any(words in str(error) for words in ("out of range in self", "is out of bounds")):
            raise
        fix = "remove that folder, and prepare the data again"
        raise ArtifactError(
            store.path, "must hold ids and classes of its own schema", str(error), fix
        ) from error


@contextlib.contextmanager
def enough_memory(
    batch_size: tuple[str, int], model: SearchSpace | Architecture, schema: Schema
) -> Iterator[None]:
    """Say of memory that ran out what takes it: an interaction over many fields, or the batch.

    Args:
        batch_size: the setting's name and value.
        model: what is trained.
        schema: its fields.

    Raises:
        NoMemory: the machine ran out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        name, rows = batch_size
        fix = (
            f"start anew with a lower {name}, or --resume where there is more; for evaluation, "
            "lower runtime.eval_batch_size"
        )
        got = str(error).split("\n")[0][:200]
        raise NoMemory(
            "memory",
            f"must hold a batch ({name} = {rows})",
            got,
            _heavy_interaction(model, schema) or fix,
        ) from error


def _heavy_interaction(model: SearchSpace | Architecture, schema: Schema) -> str:
    """Advice where an interaction over many fields is too large for any batch size; else ""."""
    numbers = min(len(schema.numeric), 1) if model.numeric == "joint" else len(schema.numeric)
    fields = len(schema.id_fields) + numbers
    name, count = (
        heaviest(model.interaction, num_fields=fields, dim=model.embedding_dim)
        if model.interaction
        else ("", 0)
    )
    if count < _HEAVY:
        return ""
    joint = ", or take all numbers as one field (numeric: joint)" if numbers > 1 else ""
    size = (
        f"{count:,} parameters, {_STATES * 4 * count / 2**30:.1f} GiB with gradient and "
        "momentum, whatever the batch"
    )
    return (
        f"{name} over {counted(fields, 'field')} has {size}: leave it out of the interaction, or "
        f"use fewer fields{joint}"
    )


@contextlib.contextmanager
def explained_faults(
    folder: PhaseDir,
    batch_size: tuple[str, int],
    place: Callable[[], tuple[int, int]],
    store: Store,
    model: SearchSpace | Architecture,
) -> Iterator[None]:
    """Explain faults inside the block: a bad batch by its rows, a lack of memory by what takes it.

    Args:
        folder: the phase's folder.
        batch_size: the setting's name and value.
        place: epoch and step as they stand, both from 0.
        store: the prepared data.
        model: what is trained.

    Raises:
        NumericalError: a loss or a gradient was not finite; the rows are in bad_batch.json.
        NoMemory: the machine ran out of memory.
        ArtifactError: the prepared data hold ids that they cannot.
        ConfigError: --deterministic was asked for, and an operation cannot keep to it on this
            device.
    """
    try:
        with known_ids(store), enough_memory(batch_size, model, store.schema):
            yield
    except BadBatch as bad:
        epoch, step = place()
        where = f"epoch {epoch}, step {step}, {_rows(bad.rows)}"
        path = folder.path / "bad_batch.json"
        files.write_json(path, {"what": bad.what, "epoch": epoch, "step": step, "rows": bad.rows})
        last = folder.checkpoint("last")
        advice = (
            f"; go on with --resume from {last}"
            if last.exists()
            else "; there is no checkpoint yet"
        )
        raise NumericalError(
            f"{where} (all in {path})", f"{bad.what} {bad.rule}", bad.got, bad.fix + advice
        ) from bad
    except RuntimeError as error:
        if "deterministic implementation" not in str(error):
            raise
        got = " ".join(str(error).split(",")[0].split())
        raise ConfigError(
            "--deterministic",
            "needs operations that repeat themselves to the bit",
            got,
            "leave it out here",
        ) from error


def _rows(rows: list[int]) -> str:
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"rows {', '.join(map(str, rows[:_SHOWN]))}{more} of the training split"


def _out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether it is of an allocator: torch has a type of its own for devices only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(
        words in str(error)
        for words in ("can't allocate memory", "not enough memory", "out of memory")
    )


def clear_note(folder: PhaseDir) -> None:
    """Remove the note of a bad batch: the phase has ended well."""
    path: Path = folder.path / "bad_batch.json"
    if path.exists():
        files.remove_file(path)
