"""Rewords errors for Python users: the phases' messages name the command line's flags."""

import re
import signal
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from automtl.errors import AutoMTLError, Interrupted

P = ParamSpec("P")
T = TypeVar("T")

# Flags that are no argument of the same name; what follows is their value, where they have one.
_FLAGS = {
    "--resume": "resume=True",
    "--require-decided": "need_decided()",
    "--deterministic": 'runtime={"deterministic": True}',
    "--fast-dev-run": 'runtime={"fast_dev_run": True}',
    "--data-dir": "data_dir",
}
_SECTIONS = {
    "--device": ("runtime", "device"),
    "--threads": ("runtime", "threads"),
    "--time-limit": ("runtime", "time_limit_s"),
    "--on-nan": ("runtime", "on_nan"),
    "--trials": ("tune", "trials"),
    "--over": ("tune", "over"),
    "--objective": ("tune", "objective"),
}
_COMMANDS = "search|retrain|evaluate|compare|predict|export|tune|rank|pareto|report|show"
_VALUE = r"(?: ([A-Za-z0-9_./~*-]*[A-Za-z0-9_/*](?=[\s;,)`'\"]|$)))?"
_NO_VALUE = {"or", "and", "to", "beside", "where", "first", "from", "in", "is", "of", "out"}


def in_python(text: str) -> str:
    """A message of the phases with Python's words for the command line's; one that has none is as
    it was.
    """
    text = re.sub(r"automtl data describe (\S+) --draft \S+", _drafting, text)
    text = re.sub(r"`?automtl data (?:prepare|describe)(?: (\S+))?`?", "`automtl.describe`", text)
    text = re.sub(
        r"use kind: multiclass for task '([^']+)'",
        r"say tasks={'\1': 'multiclass'} (in a YAML `kind: multiclass`)",
        text,
    )
    text = re.sub(rf"\bautomtl ({_COMMANDS})\b", r"automtl.\1", text)
    text = re.sub(r"--set (\w+)\.(\w+)=([^\s;,]+)", _setting, text)
    text = re.sub(r"--set ([\w.]+)", r"\1", text)
    text = re.sub(r"--plugin (\S+)", r'automtl.load_plugin("\1")', text)
    return re.sub(rf"(--[a-z][a-z-]*){_VALUE}", _flag, text)


def _drafting(match: re.Match[str]) -> str:
    return f'automtl.Dataset.from_file("{match[1]}", tasks=[...])'


def _setting(match: re.Match[str]) -> str:
    return f'{match[1]}={{"{match[2]}": {_literal(match[3])}}}'


def _literal(word: str) -> str:
    """A value of the command line as Python writes it."""
    named = {"true": "True", "false": "False", "null": "None"}
    return named.get(word) or (word if re.fullmatch(r"-?\d[\d.e-]*", word) else f'"{word}"')


def _flag(match: re.Match[str]) -> str:
    flag, value = match[1], match[2]
    if value in _NO_VALUE or flag in ("--resume", "--require-decided", "--deterministic"):
        value, rest = None, f" {value}" if value else ""
    else:
        rest = ""
    if flag in _SECTIONS:
        section, name = _SECTIONS[flag]
        return (f'{section}={{"{name}": {_literal(value)}}}' if value else name) + rest
    word = _FLAGS.get(flag, flag.removeprefix("--").replace("-", "_"))
    return (f"{word}={_literal(value)}" if value else word) + rest


def speaks_python(function: Callable[P, T]) -> Callable[P, T]:
    """A function whose errors speak Python, and which a Ctrl-C ends as any other: with a
    KeyboardInterrupt.
    """

    @wraps(function)
    def act(*args: P.args, **given: P.kwargs) -> T:
        try:
            return function(*args, **given)
        except AutoMTLError as error:
            AutoMTLError.__init__(
                error, *map(in_python, (error.where, error.rule, error.got, error.fix))
            )
            raise
        except Interrupted as stop:
            if stop.signal != signal.SIGINT:
                raise
            more = f"; go on with resume=True, out={stop.folder!r}" if stop.folder else ""
            raise KeyboardInterrupt(f"{stop}{more}") from None

    return act
