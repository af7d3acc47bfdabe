"""One setting of a sharing kind as plain data: its type, its bounds, and what it must fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automtl.errors import ConfigError, counted
from automtl.strict import nearest


@dataclass(frozen=True)
class Setting:
    """One legal setting of a sharing kind.

    Args:
        default: its value where none is given; its type is the setting's type.
        minimum, maximum: bounds of a number, both included.
        choices: the legal words, for a word.
        optional: None is legal too.
        kind: the setting's type where the default is None; tuple stands for a list of distinct
            names.
        of: what it must fit: "experts" (at most as many as there are), "tasks" (names every task
            once), "binary" (above 0 for binary tasks only), "each task" (one number for all, or one
            for each: a list in their order, or a mapping by name); empty for nothing.
        places: it shapes the slots and nothing else, so that the module is not told.
        help: what it does, one sentence.
    """

    default: Any
    minimum: float = 0.0
    maximum: float = float("inf")
    choices: tuple[str, ...] = ()
    optional: bool = False
    kind: type | None = None
    of: str = ""
    places: bool = False
    help: str = ""

    def check(self, where: str, value: Any) -> Any:
        """The value in the setting's type.

        Raises:
            ConfigError: another type, out of bounds, or not among the choices.
        """
        if value is None and self.optional:
            return None
        kind = self.kind or type(self.default)
        if kind is tuple:
            return _names(where, value)
        if self.of == "each task" and isinstance(value, Mapping):
            return {
                str(name): self._number(f"{where}.{name}", kind, count)
                for name, count in value.items()
            }
        if self.of == "each task" and isinstance(value, list | tuple):
            return tuple(
                self._number(f"{where}[{i}]", kind, count) for i, count in enumerate(value)
            )
        return self._number(where, kind, value)

    def _number(self, where: str, kind: type, value: Any) -> Any:
        """One value, a word too, in the setting's type."""
        if kind is float and type(value) is int:
            value = float(value)
        if not _is_exactly(value, kind):
            raise ConfigError(where, f"must be of type {kind.__name__}", repr(value))
        if self.choices and value not in self.choices:
            raise ConfigError(
                where, "must be a known choice", repr(value), nearest(value, self.choices)
            )
        if kind in (int, float) and not self.minimum <= value <= self.maximum:
            raise ConfigError(
                where, f"must be from {self.minimum:g} to {self.maximum:g}", repr(value)
            )
        return value

    def fit(
        self, where: str, value: Any, num_experts: int, tasks: Mapping[str, str] | None
    ) -> None:
        """Refuse a legal value that this many experts or these tasks (name -> kind; None: not known
        yet) do not allow.
        """
        if self.of == "experts" and value > num_experts:
            raise ConfigError(where, f"must be at most the number of experts, {num_experts}", value)
        if tasks is None or value is None:
            return
        if self.of == "tasks" and sorted(value) != sorted(tasks):
            unknown = [name for name in value if name not in tasks]
            hint = nearest(unknown[0], tasks) if unknown else ""
            raise ConfigError(
                where, f"must name every task once: {', '.join(tasks)}", ", ".join(value), hint
            )
        if self.of == "each task":
            _fit_each(where, value, tasks)
        others = [name for name, kind in tasks.items() if kind != "binary"]
        if self.of == "binary" and value > 0 and others:
            raise ConfigError(
                where,
                "may be above 0 for binary tasks only",
                f"{value:g} and task '{others[0]}'",
                "set it to 0",
            )


def _fit_each(where: str, value: Any, tasks: Mapping[str, str]) -> None:
    """Refuse numbers for tasks that are not there, or not for all."""
    rule, names = f"must have a number for each task: {', '.join(tasks)}", list(tasks)
    if isinstance(value, tuple) and len(value) != len(names):
        raise ConfigError(where, rule, counted(len(value), "number"))
    if isinstance(value, Mapping) and sorted(value) != sorted(names):
        unknown = [name for name in value if name not in tasks]
        raise ConfigError(
            where,
            rule,
            ", ".join(value) or "none",
            nearest(unknown[0], names) if unknown else "name the others, too",
        )


def of_each(value: Any, names: Sequence[str] | None, count: int) -> tuple[int, ...]:
    """A setting of "each task" as one number per task.

    Args:
        value: one number for all, one for each in their order, or a mapping by name.
        names: of the tasks; None where they are not known, and a mapping counts in its own order.
        count: how many tasks there are.
    """
    if isinstance(value, Mapping):
        return tuple(value[name] for name in names) if names is not None else tuple(value.values())
    return tuple(value) if isinstance(value, list | tuple) else (value,) * count


def _is_exactly(value: Any, kind: type) -> bool:
    """No subclass: True is no number here."""
    return type(value) is kind


def _names(where: str, value: Any) -> tuple[str, ...]:
    if (
        not isinstance(value, Sequence)
        or isinstance(value, str)
        or not all(isinstance(name, str) for name in value)
    ):
        raise ConfigError(where, "must be a list of names", repr(value))
    if len(set(value)) != len(value):
        raise ConfigError(where, "must name each only once", ", ".join(value))
    return tuple(value)
