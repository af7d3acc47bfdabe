"""The budget of a search, and the settings that it determines."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from automtl.config import RunConfig
from automtl.config_search import OF_A_RACE, SearchSection
from automtl.errors import ConfigError
from automtl.spaces.strategies import readers
from automtl.strict import build

DEFAULT = "3.5e13flops"  # at most an hour or so of two cores, and one plan on every machine
RULE = "must be above 0 and finite, with a unit, such as 10m, 2h, 5e6rows or 2e13flops"
_NOT_ITS_LENGTH = {"rivals", "scale_rivals", "race_halving", "race_patience"}

Unit = Literal["seconds", "rows", "FLOPs"]

_FORM = re.compile(r"(\d+(?:\.\d+)?(?:e\+?\d{1,3})?) ?(s|m|h|rows|flops|FLOPs)")
_UNITS: dict[str, tuple[Unit, int]] = {
    "s": ("seconds", 1),
    "m": ("seconds", 60),
    "h": ("seconds", 3600),
    "rows": ("rows", 1),
    "flops": ("FLOPs", 1),
}


@dataclass(frozen=True)
class Budget:
    """The budget of a search.

    Args:
        text: as it was given.
        amount: in the unit.
        unit: seconds on this machine, rows read by a network, or floating-point operations.
    """

    text: str
    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read 90s, 10m, 2h, 5e6rows or 2e13flops.

        Raises:
            ConfigError: it has another form.
        """
        match = _FORM.fullmatch(text.strip())
        if not match or not 0 < float(match[1]) < math.inf:
            raise ConfigError("budget", RULE, repr(text))
        unit, factor = _UNITS[match[2].lower()]
        return cls(text.strip(), float(match[1]) * factor, unit)

    def say(self, amount: float, *, up: bool = False) -> str:
        """An amount for people, rounded; up: to more than it is, for what a budget does not pay."""
        minutes = self.unit == "seconds" and amount >= 90
        number = amount / 60 if minutes else amount
        if up:
            step = 0.1 if minutes else 10.0 ** (math.floor(math.log10(number)) - 2)
            number = math.ceil(number / step) * step
        if minutes:
            return f"{number:.1f} minutes"
        return f"{number:.3g} {'s' if self.unit == 'seconds' else self.unit}"


@dataclass(frozen=True)
class Filled:
    """A budget turned into settings.

    Args:
        budget: what may be spent.
        settings: of the section `search`, those that the budget set.
        strategy: what the strategy is expected to spend, in the budget's unit.
        race: likewise the race, at most.
        words: the plan in one line.
    """

    budget: Budget
    settings: Mapping[str, Any]
    strategy: float
    race: float
    words: str

    def of(self, config: RunConfig) -> RunConfig:
        """The configuration with these settings."""
        return with_filled(config, self.settings)

    @property
    def record(self) -> dict[str, Any]:
        """For the manifest: the budget as it was given, and what it set."""
        return {"given": self.budget.text, "filled": dict(self.settings)}


def given_by_user(config: RunConfig) -> set[str]:
    """Settings of the section `search` that are neither defaults nor recommended."""
    advised = config.space.recommended.get("search", {}) if config.space else {}
    others = {path.removeprefix("search.") for path in config.origins}
    others |= {name for name, value in advised.items() if getattr(config.search, name) == value}
    return config.search.model_fields_set - others


def default_budget(config: RunConfig) -> str | None:
    """The budget of a race of which nobody says how long it is; None for other searches."""
    settled = given_by_user(config) & (OF_A_RACE - _NOT_ITS_LENGTH)
    if config.search.selection != "race" or settled or config.runtime.fast_dev_run:
        return None
    return DEFAULT


def _reader(name: str, search: SearchSection) -> str:
    """A setting with which `name` would be read."""
    own = readers(name)
    if name in OF_A_RACE:
        return "search.selection=race"
    if name == "latency_rows":
        return "search.max_latency_ms"
    if search.strategy in own:
        return "search.selection=argmax"
    drawing = search.selection == "race"  # random_search then only draws: it reads none of its own
    return " or ".join(
        f"search.strategy={strategy}"
        + (" with search.selection=argmax" if drawing and strategy == "random_search" else "")
        for strategy in own or ("darts",)
    )


def check_idle(config: RunConfig) -> None:
    """Refuse settings that a user gave and that this search does not read.

    Raises:
        ConfigError: there is one.
    """
    s, default = config.search, SearchSection()
    if config.runtime.fast_dev_run:
        return  # whose settings are its own
    for name in sorted(given_by_user(config) & s.idle):
        if getattr(s, name) != getattr(default, name):
            raise ConfigError(
                f"search.{name}",
                f"must be left out: strategy {s.strategy} with selection {s.selection} does not "
                "read it",
                getattr(s, name),
                f"or set {_reader(name, s)}",
            )


def with_filled(config: RunConfig, filled: Mapping[str, Any]) -> RunConfig:
    """A configuration with what a budget once settled, where nobody gives it now."""
    given = given_by_user(config)
    free = {name: value for name, value in filled.items() if name not in given}
    section = build(SearchSection, {**dict(config.search), **free}, "budget")
    return config.model_copy(update={"search": section})


def passes(count: float) -> str:
    """So many passes over the rows, of which one need not be whole.

    >>> passes(1.0), passes(0.5)
    ('1 pass', '0.5 passes')
    """
    return f"{count:.3g} pass{'' if count == 1 else 'es'}"
