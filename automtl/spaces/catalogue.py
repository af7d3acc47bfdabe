"""What a space or an architecture may name: signatures of operations and sharing kinds as plain data.

The modules that compute them live in ``automtl.nn`` and ``automtl.sharing``; names match one to one. Kept apart
so that a space can refuse an unknown operation, or k > N, before any data is read and without importing torch.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automtl.errors import ConfigError
from automtl.strict import nearest

MAX_WIDTH = 65_536
_OPERATION = re.compile(r"([a-z][a-z0-9_]{0,63})(?:\(([a-z0-9_]{1,20})\))?")


@dataclass(frozen=True)
class OperationSignature:
    """The legal form of one operation.

    Args:
        places: where it may stand: "interaction" ((B, F, d) -> (B, F*d)), "expert" ((B, D) -> (B, D)).
        argument: the argument's name; empty for an operation without one.
        choices: the legal words, for an argument that is a word.
        maximum: the largest legal whole number, for an argument that is a number (at least 1).
        odd: the number must be odd.
        changes_width: its output may have another width than its input.
    """

    places: frozenset[str]
    argument: str = ""
    choices: tuple[str, ...] = ()
    maximum: int = MAX_WIDTH
    odd: bool = False
    changes_width: bool = False


_BOTH, _INTERACTION, _EXPERT = frozenset({"interaction", "expert"}), frozenset({"interaction"}), frozenset({"expert"})

OPERATIONS: dict[str, OperationSignature] = {
    "product": OperationSignature(_INTERACTION, "kind", choices=("inner", "outer")),
    "cross": OperationSignature(_INTERACTION, "layers", maximum=64),
    "self_attention": OperationSignature(_INTERACTION, "heads", maximum=256),
    "gate": OperationSignature(_EXPERT),
    "conv1d": OperationSignature(_EXPERT, "kernel", maximum=1023, odd=True),
    "dense": OperationSignature(_EXPERT, "units", changes_width=True),
    "mlp": OperationSignature(_BOTH, "hidden"),
    "skip": OperationSignature(_BOTH),
}


@dataclass(frozen=True, order=True)
class Operation:
    """One operation with its argument, written ``mlp(64)``, ``product(inner)``, ``skip``."""

    name: str
    argument: int | str | None = None

    def __str__(self) -> str:
        return self.name if self.argument is None else f"{self.name}({self.argument})"

    @classmethod
    def parse(cls, text: str, place: str = "", where: object = "operation") -> "Operation":
        """Read ``name`` or ``name(argument)`` and check it against the catalogue.

        Args:
            text: the operation as written.
            place: "interaction" or "expert" where it must be legal there; empty where both are.
            where: named in errors.

        Raises:
            ConfigError: the name is unknown, the argument illegal, or the operation not for this place.
        """
        match = _OPERATION.fullmatch(text) if isinstance(text, str) else None
        if not match:
            raise ConfigError(where, "must be an operation such as mlp(64) or skip", repr(text)[:200])
        name, argument = match.groups()
        legal = sorted(known for known, s in OPERATIONS.items() if not place or place in s.places)
        if name not in legal:
            raise ConfigError(where, f"must be an {place or 'known'} operation", repr(name), nearest(name, legal))
        return cls(name, _argument(OPERATIONS[name], name, argument, where))


def _argument(signature: OperationSignature, name: str, given: str | None, where: object) -> int | str | None:
    if not signature.argument:
        if given is not None:
            raise ConfigError(where, f"{name} takes no argument", repr(given), f"write {name}")
        return None
    if given is None:
        raise ConfigError(where, f"{name} needs its argument '{signature.argument}'", fix=f"write {name}(...)")
    if signature.choices:
        if given not in signature.choices:
            raise ConfigError(where, f"{name}({signature.argument}) must be one of {', '.join(signature.choices)}", repr(given))
        return given
    if not given.isdigit() or not 1 <= int(given) <= signature.maximum or (signature.odd and int(given) % 2 == 0):
        kind = "an odd" if signature.odd else "a"
        raise ConfigError(where, f"{name}({signature.argument}) must be {kind} whole number from 1 to {signature.maximum}", repr(given))
    return int(given)


@dataclass(frozen=True)
class Setting:
    """One legal setting of a sharing kind.

    Args:
        default: its value where none is given; its type is the setting's type.
        minimum, maximum: bounds of a number, both included.
        choices: the legal words, for a word.
        optional: None is legal too.
        help: what it does, one sentence.
    """

    default: Any
    minimum: float = 0.0
    maximum: float = float("inf")
    choices: tuple[str, ...] = ()
    optional: bool = False
    help: str = ""

    def check(self, where: str, value: Any) -> Any:
        """The value in the setting's type.

        Raises:
            ConfigError: another type, out of bounds, or not among the choices.
        """
        if value is None and self.optional:
            return None
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ConfigError(where, f"must be of type {kind.__name__}", repr(value))
        if self.choices and value not in self.choices:
            raise ConfigError(where, "must be a known choice", repr(value), nearest(value, self.choices))
        if kind in (int, float) and not self.minimum <= value <= self.maximum:
            raise ConfigError(where, f"must be from {self.minimum:g} to {self.maximum:g}", repr(value))
        return value


@dataclass(frozen=True)
class SharingSignature:
    """The legal form of one sharing kind.

    Args:
        source: the paper.
        slots: who owns the experts: "pool" (all tasks), "task" (each its own), "shared" (one for all).
        settings: its settings by name.
        in_supernet: it can stand in the supernet.
        uses_beta: in the supernet its experts are chosen by expert-selection parameters.
    """

    source: str
    slots: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    in_supernet: bool = True
    uses_beta: bool = False


SHARING: dict[str, SharingSignature] = {
    "selected": SharingSignature("AutoMTL, section 3.3.3", "pool", uses_beta=True),
    "mmoe": SharingSignature("Ma et al., KDD 2018", "pool", {"gate_bias": Setting(False, help="Give the gates a bias.")}),
    "shared_bottom": SharingSignature("Caruana, 1997", "shared"),
    "single_task": SharingSignature("one whole model per task", "task", in_supernet=False),
}


def sharing_settings(kind: str, given: Mapping[str, Any], where: str = "sharing") -> dict[str, Any]:
    """All settings of a sharing kind, the given ones checked, the others at their defaults.

    Raises:
        ConfigError: the kind or a setting is unknown, or a value is illegal.
    """
    if kind not in SHARING:
        raise ConfigError(f"{where}.kind", "must be a known sharing kind", repr(kind), nearest(str(kind), SHARING))
    known = SHARING[kind].settings
    for name in given:
        if name not in known:
            hint = nearest(str(name), known) if known else "this kind has no settings"
            raise ConfigError(f"{where}.{name}", f"must be a setting of {kind}", repr(name), hint)
    return {name: setting.check(f"{where}.{name}", given.get(name, setting.default)) for name, setting in known.items()}
