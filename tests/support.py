"""Small data that tests share: a schema with batches made in memory, and a data set written to a
folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from automtl import plugins
from automtl.data.store.batches import Batch, Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.layers import interaction, operations
from automtl.phases.run.session import Silent
from automtl.sharing import SEARCH_MODULES, SHARING_MODULES
from automtl.spaces.catalogue import SHARING
from automtl.spaces.kinds import LAYOUTS
from automtl.spaces.operations import OPERATIONS
from automtl.spaces.space import SearchSpace
from automtl.spaces.wiring import WIRINGS
from automtl.training.loop import StepEvent
from scripts.small import write_dataset

__all__ = ["write_dataset"]


def small_schema(
    num_tasks: int = 2, field_names: tuple[str, ...] = ("user", "item", "hour")
) -> Schema:
    """Three categorical fields, one number, `num_tasks` binary tasks."""
    fields = [
        Field(name=n, kind="categorical", vocabulary_size=7 + i, unknown_count=0)
        for i, n in enumerate(field_names)
    ]
    tasks = [Task(name=f"task{t}", kind="binary") for t in range(num_tasks)]
    return Schema(
        name="small", fields=(*fields, Field(name="price", kind="numeric")), tasks=tuple(tasks)
    )


def random_batch(schema: Schema, rows: int = 32, seed: int = 0) -> Batch:
    """Random rows with binary labels."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.stack(
        [torch.randint(0, f.vocabulary_size, (rows,), generator=g) for f in schema.categorical],
        dim=1,
    )
    dense = torch.randn(rows, len(schema.numeric), generator=g)
    labels = torch.randint(0, 2, (rows, len(schema.tasks)), generator=g).float()
    return Batch(Inputs(ids, dense), labels, None, torch.arange(rows))


def small_space(**changes: object) -> SearchSpace:
    """Three experts of two blocks over every kind of candidate."""
    plain = {
        "name": "tiny",
        "source": "made for tests",
        "embedding_dim": 4,
        "interaction": (
            "product(inner)",
            "product(outer)",
            "cross(2)",
            "self_attention(2)",
            "mlp(8)",
            "skip",
        ),
        "expert": ("gate", "mlp(4)", "mlp(8)", "conv1d(3)", "skip"),
        "num_experts": 3,
        "num_blocks": 2,
        "expert_dim": 8,
        "towers": (6,),
    }
    return SearchSpace(**{**plain, **changes})


class Stop(Exception):
    """What `Stopper` raises."""


class Stopper(Silent):
    """A reporter that interrupts a phase after a step."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place = (epoch, step)

    def say(self, text: str) -> None:
        pass

    def step(self, event: StepEvent, epochs: int) -> None:
        if (event.epoch, event.step) == self.place:
            raise Stop


@contextmanager
def without_plugins() -> Iterator[None]:
    """The package's tables as they were when it began, and nothing registered from outside
    meanwhile.
    """
    tables = (
        OPERATIONS,
        SHARING,
        LAYOUTS,
        WIRINGS,
        interaction.BUILDERS,
        operations.BUILDERS,
        SHARING_MODULES,
        SEARCH_MODULES,
    )
    tables = (*tables, plugins.REGISTERED)
    kept = [dict(table) for table in tables]
    own = set(plugins.REGISTERED)
    for table in tables:
        for name in own & set(table):
            del table[name]
    try:
        yield
    finally:
        for table, held in zip(tables, kept, strict=True):
            table.clear()
            table.update(held)
