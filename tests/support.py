"""Small data that tests share: a schema with batches made in memory, and a data set written to a
folder.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from automtl import plugins
from automtl.config_search import SearchSection
from automtl.layers import interaction, operations
from automtl.phases.run.reporter import Silent
from automtl.sharing import SEARCH_MODULES, SHARING_MODULES
from automtl.spaces.catalogue import SHARING
from automtl.spaces.operations import OPERATIONS
from automtl.spaces.strategies import StrategySettings
from automtl.testing.small import random_batch, small_schema, small_space
from automtl.training.loop import StepEvent
from scripts.small import write_dataset

__all__ = ["random_batch", "small_schema", "small_space", "write_dataset"]

# of a test that compiles a network: torch's compiler warns of what it does itself
compiles = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor",
    "ignore:.*autograd.function.Function.* should not be instantiated:DeprecationWarning",
)


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


def read_settings(base: Sequence[str], sets: Sequence[str] = ()) -> list[str]:
    """`sets`, after those of the `search.KEY=VALUE` of a test's base that the strategy which both
    come to reads.
    """
    last = {key: value for key, _, value in (item.partition("=") for item in (*base, *sets))}
    search = SearchSection.model_construct(
        strategy=last.get("search.strategy", "random_search"),
        selection=last.get("search.selection", "race"),
    )
    foreign = {f"search.{name}" for name in search.idle & {*StrategySettings.model_fields}}
    return [*(item for item in base if item.partition("=")[0] not in foreign), *sets]


@contextmanager
def without_plugins() -> Iterator[None]:
    """The package's tables as they were when it began, and nothing registered from outside
    meanwhile.
    """
    tables = (
        OPERATIONS,
        SHARING,
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
