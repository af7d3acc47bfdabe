"""What a stranger may write into a checkpoint that he then seals himself: every place of a state,
and what can be there instead.
"""

import copy
import math
import re
from functools import partial

import torch

COUNTS = ["3", 1.5, -5, True, math.nan, 10**30, None, [], torch.zeros(3)]
FIGURES = ["x", None, {}]
_ADDED = "a stranger's"


def places(state, path=()):
    """Every place in a state, one for all that differ by a number alone; of a network's tensors,
    the first of each number of axes.
    """
    found, seen = [], set()
    for where, value in _walk(state, path):
        kind = re.sub(r"\b\d+\b", "#", ".".join(map(str, where)))
        if isinstance(value, torch.Tensor) and re.search(r"(^|\.)(net|best)\.", kind):
            kind = (
                f"{kind.partition('.')[0]} "
                f"{tuple(value.shape) if value.dim() < 2 else value.dim()} {value.dtype}"
            )
        if kind not in seen:
            seen.add(kind)
            found.append(where)
    return found


def _walk(value, path):
    yield path, value
    parts = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in parts:
        yield from _walk(inner, (*path, key))


def at(state, path):
    for key in path:
        state = state[key]
    return state


def changes(value):
    """Name -> what is there instead."""
    if isinstance(value, torch.Tensor):
        other = torch.float32 if value.dtype != torch.float32 else torch.float64
        made = {
            "dtype": value.to(other),
            "longer": torch.cat([value.reshape(-1), value.new_zeros(3)]),
            "word": "x",
            "nothing": None,
        }
        if not value.numel():
            return made  # of no numbers none can be changed
        if value.is_floating_point():
            made["nan"] = torch.full_like(value, math.nan)
        elif value.dtype != torch.uint8:
            made["below"] = torch.full_like(value, -7) if value.dtype != torch.bool else value.int()
        return made
    if isinstance(value, dict):
        return {"a list": [], "a word": "x", "nothing": None, "one more": {**value, _ADDED: 1}}
    if isinstance(value, list):
        fewer = {"one less": value[1:]} if value else {}
        return {
            "a mapping": {"x": 1},
            "a word": "x",
            "nothing": None,
            "one more": [*value, 7],
            **fewer,
        }
    if isinstance(value, bool):
        return {repr(v)[:9]: v for v in ("yes", 1, None, not value)}
    if isinstance(value, int):
        return {repr(v)[:9]: v for v in COUNTS}
    if isinstance(value, float):
        return {repr(v)[:9]: v for v in FIGURES}
    if isinstance(value, str):
        return {repr(v)[:9]: v for v in (5, None, "another")}
    return {repr(v)[:9]: v for v in ("x", [1], {"a": {}})}


def strange(state):
    """(place, what was done, what makes the state after it): every place changed in every way, and
    every key left out.
    """
    for path in places(state):
        if path:
            for name, value in changes(at(state, path)).items():
                yield path, name, partial(_replaced, state, path, value)
            if isinstance(at(state, path[:-1]), dict):
                yield path, "left out", partial(_without, state, path)


def _replaced(state, path, value):
    made = copy.deepcopy(state)
    at(made, path[:-1])[path[-1]] = value
    return made


def _without(state, path):
    made = copy.deepcopy(state)
    del at(made, path[:-1])[path[-1]]
    return made
