"""A trained network as it is served: one input per feature, one output per task.

Legend: B rows, C fields of one id, G lists, M numbers, L a list's longest, K classes.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from automtl.data.store import Rows
from automtl.data.store.batches import Inputs
from automtl.data.store.schema import Schema, Task
from automtl.errors import ConfigError
from automtl.sharing.mome import MoME


def output_name(task: Task) -> str:
    """What a task's output is called: probabilities, or a value in the label's unit."""
    return f"{'value' if task.kind == 'regression' else 'probs'}_{task.name}"


def names(schema: Schema) -> tuple[list[str], list[str]]:
    """The names of the inputs and of the outputs, in order.

    Raises:
        ConfigError: a feature has the name of an output.
    """
    inputs = [field.name for field in schema.fields]
    outputs = [output_name(task) for task in schema.tasks]
    if both := sorted(set(inputs) & set(outputs)):
        raise ConfigError(
            f"feature '{both[0]}'",
            "must not have the name of an output of the model",
            both[0],
            "rename its column",
        )
    return inputs, outputs


class Served(nn.Module):
    """Features in, probabilities and values out.

    Shape: C times (B,) int64, G times (B, L) int64, M times (B,) float32 -> per task (B,), or (B,
    K) for K classes, float32.

    Args:
        net: a trained network of this schema.
        schema: the data set.
    """

    def __init__(self, net: nn.Module, schema: Schema) -> None:
        super().__init__()
        self.net, self.schema = net, schema

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        outputs = self.net(inputs_of(features, self.schema))
        return tuple(
            answer(task, output) for task, output in zip(self.schema.tasks, outputs, strict=True)
        )


def inputs_of(features: tuple[Tensor, ...], schema: Schema) -> Inputs:
    """One tensor per feature, in the schema's order, as what a network reads."""
    first = features[0]
    columns = len(schema.categorical)
    lists = len(schema.lists)
    ids, numbers = features[:columns], features[columns + lists :]
    return Inputs(
        torch.stack(ids, dim=1) if ids else first.new_zeros((first.shape[0], 0), dtype=torch.int64),
        torch.stack(numbers, dim=1)
        if numbers
        else first.new_zeros((first.shape[0], 0), dtype=torch.float32),
        tuple(features[columns : columns + lists]),
    )


def answer(task: Task, output: Tensor) -> Tensor:
    """A network's output as a probability, or as a value in the label's own unit, its transform
    undone.
    """
    if task.kind == "binary":
        return torch.sigmoid(output + task.logit_offset if task.logit_offset else output)
    if task.kind == "multiclass":
        return output.softmax(dim=1)
    value = output.double() * task.std + task.mean
    return (torch.expm1(value) if task.transform == "log1p" else value).float()


def arrays(rows: Rows, schema: Schema, index: np.ndarray) -> dict[str, np.ndarray]:
    """Some prepared rows as the inputs by name: (B,) int64, (B, L) int64, (B,) float32."""
    inputs = {
        field.name: rows.ids[index, i].astype(np.int64)
        for i, field in enumerate(schema.categorical)
    }
    inputs |= {
        field.name: rows.lists[i].padded(index).astype(np.int64)
        for i, field in enumerate(schema.lists)
    }
    return inputs | {
        field.name: np.array(rows.dense[index, i], np.float32)
        for i, field in enumerate(schema.numeric)
    }


def random_inputs(schema: Schema, count: int) -> dict[str, np.ndarray]:
    """As `arrays`, of rows drawn at random: ids and numbers that the schema allows, lists of up to
    eight ids.
    """
    rng, longest = np.random.default_rng(0), 8
    inputs: dict[str, np.ndarray] = {}
    for field in schema.fields:
        if field.kind == "numeric":
            inputs[field.name] = np.array(
                rng.integers(0, 2, count) if field.indicator_of else rng.standard_normal(count),
                np.float32,
            )
        elif field.kind == "categorical":
            inputs[field.name] = rng.integers(0, field.vocabulary_size, count)
        else:
            ids = rng.integers(
                min(1, field.vocabulary_size - 1), field.vocabulary_size, (count, longest)
            )
            inputs[field.name] = np.where(
                np.arange(longest) < rng.integers(0, longest + 1, (count, 1)), ids, 0
            )
    return inputs


def with_unknown(features: Mapping[str, np.ndarray], schema: Schema) -> dict[str, np.ndarray]:
    """The inputs with one more row, of unseen ids, empty lists and missing numbers."""
    missing = {field.name: 1 if field.indicator_of else 0 for field in schema.fields}
    return {
        name: np.concatenate([a, np.full((1, *a.shape[1:]), missing[name], a.dtype)])
        for name, a in features.items()
    }


def tensors(features: Mapping[str, np.ndarray], schema: Schema) -> tuple[Tensor, ...]:
    """Named arrays as the served network's arguments."""
    return tuple(torch.from_numpy(features[field.name]) for field in schema.fields)


# of the example: a prime that no width is a multiple of, so that a size which is rows is known by
# it
ROWS = 9973


def example(schema: Schema) -> tuple[Tensor, ...]:
    """Arguments to trace with; no two sizes are alike, and none is 1."""
    lengths = {field.name: 5 + 2 * i for i, field in enumerate(schema.lists)}
    shapes = [
        (ROWS, lengths[field.name]) if field.name in lengths else (ROWS,) for field in schema.fields
    ]
    kinds = [torch.float32 if field.kind == "numeric" else torch.int64 for field in schema.fields]
    return tuple(torch.zeros(shape, dtype=kind) for shape, kind in zip(shapes, kinds, strict=True))


def encode_masks(net: nn.Module) -> None:
    """Let masks over one weight share bytes, each a bit: a graph would hold a byte for every entry
    of every mask.
    """
    for module in net.modules():
        if isinstance(module, MoME):
            module.encode()
