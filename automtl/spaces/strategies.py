"""The search strategies as plain data: their settings, and where the classes that run them live.

A strategy is a file in ``automtl.strategies`` and a row of `STRATEGIES` here. Kept apart from the
classes, as the sharing kinds are in `catalogue`, so that a configuration is read, checked and
described without importing torch.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from automtl.strict import Strict


class SecondOrderSettings(Strict):
    """Settings of `darts`."""

    second_order: bool = Field(
        False, description="darts: alpha's gradient through one step of weights and beta (Eq. 4)."
    )
    hvp: Literal["exact", "finite"] = Field(
        "exact", description="second_order: its Hessian-vector product; finite errs on ReLUs."
    )
    hvp_scale: float = Field(
        0.01, gt=0, description="hvp finite: eps times the norm of the direction."
    )


class SampledSettings(Strict):
    """Settings of `snas` and `gdas`."""

    temperature: float = Field(
        5.0, gt=0, description="snas and gdas: Gumbel-softmax temperature of the first epoch."
    )
    final_temperature: float = Field(
        0.5, gt=0, description="snas and gdas: temperature of the last epoch."
    )


class RandomSettings(Strict):
    """Settings of `random_search`."""

    draws: int = Field(8, ge=1, le=100_000, description="random_search: architectures tried.")
    budget_samples: int | None = Field(
        None, ge=1, description="random_search: rows to spend; default what darts would train on."
    )
    budget_run: str | None = Field(
        None, description="random_search: a searched run whose samples are the budget."
    )


class AloneSettings(Strict):
    """Settings of training an architecture alone, as `random_search` and ``automtl rank`` do."""

    random_lr: float = Field(
        1e-3, gt=0, description="random_search and rank: Adam rate of trainings alone."
    )


class EvolutionSettings(Strict):
    """Settings of `evolution`."""

    population: int = Field(24, ge=2, le=100_000, description="evolution: architectures alive.")
    tournament: int = Field(
        6, ge=1, description="evolution: how many of them compete to be the parent."
    )
    generations: int = Field(
        4,
        ge=0,
        le=100_000,
        description="evolution: how often a whole population of children is scored.",
    )


class StrategySettings(
    EvolutionSettings, AloneSettings, RandomSettings, SampledSettings, SecondOrderSettings
):
    """The settings of all strategies, flat: pydantic lists the last base's first."""


@dataclass(frozen=True)
class StrategySignature:
    """One search strategy.

    Args:
        module: where in ``automtl.strategies`` its maker stands, "file:name": called with the
            search's context, it gives the strategy.
        settings: its own settings, one of the bases of `StrategySettings`.
        trains_supernet: it trains a supernet before anything is chosen.
        mixes: its supernet has learnt to mix candidates, so that perturbation and alpha's Hessian
            say something.
    """

    module: str
    settings: type[Strict] = Strict
    trains_supernet: bool = True
    mixes: bool = False


STRATEGIES: dict[str, StrategySignature] = {
    "darts": StrategySignature("_gradients:darts", SecondOrderSettings, mixes=True),
    "snas": StrategySignature("_gradients:snas", SampledSettings, mixes=True),
    "gdas": StrategySignature("_gradients:gdas", SampledSettings),
    "random_sampling": StrategySignature("_random:RandomSampling", trains_supernet=False),
    "random_search": StrategySignature(
        "_random:random_search", RandomSettings, trains_supernet=False
    ),
    "evolution": StrategySignature("_evolution:Evolution", EvolutionSettings),
}


def readers(setting: str) -> tuple[str, ...]:
    """The strategies whose own a setting is; none for one that is no strategy's alone."""
    return tuple(
        name for name, signature in STRATEGIES.items() if setting in signature.settings.model_fields
    )
