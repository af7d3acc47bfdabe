"""Small networks of every sharing kind, over every kind of feature and task."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from automtl.data.store import Rows
from automtl.data.store.id_lists import Lists
from automtl.data.store.schema import Field, Schema, Task
from automtl.exports.network import Served, arrays, inputs_of, tensors, with_unknown
from automtl.models.derived import IndependentNets, build_model
from automtl.spaces.architecture import Architecture
from tests.sharing.modules import VARIANTS

# Every kind of the catalogue with its variants; `single_task` is no module, and a BatchNorm inside
# `aitm` keeps to no contract of rows.
KINDS = {
    **VARIANTS,
    "single_task": ("single_task", {}),
    "aitm, dense": ("aitm", {"transfer": "dense", "transfer_dropout": 0.2}),
}

FIELDS = (
    Field(name="user", kind="categorical", vocabulary_size=9),
    # the name of an operation, and its own width
    Field(name="linear", kind="categorical", vocabulary_size=5, embedding_dim=3),
    Field(name="tags", kind="multi", vocabulary_size=6),
    Field(name="seen", kind="sequence", vocabulary_size=9, shares="user"),
    Field(name="price €", kind="numeric"),
    Field(name="price €:missing", kind="numeric", indicator_of="price €"),
)
TASKS = (
    Task(name="click", kind="binary"),
    Task(name="spend", kind="regression", mean=2.0, std=3.0, transform="log1p"),
    Task(name="stay", kind="regression", mean=-1.0, std=0.5),
    Task(name="kind", kind="multiclass", classes=3, class_names=("a", "b", "c")),
)
SCHEMA = Schema(name="small", fields=FIELDS, tasks=TASKS)
EXPERTS = (
    ("mlp(4)", "conv1d(3)"),
    ("gate", "skip"),
    ("mlp(8)", "gate"),
    ("dense(8)",),
    ("mlp(6)",),
)


def architecture(
    name: str, *, interaction: tuple[str, ...] = ("product(inner)",), numeric: str = "linear"
) -> Architecture:
    """A kind, or a variant of one, over five unlike experts."""
    kind, settings = KINDS[name]
    return Architecture(
        embedding_dim=4,
        numeric=numeric,
        interaction=interaction,
        projection=8,
        experts=tuple({"blocks": blocks} for blocks in EXPERTS),
        sharing={"kind": kind, "settings": settings},
        towers=(6,),
    )


def rows(schema: Schema = SCHEMA, count: int = 40, seed: int = 0) -> Rows:
    """Encoded rows: unknown ids and missing numbers (0) and empty lists among them."""
    g = np.random.default_rng(seed)
    columns = [g.integers(0, field.vocabulary_size, count) for field in schema.categorical]
    ids = np.stack(columns, axis=1).astype(np.int32) if columns else np.zeros((count, 0), np.int32)
    dense = (
        g.normal(size=(count, len(schema.numeric))) * (g.random((count, len(schema.numeric))) < 0.8)
    ).astype(np.float32)
    lists = []
    for field in schema.lists:
        offsets = np.concatenate([[0], np.cumsum(g.integers(0, 4, count))]).astype(np.int64)
        lists.append(
            Lists(g.integers(1, field.vocabulary_size, offsets[-1]).astype(np.int32), offsets)
        )
    return Rows(ids, dense, np.zeros((count, len(schema.tasks)), np.float32), None, tuple(lists))


def features(schema: Schema = SCHEMA, count: int = 40, seed: int = 0) -> dict[str, np.ndarray]:
    """The same by name, and a row of unseen ids and missing numbers."""
    return with_unknown(arrays(rows(schema, count, seed), schema, np.arange(count)), schema)


def trained(made: Architecture, schema: Schema = SCHEMA) -> Served:
    """A network with statistics and weights that are not those of a start, through all its stages
    and ready to serve.
    """
    net = build_model(made, schema, seed=3, generator=torch.Generator().manual_seed(0)).train()
    shake(net)
    for part in net.nets if isinstance(net, IndependentNets) else [net]:
        for seed, phase in enumerate(part.sharing.stages()):
            part.sharing.begin(phase.name)
            part.sharing.advance(0.3)
            part(inputs_of(tensors(features(schema, seed=seed), schema), schema))
    return Served(net.eval().requires_grad_(False), schema).eval()


def shake(net: nn.Module) -> None:
    """Move every parameter off its start, where gates are even and biases zero."""
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=g))


def block(folder: Path) -> str:
    """The README's code."""
    return (
        (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    )
