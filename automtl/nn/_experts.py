"""The experts that a person gives, as what a sharing module asks for: a builder of the expert of
each slot.

Legend: B rows, w width of an expert's output.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeGuard

import numpy as np
from torch import nn

from automtl.errors import ConfigError, counted
from automtl.layers.operations import Chain, Dense
from automtl.spaces.kinds import Slot

# Makes an expert, given the width of its input.
Factory = Callable[[int], nn.Module]
# The experts of one level: the widths of an MLP's layers, modules, or what makes one.
Level = int | Sequence[int] | Sequence[nn.Module] | nn.ModuleList | Factory
# Of all levels: one entry a level, or a width or a factory for all.
Levels = int | Factory | Sequence[Level]

_RULE = (
    "must be the width of an MLP, a list of its layers' widths, a list of modules, or a function "
    "from an input width to a module"
)


def level_of(where: str, experts: object) -> Factory | list[nn.Module]:
    """One level's experts as modules or as what makes them.

    Raises:
        ConfigError: they are none of the forms above, or a module stands in two places.
    """
    if isinstance(experts, nn.Module) and not isinstance(experts, nn.ModuleList):
        got = f"one {type(experts).__name__}"
        raise ConfigError(where, _RULE, got, "put it into a list, or pass a function that makes it")
    if callable(experts) and not isinstance(experts, nn.ModuleList):
        return experts
    given = [experts] if is_count(experts) else _listed(where, experts)
    modules = [one for one in given if isinstance(one, nn.Module)]
    widths = [int(one) for one in given if is_count(one)]
    if len(modules) == len(given):
        if len({id(one) for one in modules}) < len(modules):
            fix = "make a module for each, [make() for _ in range(n)]"
            raise ConfigError(where, "must be different modules", "the same one twice", fix)
        return modules
    if len(widths) == len(given):
        return lambda width: mlp(width, widths)
    raise ConfigError(where, _RULE, _kinds(given))


def levels_of(where: str, experts: object, levels: int | None) -> list[Factory | list[nn.Module]]:
    """The experts of each level.

    Args:
        where: named in errors.
        experts: one entry for each level, or a width or a function for all.
        levels: how many; None for as many as there are entries, or two.

    Raises:
        ConfigError: there are other numbers of them, or as `level_of`.
    """
    if levels is not None and not is_count(levels):
        raise ConfigError(f"{where} levels", "must be a whole number above 0", repr(levels))
    if is_count(experts) or (callable(experts) and not isinstance(experts, nn.Module)):
        return [level_of(where, experts)] * (2 if levels is None else levels)
    given = _listed(where, experts)
    if any(isinstance(one, nn.Module) and not isinstance(one, nn.ModuleList) for one in given):
        rule = "must have one entry for each level: a width, a list of widths or of modules, or a "
        raise ConfigError(where, rule + "function", "modules", "put those of a level into a list")
    if levels is not None and levels != len(given):
        raise ConfigError(
            where, f"must have one entry for each of {counted(levels, 'level')}", len(given)
        )
    return [level_of(f"{where}[{i}]", one) for i, one in enumerate(given)]


def single(where: str, expert: object) -> Factory | list[nn.Module]:
    """The one expert of a system that has one, as `level_of` gives it."""
    if isinstance(expert, nn.Module) and not isinstance(expert, nn.ModuleList):
        return [expert]
    given = level_of(where, expert)
    if isinstance(given, list) and len(given) != 1:
        raise ConfigError(where, "must be one module", len(given))
    return given


def mlp(width_in: int, widths: Sequence[int]) -> Chain:
    """Per width Linear -> BatchNorm -> ReLU. Shape: (B, width_in) -> (B, widths[-1])."""
    pairs = pairwise([width_in, *widths])
    return Chain([Dense(width_in=before, units=after) for before, after in pairs], widths[-1])


class Builder:
    """Gives each slot its expert.

    Args:
        where: named in errors.
        levels: per level its modules, in the order of the slots, or what makes them.
        slots: all of the sharing module.
        tasks: their names, for errors.
        copied: one module stands for all slots, and each has a copy of it.

    Raises:
        ConfigError: a level has another number of modules than of slots.
    """

    def __init__(
        self,
        where: str,
        levels: Sequence[Factory | list[nn.Module]],
        slots: Sequence[Slot],
        tasks: Sequence[str],
        *,
        copied: bool,
    ) -> None:
        self._levels, self._copied = levels, copied
        self._places: dict[Slot, int] = {}
        for number, level in enumerate(levels):
            own = [slot for slot in slots if slot.level == number]
            self._places |= {slot: i for i, slot in enumerate(own)}
            if isinstance(level, list) and not copied and len(level) != len(own):
                at = f"{where}[{number}]" if len(levels) > 1 else where
                rule = f"must be {len(own)} modules, {_owners(own, tasks)}"
                raise ConfigError(at, rule, len(level))

    def __call__(self, slot: Slot, width_in: int) -> nn.Module:
        """The expert of a slot; (B, width_in) -> (B, w)."""
        level = self._levels[slot.level]
        if not isinstance(level, list):
            expert: object = level(width_in)
            if not isinstance(expert, nn.Module):
                got = type(expert).__name__
                raise ConfigError("experts", "must be made by a function that gives a module", got)
            return expert
        place = self._places[slot]
        return (
            copy.deepcopy(level[0])
            if self._copied and place
            else level[0 if self._copied else place]
        )


def _owners(slots: Sequence[Slot], tasks: Sequence[str]) -> str:
    """How many of a level's experts are whose, in their order."""
    names = [tasks[slot.owner] if isinstance(slot.owner, int) else slot.owner for slot in slots]
    counts = {name: names.count(name) for name in names}
    if set(counts) == {"pool"}:
        return "one for each expert"
    return "in this order: " + ", ".join(f"{count} of {name}" for name, count in counts.items())


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is a whole number above 0, be it Python's or NumPy's."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) > 0


def _listed(where: str, experts: object) -> list[object]:
    if isinstance(experts, str | bytes) or not isinstance(experts, Iterable):
        raise ConfigError(where, _RULE, repr(experts)[:100])
    given = list(experts)
    if not given:
        raise ConfigError(where, _RULE, "an empty list")
    return given


def _kinds(given: Sequence[object]) -> str:
    named = [repr(one) if isinstance(one, int | float) else type(one).__name__ for one in given]
    return ", ".join(named)[:100]
