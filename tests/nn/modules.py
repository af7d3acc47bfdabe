"""The public modules of every kind and variant, made as a person makes them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from automtl import nn as mtl
from automtl.spaces.catalogue import SHARING
from tests.sharing.modules import VARIANTS

CLASSES = {
    "selected": mtl.Selected,
    "moe": mtl.MoE,
    "mmoe": mtl.MMoE,
    "ml_mmoe": mtl.MLMMoE,
    "top_k": mtl.TopK,
    "gumbel": mtl.Gumbel,
    "dselect_k": mtl.DSelectK,
    "snr_trans": mtl.SNRTrans,
    "snr_aver": mtl.SNRAver,
    "shared_bottom": mtl.SharedBottom,
    "cgc": mtl.CGC,
    "ple": mtl.PLE,
    "adatt": mtl.AdaTT,
    "cross_stitch": mtl.CrossStitch,
    "aitm": mtl.AITM,
    "mome": mtl.MoME,
    "mssm": mtl.MSSM,
}
TASKS = ("click", "buy")
CHOSEN = ((0, 2), (1, 2))
WIDTHS = (7, 5, 4)  # of MLPs by layer or by level
FIELDS = (3, 4)
WIDTH = 12


def levels(name: str) -> int | None:
    """How many levels a variant has; None for a kind without."""
    kind, settings = VARIANTS[name]
    known = SHARING[kind].settings
    return settings.get("levels", known["levels"].default) if "levels" in known else None


def masks_fields(name: str) -> bool:
    """Whether a variant reads (B, F, d)."""
    kind, settings = VARIANTS[name]
    return kind == "mssm" and settings.get("fields", True)


def plain(name: str, experts: Any = None, **changes: Any) -> mtl.MMoE:
    """The public module of a variant, over MLPs or given experts."""
    kind, settings = VARIANTS[name]
    count = settings.get("experts", 3)
    arguments: dict[str, Any] = {
        key: value for key, value in settings.items() if key not in ("levels", "experts", "fields")
    }
    if kind == "selected":
        arguments["chosen"] = CHOSEN
    elif SHARING[kind].slots == "pool":
        arguments["num_experts"] = count
    if kind == "mome":
        arguments["masks"] = settings.get("masks", 3)
    sizes = {"field_shape": FIELDS} if masks_fields(name) else {"width_in": WIDTH}
    given = experts or list(WIDTHS[: levels(name) or 2])
    return CLASSES[kind](given, **{"tasks": TASKS, **sizes, **arguments, **changes})


def rows(name: str, count: int = 16, seed: int = 3, **like: Any) -> torch.Tensor:
    """What a variant reads."""
    g = torch.Generator().manual_seed(seed)
    shape = FIELDS if masks_fields(name) else (WIDTH,)
    return (
        torch.randn(count, *shape, generator=g).to(**like)
        if like
        else torch.randn(count, *shape, generator=g)
    )


def torch_mlp(width_in: int, width: int) -> nn.Sequential:
    """A person's own expert."""
    return nn.Sequential(
        nn.Linear(width_in, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, width), nn.ReLU()
    )


def factory(width: int) -> Callable[[int], nn.Module]:
    """A function that makes such experts."""
    return lambda width_in: torch_mlp(width_in, width)


every_kind = [name for name in VARIANTS if name in CLASSES]
