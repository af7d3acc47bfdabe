"""Sharing modules to be checked: linear experts (nothing of a gradient gets lost), small widths, in
float64.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError
from automtl.models.skeleton import seeded
from automtl.sharing import SHARING_MODULES
from automtl.sharing.base import SharingModule
from automtl.spaces.catalogue import SHARING, module_settings, sharing_settings
from automtl.spaces.kinds import layout
from automtl.strict import nearest

WIDTH, HEIGHT = 6, 5  # of the module's input, of an expert's output
WIDTHS = (HEIGHT, 4, 3)  # of experts by level
FIELDS = (3, 2)  # F fields of d numbers, WIDTH together


class Linear(nn.Linear):
    """An expert whose every weight matters."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out)
        self.width_out = width_out


@dataclass(frozen=True)
class SharingCase:
    """A sharing kind with its settings.

    Args:
        name: for messages.
        make: ``make(num_tasks, num_experts, seed=..., noise=...)`` builds the module in float64,
            its weights drawn from `seed`, its generator from `noise` (None for no generator).
    """

    name: str
    make: Callable[..., SharingModule]


def sharing_case(
    kind: str | type[SharingModule], settings: Mapping[str, Any] | None = None
) -> SharingCase:
    """The case of a registered kind, by its name or its class.

    Raises:
        ConfigError: it is not registered, or has no such settings.
    """
    name = kind if isinstance(kind, str) else getattr(kind, "kind", None)
    if name not in SHARING_MODULES:
        raise ConfigError(
            "check_sharing",
            "must be given a sharing kind that is registered, or its class",
            repr(kind)[:100],
            nearest(kind, SHARING_MODULES)
            if isinstance(kind, str)
            else "call automtl.register_sharing first",
        )
    build = SHARING_MODULES[name] if isinstance(kind, str) else kind
    sharing_settings(name, settings or {})

    def make(
        num_tasks: int = 2, num_experts: int = 5, *, seed: int = 0, noise: int | None = 7
    ) -> SharingModule:
        return make_sharing(
            name,
            num_tasks,
            num_experts,
            seed=seed,
            noise=noise,
            build=build,
            **_fitting(name, settings or {}, num_experts),
        )

    return SharingCase(f"sharing kind {name!r}", make)


def _fitting(kind: str, settings: Mapping[str, Any], num_experts: int) -> dict[str, Any]:
    """Settings of which none asks for more experts than there are."""
    known = SHARING[kind].settings
    counts = {
        name: min(settings.get(name, setting.default), num_experts)
        for name, setting in known.items()
        if setting.of == "experts"
    }
    return {**settings, **counts}


def make_sharing(
    kind: str,
    num_tasks: int = 2,
    num_experts: int = 5,
    *,
    seed: int = 0,
    noise: int | None = 7,
    widths: Sequence[int] = WIDTHS,
    chosen: Sequence[Sequence[int]] | None = None,
    build: Callable[..., SharingModule] | None = None,
    **settings: Any,
) -> SharingModule:
    """A sharing module in float64 over linear experts.

    Args:
        kind: a registered kind.
        num_tasks: T.
        num_experts: N.
        seed: of its weights.
        noise: of its generator; None for no generator.
        widths: of experts by level; the last is that of all levels after it.
        chosen: per task the positions in the pool it may gate.
        build: makes it; None for the kind's class at retrain.
        settings: of the kind; the others take their defaults.
    """
    complete = sharing_settings(kind, settings)
    tasks = [f"task{t}" for t in range(num_tasks)]
    with seeded(seed):
        module = (build or SHARING_MODULES[kind])(
            build=lambda slot, width: Linear(width, widths[min(slot.level, len(widths) - 1)]),
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


def inputs(rows: int = 16, seed: int = 3) -> Tensor:
    """(rows, WIDTH) standard normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, WIDTH, dtype=torch.float64, generator=generator)


def run(module: SharingModule, h: Tensor) -> list[Tensor]:
    """The module's whole forward pass over h (rows, WIDTH) taken as fields, with nothing between
    fields and experts.
    """
    vectors: list[Tensor] = module(h.view(-1, *FIELDS), lambda fields: fields.flatten(1))
    return vectors


def step(module: SharingModule, h: Tensor) -> Tensor | None:
    """The gradients of a loss over all tasks with the module's own term, which is returned."""
    logits = [vector.sum(dim=1) for vector in run(module, h)]  # as towers would make them
    loss = torch.stack([(z - 1).square().mean() for z in logits]).sum()
    own = module.auxiliary_loss(logits, torch.zeros(len(h), len(logits)).to(h))
    (loss if own is None else loss + own).backward()  # type: ignore[no-untyped-call]
    return own


def in_order(values: Mapping[str, Tensor]) -> list[Tensor]:
    """Tensors by their names' order."""
    return [values[key] for key in sorted(values)]
