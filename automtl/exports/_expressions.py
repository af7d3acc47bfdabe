"""Recorded calls as lines of Python: `h = torch.relu(self.norm(self.linear(x)))`."""

import keyword
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.exports._recorder import Call, Record, tensors_in
from automtl.exports.network import ROWS
from automtl.sharing.base import mix

SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "matmul": "@", "pow": "**"}
SYMBOLS |= {"ne": "!=", "eq": "==", "gt": ">", "lt": "<", "ge": ">=", "le": "<="}
REFLECTED = {"__rsub__": "-", "__rtruediv__": "/", "__rdiv__": "/", "__rpow__": "**"}  # 1 - x
RESERVED = {"self", "torch", "nn", "functional", "mix", "load", "features", "training"}
MAX_LINE = 140
WIDEST = 100  # signs of an expression that is still written inside another
_HOMES = ((torch, "torch"), (functional, "functional"))


@dataclass
class Text:
    """An expression; `loose` ones need brackets inside others."""

    code: str
    loose: bool = False

    def tight(self) -> str:
        """The text with brackets, where an operand needs them."""
        return f"({self.code})" if self.loose else self.code


class Lines:
    """The body of one module's forward pass.

    Args:
        record: of the pass.
        owned: the name of a parameter, buffer or submodule of the module, such as `linear.weight`;
            asked once per use.
        named: what to call the output of a submodule; empty for a plain variable.
    """

    def __init__(
        self, record: Record, owned: Callable[[Any], str], named: Callable[[nn.Module], str]
    ) -> None:
        self._record, self._owned, self._named = record, owned, named
        self._texts: dict[int, Text] = {}
        self._taken: Counter[str] = Counter()
        self._live = _needed(record)
        self._uses = Counter(id(t) for call in self._live for t in _given(call))
        self._uses.update(id(t) for t in tensors_in(record.output))

    def arguments(self) -> list[str]:
        """The names of the inputs."""
        return [self._name(name, tensor) for name, tensor in self._record.inputs.items()]

    def body(self) -> list[str]:
        """The statements, the last one returns."""
        lines: list[str] = []
        for call in self._live:
            text = self._call(call)
            output = call.output
            several = not isinstance(output, Tensor)
            inline = (
                not several
                and self._uses[id(output)] == 1
                and len(text.code) <= WIDEST
                and not self._spoken(call)
            )
            if inline:
                self._texts[id(output)] = text
            else:
                variable = self._name(self._spoken(call) or _word(call), output)
                lines.append(f"{variable} = {text.code}")
                for i, part in enumerate(output if several else ()):
                    self._texts[id(part)] = Text(f"{variable}[{i}]")
        return [*lines, f"return {self._value(self._record.output)}"]

    def _spoken(self, call: Call) -> str:
        return self._named(call.function) if isinstance(call.function, nn.Module) else ""

    def _name(self, wish: str, value: Any) -> str:
        word = identifier(wish)
        self._taken[word] += 1
        name = word if self._taken[word] == 1 else f"{word}_{self._taken[word]}"
        self._texts[id(value)] = Text(name)
        return name

    def _call(self, call: Call) -> Text:
        if isinstance(call.function, nn.Module):
            return Text(
                f"self.{self._owned(call.function)}({', '.join(self._value(a) for a in call.args)})"
            )
        name = call.function.__name__
        if name == "__getitem__":
            return Text(f"{self._operand(call.args[0])}[{self._index(call.args[1])}]")
        if SYMBOLS.get(name) and len(call.args) == 2 and not call.kwargs:
            return Text(
                f"{self._operand(call.args[0])} {SYMBOLS[name]} {self._operand(call.args[1])}",
                loose=True,
            )
        if call.function is mix:
            return Text(f"mix({', '.join(self._value(a) for a in call.args)})")
        if name in REFLECTED:
            return Text(
                f"{self._operand(call.args[1])} {REFLECTED[name]} {self._operand(call.args[0])}",
                loose=True,
            )
        kwargs = {
            key: value
            for key, value in call.kwargs.items()
            if name != "embedding" or (key == "padding_idx" and value is not None)
        }
        given = [
            *(self._value(a) for a in call.args),
            *(f"{key}={self._value(value)}" for key, value in kwargs.items()),
        ]
        if getattr(Tensor, name, None) is call.function:
            return Text(f"{self._operand(call.args[0])}.{name}({', '.join(given[1:])})")
        home = next(
            (prefix for module, prefix in _HOMES if getattr(module, name, None) is call.function),
            None,
        )
        assert home is not None, f"torch's function {name} has no public name"
        return Text(f"{home}.{name}({', '.join(given)})")

    def _operand(self, value: Any) -> str:
        return self._text(value).tight() if isinstance(value, Tensor) else self._value(value)

    def _text(self, tensor: Tensor) -> Text:
        return self._texts.get(id(tensor)) or Text(f"self.{self._owned(tensor)}")

    def _index(self, index: Any) -> str:
        return (
            ", ".join(self._value(part) for part in index)
            if isinstance(index, tuple)
            else self._value(index)
        )

    def _value(self, value: Any) -> str:
        """Anything that a call is given, as code."""
        if isinstance(value, Tensor):
            return self._text(value).code
        if isinstance(value, slice):
            return ":".join("" if part is None else str(part) for part in (value.start, value.stop))
        if isinstance(value, list | tuple):
            inner = ", ".join(self._value(part) for part in value)
            return (
                f"[{inner}]"
                if isinstance(value, list)
                else f"({inner}{',' if len(value) == 1 else ''})"
            )
        if isinstance(value, int) and not isinstance(value, bool) and value and value % ROWS == 0:
            return self._rows(value // ROWS)
        if isinstance(value, torch.device) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            return f"{type(value).__name__}({str(value)!r})".replace("device", "torch.device")
        return "..." if value is Ellipsis else repr(value)

    def _rows(self, times: int) -> str:
        """So many times the rows of the pass: a size that must not be written as the number
        it was.
        """
        for tensor in self._record.inputs.values():
            own = tensor.shape[0] // ROWS if tensor.dim() and tensor.shape[0] % ROWS == 0 else 0
            if own and times % own == 0:
                size = f"{self._text(tensor).code}.shape[0]"
                return size if times == own else f"{times // own} * {size}"
        raise AssertionError("a number of rows is used where no input has rows")


def _given(call: Call) -> list[Tensor]:
    return tensors_in(call.args) + tensors_in(list(call.kwargs.values()))


def _needed(record: Record) -> list[Call]:
    """The calls whose outputs the module's own depends on, in order; a call that gives back its
    very input did nothing.
    """
    wanted = {id(tensor) for tensor in tensors_in(record.output)}
    needed: list[Call] = []
    for call in reversed(_with_mixes(record.calls)):
        name = getattr(call.function, "__name__", "")
        in_place = name.endswith("_") and not name.startswith("__")
        idle = not in_place and any(call.output is tensor for tensor in _given(call))
        if in_place or (not idle and wanted & {id(tensor) for tensor in tensors_in(call.output)}):
            needed.append(call)
            wanted |= {id(tensor) for tensor in _given(call)}
    return needed[::-1]


def _with_mixes(calls: Sequence[Call]) -> list[Call]:
    """The calls with each weighed sum of experts, as `sharing.base.mix` computes it, as one call of
    `mix`.
    """
    producers = {id(call.output): call for call in calls}
    # id of a (partial) sum -> weights, experts so far
    sums: dict[int, tuple[Tensor, list[Tensor]]] = {}
    merged: list[Call] = []
    for call in calls:
        name, args = getattr(call.function, "__name__", ""), call.args
        if (
            name == "mul"
            and len(args) == 2
            and (weights := _weight(producers, args[0], 0)) is not None
        ):
            sums[id(call.output)] = weights, [args[1]]
        elif name == "addcmul" and id(args[0]) in sums:
            weights, experts = sums[id(args[0])]
            if _weight(producers, _stretched(producers, args[1]), len(experts)) is weights:
                sums[id(call.output)] = weights, [*experts, args[2]]
        whole = sums.get(id(call.output))
        merged.append(call if whole is None else Call(mix, (whole[0], whole[1]), {}, call.output))
    return merged


def _stretched(producers: Mapping[int, Call], tensor: Any) -> Any:
    """What was expanded to this tensor; None where it is another call's."""
    call = producers.get(id(tensor))
    return (
        call.args[0]
        if call is not None and getattr(call.function, "__name__", "") == "expand_as"
        else None
    )


def _weight(producers: Mapping[int, Call], tensor: Any, place: int) -> Tensor | None:
    """The weights w where a tensor is w[..., place, None]."""
    call = producers.get(id(tensor))
    if (
        call is None
        or getattr(call.function, "__name__", "") != "__getitem__"
        or call.args[1] != (Ellipsis, place, None)
    ):
        return None
    weights: Tensor = call.args[0]
    return weights


def _word(call: Call) -> str:
    """A variable's name after what made it."""
    name = (
        type(call.function).__name__
        if isinstance(call.function, nn.Module)
        else call.function.__name__
    )
    return WORDS.get(name, name.strip("_"))


WORDS: Mapping[str, str] = {
    "__getitem__": "part",
    "mix": "mixed",
    "addcmul": "total",
    "mul": "product",
    "add": "total",
    "div": "ratio",
    "sub": "difference",
    "flatten": "flat",
    "to": "cast",
    "long": "ids",
    "cat": "joined",
    "unbind": "parts",
    "unsqueeze": "column",
    "sum": "total",
    "transpose": "turned",
    "softmax": "weights",
    "stack": "stacked",
    "sigmoid": "shares",
    "ne": "known",
    "chunk": "parts",
}


def wrapped(line: str, indent: str) -> list[str]:
    """A statement, on several lines where it is long and ends in a bracket: one element a line."""
    if len(indent + line) <= MAX_LINE or not line.endswith((")", "]", "}")):
        return [indent + line]
    start, cuts = _last_bracket(line)
    if not cuts:
        return [indent + line]
    edges = [start, *cuts, len(line) - 1]
    parts = [line[a + 1 : b].strip() for a, b in pairwise(edges)]
    inner = [piece for part in parts if part for piece in wrapped(part, indent + "    ")]
    broken = [
        piece
        if piece.startswith(indent + "     ") or piece.endswith(("(", "[", "{"))
        else f"{piece},"
        for piece in inner
    ]
    return [indent + line[: start + 1], *broken, indent + line[-1]]


def _last_bracket(line: str) -> tuple[int, list[int]]:
    """Where the bracket begins that the line's last sign ends, and the commas right inside it;
    texts in quotes are skipped.
    """
    stack: list[tuple[int, list[int]]] = []
    bracket: tuple[int, list[int]] = (0, [])
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[()\[\]{},]', line):
        sign = match[0]
        if sign in "([{":
            stack.append((match.start(), []))
        elif sign in ")]}":
            bracket = stack.pop()
        elif sign == "," and stack:
            stack[-1][1].append(match.start())
    return bracket


def identifier(text: str) -> str:
    """A text as a Python name that means nothing yet."""
    word = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower() or "x"
    word = f"x{word}" if word[0].isdigit() else word
    return (
        f"{word}_"
        if keyword.iskeyword(word) or word in RESERVED or hasattr(nn.Module, word)
        else word
    )
