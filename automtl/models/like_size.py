"""Hand-made models of a wanted size, so that they are compared at like cost."""

import numpy as np

from automtl.data.store.schema import Schema
from automtl.errors import ConfigError
from automtl.models.cost import flops_per_row
from automtl.models.derived import build_model
from automtl.spaces.architecture import Architecture, Expert
from automtl.spaces.operations import Operation

NARROWEST = 8  # hidden layer; all others are multiples of it
_RUNGS = np.exp2(np.arange(12, -25, -1) / 4)  # factors of width, 8 to 1/64


def row_flops(architecture: Architecture, schema: Schema) -> int:
    """Floating-point operations of one row.

    A row of a table is looked up, which costs none; so tables are made small here, as a search for
    a size builds many models.
    """
    fields = tuple(
        field.model_copy(update={"vocabulary_size": min(2, field.vocabulary_size)})
        for field in schema.fields
    )
    small = schema.model_copy(update={"fields": fields})
    return flops_per_row(build_model(architecture, small), small)


def can_scale(architecture: Architecture) -> bool:
    """Whether its experts have hidden widths, of dense(h) blocks."""
    return any(o.name == "dense" for expert in architecture.experts for o in expert.operations)


def like_size(architecture: Architecture, target: float, schema: Schema) -> Architecture:
    """A hand-made model with the hidden widths of its experts scaled by one factor, the one whose
    FLOPs a row come nearest to the target.

    Raises:
        ConfigError: it has no hidden widths.
    """
    if not can_scale(architecture):
        raise ConfigError(
            f"hand-made model {architecture.name}",
            "must have experts of dense(h) blocks to be scaled",
            "none",
            "leave it out",
        )
    low, high = 0, len(_RUNGS) - 1  # FLOPs fall along the rungs
    while high - low > 1:
        middle = (low + high) // 2
        dearer = row_flops(_scaled(architecture, _RUNGS[middle]), schema) > target
        low, high = (middle, high) if dearer else (low, middle)
    scaled = [_scaled(architecture, _RUNGS[i]) for i in (low, high)]
    return min(scaled, key=lambda a: abs(np.log(max(1, row_flops(a, schema)) / max(1.0, target))))


def _scaled(architecture: Architecture, factor: float) -> Architecture:
    def block(operation: Operation) -> str:
        if operation.name != "dense":
            return str(operation)
        steps = round(int(operation.argument or 0) * factor / NARROWEST)
        return f"dense({max(NARROWEST, NARROWEST * steps)})"

    experts = tuple(
        Expert(**{**dict(e), "blocks": tuple(block(o) for o in e.operations)})
        for e in architecture.experts
    )
    return architecture.evolve(experts=experts)
