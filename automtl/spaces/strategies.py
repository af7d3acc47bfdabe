"""The search strategies as plain data: their settings, and where the classes that run them live.

A strategy is a file in ``automtl.strategies`` and a row of `STRATEGIES` here. Kept apart from the
classes, as the sharing kinds are in `catalogue`, so that a configuration is read, checked and
described without importing torch.
"""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from automtl.errors import ConfigError
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


class SupernetSettings(Strict):
    """Settings of training a supernet, and of what is read from it; defaults are AutoMTL's where it
    names them (section 4.1.4). Rates are per step.
    """

    epochs: int = Field(
        15, ge=2, le=100_000, description="Planned epochs; schedules are over these."
    )
    warmup_epochs: int = Field(
        5, ge=0, description="Epochs in which beta stays fixed; below epochs."
    )
    weight_lr: float = Field(
        0.02, gt=0, description="SGD rate of the weights, cosine to 0 over the planned epochs."
    )
    weight_momentum: float = Field(0.9, ge=0, lt=1, description="SGD momentum of the weights.")
    weight_decay: float = Field(3e-4, ge=0, description="L2 decay of the weights.")
    clip_norm: float = Field(
        5.0, gt=0, description="Largest gradient norm of the weights, tables included."
    )
    alpha_lr: float = Field(
        1e-3, gt=0, description="Adam rate of alpha; about the furthest alpha moves in a step."
    )
    alpha_decay: float = Field(1e-6, ge=0, description="L2 decay of alpha.")
    beta_lr: float = Field(1e-3, gt=0, description="Adam rate of beta.")
    beta_decay: float = Field(3e-4, ge=0, description="L2 decay of beta.")
    jsd_weight: float = Field(
        1.0,
        ge=0,
        description="w_JSD at the end of warm-up, linear to 0; 0 is the ablation w/o AUX.",
    )
    cost_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the expected cost, relative to equal alphas, in alpha's loss.",
    )
    cost_of: Literal["flops", "parameters"] = Field(
        "flops", description="Which cost cost_weight weighs."
    )
    max_flops: int | None = Field(
        None, ge=1, description="Hard limit on the derived model's FLOPs per row."
    )
    max_params: int | None = Field(
        None, ge=1, description="Hard limit on its parameters, embedding tables left out."
    )
    max_latency_ms: float | None = Field(
        None, gt=0, description="Hard limit on its time, the sum of what its parts take here."
    )
    auxiliary_skip: float = Field(
        1.0, ge=0, le=1, description="lambda in the first epoch, linear to 0; 0 switches it off."
    )
    embedding_optimizer: Literal["sgd", "lazy_adam"] = Field(
        "sgd", description="sgd as the weights; lazy_adam is other maths."
    )
    embedding_lr: float = Field(
        1e-3, gt=0, description="Rate of lazy_adam, cosine to 0; sgd takes weight_lr."
    )
    sharing: str = Field(
        "selected",
        description="The sharing kind inside the supernet; mmoe is the ablation w/o SEL.",
    )

    @model_validator(mode="after")
    def _check_warmup(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            rule = (
                f"must be below search.epochs = {self.epochs}, since beta trains only after warm-up"
            )
            raise ConfigError(
                "search.warmup_epochs", rule, self.warmup_epochs, "lower it or search longer"
            )
        return self


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
