"""Every sharing kind with its variants, and numpy to compare them with."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from automtl.sharing import SEARCH_MODULES, SHARING_MODULES
from automtl.sharing.base import SharingModule
from automtl.spaces.catalogue import SHARING
from automtl.testing.sharing_modules import (
    FIELDS,
    HEIGHT,
    WIDTH,
    WIDTHS,
    Linear,
    SharingCase,
    inputs,
    make_sharing,
    run,
)

__all__ = ["FIELDS", "HEIGHT", "WIDTH", "WIDTHS", "Linear", "inputs", "run"]

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
# What of them promises otherwise than the others.
NOISY = {"gumbel", "snr_trans", "snr_aver", "mssm", "mome"}  # kinds
PARTIAL = ("top_k", "gumbel", "snr", "mssm, b")  # beginnings of variants
FREE = ("snr", "adatt", "mssm")  # weights that do not sum to 1; but for "adatt, no residual"


def make(
    kind: str,
    num_tasks: int = 2,
    num_experts: int = 5,
    *,
    searching: bool = False,
    **settings: object,
) -> SharingModule:
    """`make_sharing` with a k that fits; `searching`: in its form inside the supernet."""
    fitting = {"k": min(2, num_experts)} if "k" in SHARING[kind].settings else {}
    build = (SEARCH_MODULES if searching else SHARING_MODULES)[kind]
    return make_sharing(kind, num_tasks, num_experts, build=build, **{**fitting, **settings})


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


CASES = {name: SharingCase(name, partial(variant, name)) for name in VARIANTS}


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
