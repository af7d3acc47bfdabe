"""The section of a run's configuration on the search, and what weighs the tasks' losses."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from automtl.config_retrain import BalancingSection as BalancingSection
from automtl.errors import ConfigError
from automtl.spaces.catalogue import SHARING
from automtl.spaces.strategies import STRATEGIES, StrategySettings, SupernetSettings, readers
from automtl.strict import Strict, nearest

# strategies whose supernet has learnt to mix
PERTURBED = tuple(name for name, signature in STRATEGIES.items() if signature.mixes)
if TYPE_CHECKING:
    StrategyName = str
else:
    StrategyName = Literal[tuple(STRATEGIES)]


class ChoiceSettings(Strict):
    """What proposes architectures, and how one of them is chosen."""

    strategy: StrategyName = Field(
        "random_search",
        description="What proposes architectures; darts is the method of the paper.",
    )
    selection: Literal["argmax", "perturbation", "race"] = Field(
        "race",
        description="How one is chosen; race: by training candidates alone. The paper's: argmax.",
    )
    race_candidates: int = Field(
        9, ge=1, le=10_000, description="race: architectures that the strategy proposes."
    )
    race_controls: int = Field(
        3, ge=0, le=10_000, description="race: evenly drawn architectures trained beside them."
    )
    rivals: tuple[str, ...] = Field(
        ("shared_bottom", "mmoe", "ple"), description="race: hand-made models trained beside them."
    )
    scale_rivals: bool = Field(
        True,
        description=(
            "race: scale the widths of hand-made models' experts until a row costs the others' "
            "median FLOPs; false: as they are, often ten times dearer."
        ),
    )
    race_epochs: float = Field(
        3.0, gt=0, le=10_000, description="race: most passes over the fit rows of a training."
    )
    race_patience: int | None = Field(
        3,
        ge=1,
        le=10_000,
        description=(
            "race: passes in a row without a lower loss on B rows that end a training; the best "
            "pass is judged. null: trained to the end and judged there, as rungs of race_halving "
            "always are."
        ),
    )
    race_halving: bool = Field(
        False,
        description=(
            "race: stop the worse two thirds early and again, of 15 models at a ninth and a third "
            "of a training; false: a whole training of each."
        ),
    )
    race_finalists: int = Field(
        3, ge=2, le=100, description="race: how many are trained again with fresh seeds."
    )
    race_seeds: int = Field(3, ge=2, le=100, description="race: fresh seeds of each of them.")
    race_checks: int = Field(
        6, ge=0, le=1000, description="race: how often the winner is trained with choices changed."
    )
    race_patterns: int = Field(
        4,
        ge=0,
        le=1000,
        description="race: other patterns of shared experts that the winner's is tried against.",
    )


# What is neither of a race nor here is read by trainings before the choice, so that a new setting
# needs no entry
_OF_EVERY_SEARCH = frozenset(
    "strategy selection sharing max_flops max_params max_latency_ms latency_rows score_rows".split()
)
OF_A_RACE = frozenset(ChoiceSettings.model_fields) - _OF_EVERY_SEARCH


class SearchSection(SupernetSettings, StrategySettings, ChoiceSettings):
    """The search."""

    score_rows: int | None = Field(
        16_384,
        ge=2,
        description=(
            "At most so many A rows score an architecture, and so many B rows judge a race; null "
            "for all."
        ),
    )
    batch_size: int = Field(2048, ge=2, description="Rows per step, alpha batches alike.")
    gradient_conflict: bool = Field(
        True, description="Record the cosines between the tasks' gradients, on one batch per epoch."
    )
    hessian: bool = Field(
        False,
        description="Record the dominant Hessian eigenvalue over alpha, on one batch per epoch.",
    )
    on_collapse: Literal["warn", "stop", "rollback"] = Field(
        "warn", description="What follows a collapse; rollback: best epoch before."
    )
    collapse_skip: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Collapsed: skip leads in more than this share of the experts' blocks.",
    )
    collapse_growth: float = Field(
        4 / 3,
        gt=1,
        description="Collapsed: eigenvalue, mean of 3 epochs, grew by more than this factor.",
    )
    latency_rows: int = Field(
        1024, ge=1, description="max_latency_ms: rows of the batch that is timed."
    )
    balancing: BalancingSection = Field(BalancingSection(), description="Of the weight steps.")

    @property
    def trains_supernet(self) -> bool:
        """Whether a supernet is trained before anything is chosen."""
        return STRATEGIES[self.strategy].trains_supernet

    @property
    def scored_halves(self) -> tuple[Literal["a", "b"], ...]:
        """The halves of the alpha rows of which `score_rows` score architectures."""
        if self.selection == "race":
            return ("a", "b")
        scores = self.selection == "perturbation" or self.strategy in ("evolution", "random_search")
        return ("a",) if scores else ()

    @property
    def starters(self) -> int:
        """Models that start a race, if so many differ."""
        return self.race_candidates + self.race_controls + len(self.rivals)

    @property
    def checked(self) -> int:
        """Models that a race's checks train at most: the winner, and it with choices changed."""
        changed = self.race_checks + self.race_patterns
        return changed + 1 if changed else 0

    @property
    def idle(self) -> frozenset[str]:
        """Settings that this search does not read: other strategies', and those of a race, of
        trainings before anything is chosen, or of a time limit where there is none.
        """
        race = self.selection == "race"
        # before a race that trains nothing else, a strategy only draws
        drawn = race and not self.trains_supernet
        idle = {
            name
            for name in StrategySettings.model_fields
            if readers(name) and (drawn or self.strategy not in readers(name))
        }
        if not race:
            idle |= OF_A_RACE
        if drawn:
            # random_search without a race trains by what is of a supernet, too
            idle |= {*SearchSection.model_fields} - OF_A_RACE - _OF_EVERY_SEARCH
        if self.max_latency_ms is None:
            idle |= {"latency_rows"}
        return frozenset(idle)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.second_order and self.strategy != "darts":
            raise ConfigError(
                "search.second_order",
                "needs search.strategy darts",
                self.strategy,
                "leave one of them out",
            )
        if self.second_order and self.balancing.method not in ("equal", "fixed"):
            rule = (
                "must be equal or fixed with search.second_order, whose virtual step descends "
                "one loss"
            )
            raise ConfigError(
                "search.balancing.method", rule, self.balancing.method, "leave one of them out"
            )
        limited = self.max_flops or self.max_params or self.max_latency_ms
        if self.selection == "perturbation" and (limited or self.strategy not in PERTURBED):
            rule = f"perturbation needs a strategy among {', '.join(PERTURBED)}, and no hard limits"
            raise ConfigError("search.selection", rule, self.strategy, "leave one of them out")
        if self.hessian and self.strategy not in PERTURBED:
            raise ConfigError(
                "search.hessian",
                f"needs a strategy among {', '.join(PERTURBED)}",
                self.strategy,
                "leave it out",
            )
        if self.budget_samples is not None and self.budget_run is not None:
            raise ConfigError(
                "search.budget_run",
                "must not be given with search.budget_samples",
                self.budget_run,
                "leave one of them out",
            )
        legal = sorted(kind for kind, signature in SHARING.items() if signature.in_supernet)
        if self.sharing not in legal:
            raise ConfigError(
                "search.sharing",
                "must be a kind that can stand in a supernet",
                self.sharing,
                nearest(self.sharing, legal),
            )
        return self
