"""The configuration's section on studies: what `automtl tune` varies, how often, and by which
rule.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from automtl.errors import ConfigError
from automtl.strict import Strict

# an infinite one is refused below, in one message for all kinds
Value = int | Annotated[float, Field(allow_inf_nan=True)] | str | bool
# what every database and sampler takes; no NaN, no infinity
Number = Annotated[int | float, Field(ge=-(2**53), le=2**53)]


class Range(Strict):
    """What a setting may be in a study: numbers from low to high (whole ones where both are whole),
    or one of some choices.
    """

    low: Number | None = Field(None, description="The least.")
    high: Number | None = Field(None, description="The most, itself included.")
    log: bool = Field(
        False, description="Drawn evenly on a logarithmic scale; low must be above 0."
    )
    step: Number | None = Field(
        None, gt=0, description="Between neighbours; default 1 for whole numbers, none for others."
    )
    choices: tuple[Value, ...] | None = Field(
        None, min_length=1, description="Instead of low and high."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.choices is None) == (self.low is None or self.high is None):
            given = self.model_dump(exclude_defaults=True)
            raise ConfigError(
                "range",
                "must have low and high, or choices",
                given,
                "for example {low: 2, high: 8}",
            )
        if (
            self.low is not None
            and self.high is not None
            and (self.low > self.high or (self.log and self.low <= 0))
        ):
            raise ConfigError(
                "range", "low must be at most high, and above 0 where log is true", self.low
            )
        if (
            self.log
            and self.step is not None
            and not (isinstance(self.step, int) and self.step == 1)
        ):
            raise ConfigError(
                "range", "log and step exclude each other", self.step, "leave one of them out"
            )
        if any(not abs(c) <= 2**53 for c in self.choices or () if isinstance(c, int | float)):
            raise ConfigError(
                "range",
                "numbers among the choices must be finite, and at most 2^53",
                list(self.choices or ()),
            )
        if (
            isinstance(self.low, int)
            and isinstance(self.high, int)
            and isinstance(self.step, float)
        ):
            raise ConfigError(
                "range", "step must be a whole number where low and high are", self.step
            )
        return self

    @property
    def is_point(self) -> bool:
        """Whether there is nothing to vary."""
        return len(set(self.choices)) == 1 if self.choices is not None else self.low == self.high

    def nearest(self, value: Value) -> Value:
        """The value, or the end of the range, or the choice, that is nearest to it."""
        if self.choices is not None:
            numbers = [c for c in self.choices if isinstance(c, int | float)]
            if value in self.choices or not isinstance(value, int | float) or not numbers:
                return value if value in self.choices else self.choices[0]
            return min(numbers, key=lambda c: abs(c - value))
        assert self.low is not None
        assert self.high is not None
        return min(max(value, self.low), self.high) if isinstance(value, int | float) else self.low


class TuneSection(Strict):
    """A study of the search budget, or of the sharing module."""

    trials: int = Field(
        20,
        ge=1,
        le=100_000,
        description="Total number of trials, including those of earlier runs and other processes.",
    )
    objective: Literal["loss", "loss_and_cost"] = Field(
        "loss",
        description="Validation MTL-Loss; or also the search's "
        "FLOPs (over sharing: the model's per "
        "row), as a Pareto front.",
    )
    over: Literal["budget", "sharing"] = Field(
        "budget", description="What varies: the search budget, or which module shares the experts."
    )
    sampler: Literal["tpe", "random"] = Field("tpe", description="Optuna's sampler of values.")
    pruner: Literal["median", "hyperband", "wilcoxon", "none"] = Field(
        "median",
        description="Stops poor trials: per epoch, or (wilcoxon) per retrain seed. Not with two "
        "objectives.",
    )
    seeds: int = Field(
        1,
        ge=1,
        le=1000,
        description="Retrain seeds per trial; a trial's loss "
        "is their mean. wilcoxon needs 2 or more.",
    )
    within: float = Field(
        0.005,
        ge=0,
        description="The smallest budget within this share of the best loss is named, too.",
    )
    parameters: dict[str, Range] = Field(
        default_factory=dict,
        description="Setting -> range; default the budget around the settings.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pruner == "wilcoxon" and self.seeds < 2:
            raise ConfigError(
                "tune.pruner",
                "wilcoxon needs tune.seeds of 2 or more",
                self.seeds,
                "raise tune.seeds or take median",
            )
        return self
