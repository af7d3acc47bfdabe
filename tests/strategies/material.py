"""A search's material in memory."""

import contextlib

import numpy as np
import torch

from automtl.data.store import Rows
from automtl.data.store.batches import Batches
from automtl.models.supernet import build_supernet
from automtl.strategies.darts_settings import DartsSettings
from automtl.strategies.protocol import Material, Options
from tests.support import small_schema, small_space


def rows_of(schema, count, seed):
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


def material(*, options=None, settings=None, space=None, schema=None, seed=0, rows=96, batch=32):
    """Material over `rows` fit rows and half as many alpha rows."""
    schema, space = schema or small_schema(), space or small_space()
    settings = DartsSettings(**{"epochs": 3, "warmup_epochs": 1, **(settings or {})})
    generator = torch.Generator().manual_seed(seed)
    fit, alpha = rows_of(schema, rows, 1), rows_of(schema, rows // 2, 2)
    return Material(
        space=space,
        schema=schema,
        settings=settings,
        options=Options(**(options or {})),
        make_supernet=lambda: build_supernet(space, schema, seed=seed, generator=generator),
        fit=Batches(fit, batch_size=batch, shuffle=True, seed=seed),
        alpha=Batches(alpha, batch_size=batch, shuffle=True, seed=seed + 1),
        scored=Batches(alpha, batch_size=batch),
        generator=generator,
        device=torch.device("cpu"),
        seed=seed,
        autocast=contextlib.nullcontext,
        start=lambda net: None,
    )
