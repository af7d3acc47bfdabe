"""Sharing modules made for tests: linear experts (nothing of a gradient gets lost), small widths,
every kind with its variants.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from automtl.models.skeleton import seeded
from automtl.sharing import SEARCH_MODULES, SHARING_MODULES
from automtl.sharing.base import SharingModule
from automtl.spaces.catalogue import SHARING, module_settings, sharing_settings
from automtl.spaces.kinds import layout

WIDTH, HEIGHT = 6, 5  # of the module's input, of an expert's output
WIDTHS = (HEIGHT, 4, 3)  # of experts by level
FIELDS = (3, 2)  # F fields of d numbers, WIDTH together

# Every kind, and the variants that its settings make of it.
VARIANTS = {
    **{kind: (kind, {}) for kind in SHARING if kind in SHARING_MODULES},
    "mmoe, bias": ("mmoe", {"gate_bias": True}),
    "ml_mmoe, 3 levels": ("ml_mmoe", {"levels": 3}),
    "top_k, static": ("top_k", {"per_example": False}),
    "dselect_k, per example": ("dselect_k", {"per_example": True}),
    "dselect_k, k 1": ("dselect_k", {"k": 1}),
    "ple, 3 levels": ("ple", {"levels": 3, "task_experts": 1, "shared_experts": 1}),
    "ple, nothing shared": ("ple", {"shared_experts": 0}),
    "cgc, nothing shared": ("cgc", {"shared_experts": 0, "task_experts": 1}),
    "adatt, general": ("adatt", {"task_experts": 2, "shared_experts": 2, "native_init": "ones"}),
    "adatt, one shared": ("adatt", {"task_experts": 2, "shared_experts": 1, "levels": 3}),
    "adatt, no residual": ("adatt", {"native_residual": False, "gate_bias": True}),
    "snr_trans, 1 level": ("snr_trans", {"levels": 1}),
    "mssm, vector, sum": ("mssm", {"field_mask": "vector", "penalty": "sum", "lambda_m": 0.01}),
    "mssm, a, 3 levels": ("mssm", {"fields": False, "levels": 3}),
    "mssm, b": ("mssm", {"cells": False}),
    "mssm, basic": ("mssm", {"fields": False, "cells": False}),
    "moe, 2 experts": ("moe", {"experts": 2}),
}
NOISY = {"gumbel", "snr_trans", "snr_aver", "mssm", "mome"}


class Linear(nn.Linear):
    """An expert whose every weight matters."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out)
        self.width_out = width_out


def make(
    kind: str,
    num_tasks: int = 2,
    num_experts: int = 5,
    *,
    seed: int = 0,
    noise: int | None = 7,
    widths: Sequence[int] = WIDTHS,
    chosen: Sequence[Sequence[int]] | None = None,
    searching: bool = False,
    **settings: object,
) -> SharingModule:
    """A sharing module in float64 over linear experts; `searching`: in its form inside the
    supernet.
    """
    complete = sharing_settings(
        kind, {**({"k": min(2, num_experts)} if "k" in SHARING[kind].settings else {}), **settings}
    )
    tasks = [f"task{t}" for t in range(num_tasks)]
    with seeded(seed):
        module = (SEARCH_MODULES if searching else SHARING_MODULES)[kind](
            build=lambda slot, width: Linear(width, widths[slot.level]),
            tasks=tasks,
            width_in=WIDTH,
            slots=layout(
                kind, num_tasks=num_tasks, num_experts=num_experts, settings=complete, names=tasks
            ),
            field_shape=FIELDS,
            chosen=chosen,
            generator=None if noise is None else torch.Generator().manual_seed(noise),
            **module_settings(kind, complete),
        )
    return module.double()


def variant(
    name: str, num_tasks: int = 2, num_experts: int = 5, **changes: object
) -> SharingModule:
    """The module of a variant."""
    kind, settings = VARIANTS[name]
    if num_experts == 1:
        counts = ("k", "task_experts", "shared_experts", "experts")
        settings = {
            key: min(value, 1) if key in counts else value for key, value in settings.items()
        }
        for key in ("task_experts", "shared_experts"):
            if key in SHARING[kind].settings and key not in settings:
                settings[key] = 1 if key == "task_experts" else 0
    return make(kind, num_tasks, num_experts, **{**settings, **changes})


def run(module: SharingModule, h: torch.Tensor) -> list[torch.Tensor]:
    """The module's whole forward pass over h (rows, WIDTH) taken as fields, with nothing between
    fields and experts.
    """
    return module(h.unflatten(1, FIELDS), lambda fields: fields.flatten(1))


def inputs(rows: int = 16, seed: int = 3) -> torch.Tensor:
    """(rows, WIDTH) standard normal numbers."""
    return torch.randn(
        rows, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def outputs_of(module: SharingModule, h: torch.Tensor) -> list[np.ndarray]:
    """What the experts of the first level make of h, in order of their slots."""
    firsts = [
        expert for slot, expert in zip(module.slots, module.experts, strict=True) if slot.level == 0
    ]
    return [expert(h).detach().numpy() for expert in firsts]


def affine(expert: nn.Module, x: np.ndarray) -> np.ndarray:
    """A linear expert by numpy."""
    return x @ expert.weight.detach().numpy().T + expert.bias.detach().numpy()


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gate(layer: nn.Module, x: np.ndarray) -> np.ndarray:
    """A softmax gate by numpy."""
    bias = 0 if layer.linear.bias is None else layer.linear.bias.detach().numpy()
    return softmax(x @ layer.linear.weight.detach().numpy().T + bias)


def mixed(weights: np.ndarray, outputs: Sequence[np.ndarray]) -> np.ndarray:
    """sum_i weights_i outputs_i, weights (B, n) or (n,)."""
    return np.einsum(
        "bn,nbd->bd", np.broadcast_to(weights, (len(outputs[0]), len(outputs))), np.stack(outputs)
    )


def assert_equal(mine: Sequence[torch.Tensor], theirs: Sequence[np.ndarray]) -> None:
    """To 1e-12, in float64."""
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, atol=1e-12, rtol=1e-12)
