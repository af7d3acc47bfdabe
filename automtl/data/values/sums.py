"""Counts over rows, made part by part: one process writes its own down, another adds them up, as if
one process had counted all rows.
"""

import base64
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np


class Sum:
    """Base of what adds up over rows; made by the same arguments, it can be restored from a state.

    Attributes:
        summed: the names of what adds up: whole numbers, fractions, arrays, sums, and lists and
            mappings of these. What adds up in another way says so in `merge`.
    """

    summed: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> dict[str, Any]:
        """The sums, as plain JSON data."""
        return {name: _plain(getattr(self, name)) for name in self.summed}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Restore the sums that `state_dict` gave."""
        for name in self.summed:
            setattr(self, name, _filled(getattr(self, name), state[name]))
        return self

    def merge(self, later: Self) -> None:
        """Add what was counted over later rows."""
        for name in self.summed:
            setattr(self, name, _added(getattr(self, name), getattr(later, name)))


def _plain(value: Any) -> Any:
    match value:
        case Sum():
            return value.state_dict()
        case np.ndarray():
            array = np.ascontiguousarray(value)
            text = base64.b64encode(array.tobytes()).decode("ascii")
            return {"array": text, "dtype": array.dtype.str, "shape": list(value.shape)}
        case Fraction():
            return {"fraction": str(value)}
        case dict():
            return {"items": [[_plain(key), _plain(item)] for key, item in value.items()]}
        case set():
            return {"set": [_plain(item) for item in sorted(value)]}
        case tuple():
            return {"tuple": [_plain(item) for item in value]}
        case list():
            return [_plain(item) for item in value]
    return value


def _restored(state: Any) -> Any:
    if isinstance(state, list):
        return [_restored(item) for item in state]
    if not isinstance(state, dict):
        return state
    match state:
        case {"array": text, "dtype": dtype, "shape": shape}:
            return np.frombuffer(base64.b64decode(text), np.dtype(dtype)).reshape(shape).copy()
        case {"fraction": text}:
            return Fraction(text)
        case {"items": pairs}:
            return {_restored(key): _restored(item) for key, item in pairs}
        case {"set": items}:
            return {_restored(item) for item in items}
        case {"tuple": items}:
            return tuple(map(_restored, items))
    raise AssertionError("nothing else is written down")


def _filled(value: Any, state: Any) -> Any:
    """What a state says, in the objects that are there."""
    if isinstance(value, Sum):
        return value.load_state_dict(state)
    if isinstance(value, list) and value and isinstance(value[0], Sum):
        return [
            item.load_state_dict(item_state) for item, item_state in zip(value, state, strict=True)
        ]
    if isinstance(value, dict):
        restored = _restored({"items": [[key, None] for key, _ in state["items"]]})
        for name, (_, item_state) in zip(restored, state["items"], strict=True):
            restored[name] = _filled(value.get(name), item_state)
        return type(value)(restored)
    return _restored(state)


def _added(value: Any, later: Any) -> Any:
    if isinstance(value, Sum):
        value.merge(later)
        return value
    if isinstance(value, list):
        return [_added(one, other) for one, other in zip(value, later, strict=True)]
    if isinstance(value, dict):
        for key, item in later.items():  # in the order in which the rows would have shown them
            value[key] = _added(value[key], item) if key in value else item
        return value
    return value + later
