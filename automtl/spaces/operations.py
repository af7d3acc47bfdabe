"""The operations that an expert may be made of."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from automtl.errors import ConfigError
from automtl.strict import nearest

MAX_WIDTH = 65_536
Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
_OPERATION = re.compile(r"([a-z][a-z0-9_]{0,63})(?:\(([a-z0-9_]{1,20})\))?")


@dataclass(frozen=True)
class OperationSignature:
    """The legal form of one operation.

    Args:
        places: where it may stand: "interaction" ((B, F, d) -> (B, F*d)), "expert" ((B, D) -> (B,
            D)).
        argument: the argument's name; empty for an operation without one.
        choices: the legal words, for an argument that is a word.
        maximum: the largest legal whole number, for an argument that is a number (at least 1).
        odd: the number must be odd.
        changes_width: its output may have another width than its input.
        closed: a BatchNorm and dropout end it.
    """

    places: frozenset[str]
    argument: str = ""
    choices: tuple[str, ...] = ()
    maximum: int = MAX_WIDTH
    odd: bool = False
    changes_width: bool = False
    closed: bool = True


_BOTH = frozenset({"interaction", "expert"})
_INTERACTION = frozenset({"interaction"})
_EXPERT = frozenset({"expert"})
OPERATIONS: dict[str, OperationSignature] = {
    "product": OperationSignature(_INTERACTION, "kind", choices=("inner", "outer")),
    "cross": OperationSignature(_INTERACTION, "layers", maximum=64),
    "self_attention": OperationSignature(_INTERACTION, "heads", maximum=256, closed=False),
    "gate": OperationSignature(_EXPERT),
    "conv1d": OperationSignature(_EXPERT, "kernel", maximum=1023, odd=True),
    "dense": OperationSignature(_EXPERT, "units", changes_width=True),
    "mlp": OperationSignature(_BOTH, "hidden"),
    "skip": OperationSignature(_BOTH, closed=False),
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
            ConfigError: the name is unknown, the argument illegal, or the operation not for this
                place.
        """
        match = _OPERATION.fullmatch(text) if isinstance(text, str) else None
        if not match:
            raise ConfigError(
                where, "must be an operation such as mlp(64) or skip", repr(text)[:200]
            )
        name, argument = match.groups()
        legal = sorted(known for known, s in OPERATIONS.items() if not place or place in s.places)
        if name not in legal:
            raise ConfigError(
                where, f"must be an {place or 'known'} operation", repr(name), nearest(name, legal)
            )
        return cls(name, _argument(OPERATIONS[name], name, argument, where))


def _argument(
    signature: OperationSignature, name: str, given: str | None, where: object
) -> int | str | None:
    if not signature.argument:
        if given is not None:
            raise ConfigError(where, f"{name} takes no argument", repr(given), f"write {name}")
        return None
    if given is None:
        raise ConfigError(
            where, f"{name} needs its argument '{signature.argument}'", fix=f"write {name}(...)"
        )
    if signature.choices:
        if given not in signature.choices:
            raise ConfigError(
                where,
                f"{name}({signature.argument}) must be one of {', '.join(signature.choices)}",
                repr(given),
            )
        return given
    if (
        not given.isdigit()
        or not 1 <= int(given) <= signature.maximum
        or (signature.odd and int(given) % 2 == 0)
    ):
        kind = "an odd" if signature.odd else "a"
        raise ConfigError(
            where,
            f"{name}({signature.argument}) must be {kind} whole number from 1 to "
            f"{signature.maximum}",
            repr(given),
        )
    return int(given)
