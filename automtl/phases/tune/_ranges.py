"""What a study of the search budget varies: ranges of settings, their defaults, and a trial's
values put into a run's settings.

Four names fit whatever the other settings are:

- ``start.warmup_share``: of the epochs, warm-up;
- ``space.chosen_share``: of the experts, those that each task keeps;
- ``space.max_width``: no mlp(h) with h above it is offered;
- ``space.without``: the interaction is not offered the operations of that name, such as product;
  "nothing": it is offered all of them. A supernet computes every candidate, so that products over
  many fields can be most of what a search costs.

Every other name is that of a setting, such as ``start.weight_lr``.
"""

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from automtl.config import RunConfig
from automtl.config_layers import merge, without
from automtl.config_search import SearchSection
from automtl.config_tune import Range, Value
from automtl.errors import ConfigError
from automtl.spaces.architecture import Architecture
from automtl.spaces.catalogue import SHARING
from automtl.spaces.operations import Operation
from automtl.spaces.placement import plugged
from automtl.spaces.space import SearchSpace
from automtl.strict import build, nearest

_FITTING = ("search.warmup_share", "space.chosen_share", "space.max_width", "space.without")
NOTHING = "nothing"
KIND = "sharing.kind"
_SECTIONS = {
    "search": RunConfig.model_fields["search"].annotation,
    "retrain": RunConfig.model_fields["retrain"].annotation,
}


def distribution(spread: Range) -> BaseDistribution:
    """A range as Optuna knows it."""
    if spread.choices is not None:
        return CategoricalDistribution(spread.choices)
    low, high = spread.low, spread.high
    assert low is not None
    assert high is not None
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=spread.log, step=int(spread.step or 1))
    return FloatDistribution(float(low), float(high), log=spread.log, step=spread.step)


def ranges(config: RunConfig, *, num_tasks: int) -> dict[str, Range]:
    """The ranges that a study goes over: those the settings name, else the search budget around the
    run's own settings.

    Raises:
        ConfigError: a name that no setting has.
    """
    if config.tune.parameters:
        _check_names(config.tune.parameters, config.search)
        return dict(config.tune.parameters)
    space, s = _space(config), config.search
    race = {
        "search.race_epochs": Range(low=s.race_epochs / 8, high=s.race_epochs, log=True),
        "search.race_candidates": Range(low=1, high=s.race_candidates),
        "search.race_checks": Range(low=0, high=s.race_checks),
    }
    supernet = {
        "search.epochs": Range(low=max(2, s.epochs // 5), high=s.epochs),
        "search.warmup_share": Range(low=0.0, high=max(0.5, s.warmup_epochs / s.epochs)),
        "search.batch_size": Range(
            choices=tuple(max(2, round(s.batch_size * factor)) for factor in (0.5, 1, 2))
        ),
        "search.weight_lr": Range(low=s.weight_lr / 4, high=s.weight_lr * 4, log=True),
        "search.alpha_lr": Range(low=s.alpha_lr / 3, high=s.alpha_lr * 10, log=True),
    }
    spreads = {
        **(supernet if s.trains_supernet else {}),
        **(race if s.selection == "race" else {}),
        "space.num_experts": Range(low=min(2, space.num_experts), high=space.num_experts),
        "space.num_blocks": Range(low=1, high=space.num_blocks),
        "space.max_width": Range(choices=tuple(_widths(space)))
        if len(_widths(space)) > 1
        else None,
        "space.without": Range(choices=(NOTHING, *_interactions(space)))
        if len(_interactions(space)) > 1
        else None,
        "space.chosen_share": Range(low=min(0.25, _chosen_share(space, num_tasks)), high=1.0),
        "search.jsd_weight": Range(low=s.jsd_weight / 10, high=s.jsd_weight * 10, log=True)
        if s.jsd_weight and s.trains_supernet
        else None,
    }
    if not SHARING[s.sharing].uses_beta:
        spreads["space.chosen_share"] = spreads["search.jsd_weight"] = None
    return {
        name: spread
        for name, spread in spreads.items()
        if spread is not None and not spread.is_point
    }


def reference(
    config: RunConfig, spreads: Mapping[str, Range], *, num_tasks: int
) -> dict[str, Value]:
    """The run's own settings as a trial's values: the yardstick that a study begins with."""
    space, s = _space(config), config.search
    own: dict[str, Value] = {
        "search.warmup_share": s.warmup_epochs / s.epochs,
        "space.chosen_share": _chosen_share(space, num_tasks),
        "space.max_width": max(_widths(space), default=0),
        "space.without": NOTHING,
    }
    values = {name: own[name] if name in own else _own_value(config, name) for name in spreads}
    return {name: spreads[name].nearest(value) for name, value in values.items()}


def applied(config: RunConfig, values: Mapping[str, Value]) -> RunConfig:
    """The run's settings with a trial's values.

    Raises:
        ConfigError: they break a rule together.
    """
    space, search = dict(config.space or {}), dict(config.search)
    plain: dict[str, Any] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        if name in _FITTING:
            continue
        if section == "space":
            space[key] = value
        elif section == "search":
            search[key] = value
        else:
            plain = merge(plain, {section: {key: value}})
    if "search.warmup_share" in values:
        search["warmup_epochs"] = min(
            search["epochs"] - 1, round(float(values["search.warmup_share"]) * search["epochs"])
        )
    if "space.chosen_share" in values:
        space["chosen_experts"] = max(
            1, math.ceil(float(values["space.chosen_share"]) * space["num_experts"] - 1e-9)
        )
    if "space.max_width" in values:
        space["expert"] = tuple(
            block for block in space["expert"] if _width(block) <= int(values["space.max_width"])
        )
    if "space.without" in values:
        space["interaction"] = tuple(
            c
            for c in space["interaction"]
            if Operation.parse(c, "interaction").name != values["space.without"]
        )
    sections = {**dict(config), "space": space or None, "search": search}
    sections |= {
        section: {**dict(sections[section]), **changes} for section, changes in plain.items()
    }
    sections["origins"] = without(config.origins, values)
    return build(RunConfig, sections, "trial")


def trial_settings(config: RunConfig, values: Mapping[str, Value]) -> RunConfig:
    """The run's settings with a trial's values but for the sharing kind, which the retrain plugs
    in.
    """
    return applied(config, {name: value for name, value in values.items() if name != KIND})


def sharing_ranges(config: RunConfig, architecture: Path) -> dict[str, Range]:
    """The ranges of a study of the sharing module: those the settings name, else the kinds that fit
    an architecture's experts, and the retrain's rate.
    """
    kinds = Range(choices=tuple(plugs(architecture)))
    lr = config.retrain.lr
    return dict(config.tune.parameters) or {
        KIND: kinds,
        "retrain.lr": Range(low=lr / 3, high=lr * 3, log=True),
    }


def each_kind(config: RunConfig, spreads: Mapping[str, Range]) -> list[dict[str, Value]]:
    """Every kind once at the run's own rate, before the sampler suggests any."""
    if not set(spreads) <= {KIND, "retrain.lr"}:
        return []
    kinds = spreads[KIND].choices if KIND in spreads else ()
    rates = {n: s.nearest(config.retrain.lr) for n, s in spreads.items() if n == "retrain.lr"}
    return [{KIND: kind, **rates} for kind in kinds or ()]


def plugs(path: Path) -> list[str]:
    """The sharing kinds that can be plugged over an architecture's experts, with their default
    settings.
    """
    architecture, fitting = Architecture.load(path), []
    for kind in SHARING:
        with contextlib.suppress(ConfigError):
            plugged(architecture, kind, {})
            fitting.append(kind)
    return fitting


def _space(config: RunConfig) -> SearchSpace:
    assert config.space is not None, "a study of the search budget has a space"
    return config.space


def _own_value(config: RunConfig, name: str) -> Value:
    section, _, key = name.partition(".")
    value: Value = getattr(getattr(config, section), key)
    return value


def _width(block: str) -> int:
    operation = Operation.parse(block, "expert")
    return int(operation.argument or 0) if operation.name == "mlp" else 0


def _widths(space: SearchSpace) -> list[int]:
    """Hidden widths on offer in the experts' blocks."""
    return sorted({_width(block) for block in space.expert} - {0})


def _interactions(space: SearchSpace) -> list[str]:
    """The names of the operations that the interaction is offered, but for skip, which costs
    nothing.
    """
    return list(
        dict.fromkeys(
            name
            for c in space.interaction
            if (name := Operation.parse(c, "interaction").name) != "skip"
        )
    )


def _chosen_share(space: SearchSpace, num_tasks: int) -> float:
    return space.chosen(num_tasks) / space.num_experts


def _check_names(parameters: Mapping[str, Range], search: SearchSection) -> None:
    known = [*_FITTING, *(f"space.{name}" for name in SearchSpace.model_fields)]
    known += [
        f"{section}.{name}"
        for section, model in _SECTIONS.items()
        for name in model.model_fields  # type: ignore[union-attr]
    ]
    for name in parameters:
        if name not in known:
            raise ConfigError(
                f"tune.parameters.{name}",
                "must be a setting of search, space or retrain",
                name,
                nearest(name, known),
            )
        if name.removeprefix("search.").replace("warmup_share", "warmup_epochs") in search.idle:
            raise ConfigError(
                f"tune.parameters.{name}",
                f"must be read by strategy {search.strategy} with selection {search.selection}",
                name,
                "vary another, or choose a search that reads it",
            )
