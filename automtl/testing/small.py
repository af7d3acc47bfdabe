"""A search in memory, small enough for a test: data set, space, and what a strategy is given."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from automtl.data.store import Rows
from automtl.data.store.batches import Batch, Batches, Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.models.supernet import build_supernet
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts_settings import DartsSettings
from automtl.strategies.protocol import Options, SearchContext


class CountedBatches(Batches):
    """Batches that count the rows taken from them.

    Attributes:
        taken: so far.
        largest: rows of the largest batch so far.
    """

    taken: int = 0
    largest: int = 0

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for batch in super().epoch(epoch, start):
            self.taken += len(batch)
            self.largest = max(self.largest, len(batch))
            yield batch


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


def small_space(**changes: Any) -> SearchSpace:
    """Three experts of two blocks over every kind of candidate."""
    plain: dict[str, Any] = {
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


def rows_of(schema: Schema, count: int, seed: int) -> Rows:
    """Rows whose labels follow from the ids."""
    rng = np.random.default_rng(seed)
    ids = np.stack(
        [rng.integers(0, f.vocabulary_size, count) for f in schema.categorical], axis=1
    ).astype(np.int32)
    dense = rng.normal(size=(count, len(schema.numeric))).astype(np.float32)
    logits = np.stack(
        [ids[:, t % ids.shape[1]] - 3 + dense[:, 0] for t in range(len(schema.tasks))], axis=1
    )
    labels = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return Rows(ids, dense, labels, None)


def small_context(
    *,
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    space: SearchSpace | None = None,
    schema: Schema | None = None,
    seed: int = 0,
    rows: int = 96,
    batch: int = 32,
) -> SearchContext:
    """A search's context over `rows` fit rows and half as many alpha rows."""
    schema, space = schema or small_schema(), space or small_space()
    trained = DartsSettings(**{"epochs": 3, "warmup_epochs": 1, **(settings or {})})
    generator = torch.Generator().manual_seed(seed)
    fit, alpha = rows_of(schema, rows, 1), rows_of(schema, rows // 2, 2)
    return SearchContext(
        space=space,
        schema=schema,
        settings=trained,
        options=Options(**(options or {})),
        make_supernet=lambda: build_supernet(space, schema, seed=seed, generator=generator),
        fit=CountedBatches(fit, batch_size=batch, shuffle=True, seed=seed),
        alpha=CountedBatches(alpha, batch_size=batch, shuffle=True, seed=seed + 1),
        scored=CountedBatches(alpha, batch_size=batch),
        generator=generator,
        device=torch.device("cpu"),
        seed=seed,
        autocast=contextlib.nullcontext,
        load_pretrained=lambda net: None,
    )
