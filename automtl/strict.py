"""YAML and JSON into pydantic models, strictly: unknown keys are refused with the nearest known
one, all faults at once.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from automtl.bounds import MAX_DEPTH, read_at_most
from automtl.errors import ConfigError

MAX_YAML_BYTES = 2 * 2**20
_MAX_FAULTS, _MAX_SHOWN = 20, 200
# where pydantic's words name a class, or what is wrong with a key as if it were the value
_WORDING = {
    "model_type": "must be a mapping of settings",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "invalid_key": "must be a word, as every key",
    "tuple_type": "must be a list",
    "too_short": "must have at least {min_length} {items}",
    "too_long": "must have at most {max_length} {items}",
}
# a surrogate: no letter, and no file or terminal takes it
_HALF_LETTER = re.compile(r"\\u[dD][89a-fA-F]|\\U0000[dD][89a-fA-F]")


class Strict(BaseModel):
    """Base of every configuration and data model: frozen, no unknown keys, no coercion, and no
    number that is not finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses aliases (no bombs), deep nests, and a key given twice (no silent
    loser).
    """

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed", problem_mark=mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem=f"nests deeper than {MAX_DEPTH} are not allowed", problem_mark=mark
            )
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.2's core schema: PyYAML's own is 1.1, in which `1e-3` is a text, 010 is 8, 12:30 is 750,
# 1_000 a number, `no` and `on` are truth
# values and 2024-05-01 is no text. A number that begins with a 0 too many stays a text, so that it
# is refused where a number must be.
_NUMBER = "0|[1-9][0-9]*"
_WORDS = {
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": ("true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (rf"[-+]?({_NUMBER})|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        rf"[-+]?(({_NUMBER})(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
}
_Loader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _firsts) in _WORDS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"({_pattern})$"), _firsts
    )


def parse_yaml(text: str, where: object) -> Any:
    """Parse YAML text with the safe loader.

    Raises:
        ConfigError: the text is no YAML, or repeats a key, or uses aliases.
    """
    if half := _HALF_LETTER.search(text):
        raise ConfigError(
            where, "must be YAML", f"half a letter, {half[0]}..", "write the letter itself"
        )
    try:
        # a subclass of the safe loader
        return yaml.load(text, Loader=_Loader)  # noqa: S506 # nosec B506
    except OverflowError as error:  # of chr
        raise ConfigError(
            where,
            "must be YAML",
            "an escape beyond the last letter, \\U0010ffff",
            "write the letter itself",
        ) from error
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(
            where, "must be YAML", shown(" ".join(str(error).split()), 400), "mend the file"
        ) from error


def load_yaml(path: Path) -> Any:
    """Read a YAML file of at most 2 MiB.

    Raises:
        ConfigError: the file is absent, too large, or no YAML.
    """
    try:
        content = read_at_most(path, MAX_YAML_BYTES)
        if content is None:
            raise ConfigError(path, "must be at most 2 MiB", "more")
        text = content.decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(path, "must exist", "no such file", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, "must be a readable UTF-8 file", error) from error
    return parse_yaml(text, path)


class _Dumper(yaml.SafeDumper):
    """Safe YAML in which every text comes back, here and by YAML 1.1: PyYAML would fold what
    Unicode calls line breaks into blanks.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 # as PyYAML has it
        first: [
            *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
            *_Loader.yaml_implicit_resolvers.get(first, []),
        ]
        for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
    }

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = '"' if any(not c.isprintable() for c in data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)


def to_yaml(value: Any) -> str:
    """Plain values as YAML that `parse_yaml` reads, in their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def printable(text: str, keep: str = "") -> str:
    """Text with its invisible signs, but `keep`, written as their numbers: none may make it read as
    other YAML or Python than it is.
    """
    return "".join(c if c.isprintable() or c in keep else f"\\U{ord(c):08x}" for c in text)


def nearest(word: str, known: object) -> str:
    """A hint that names the closest known word, or all of them where none is close."""
    words = [str(k) for k in known]  # type: ignore[attr-defined]
    word = word[:_MAX_SHOWN]
    close = difflib.get_close_matches(word, words, n=1)
    return f"did you mean '{close[0]}'?" if close else f"choose from {', '.join(words)}"


def build(model: type[Model], data: Any, where: object) -> Model:
    """Validate plain data as `model`.

    Args:
        model: what the data must be.
        data: a mapping.
        where: the place that an error names; or what tells it from the paths of the faults, where
            the data come from several.

    Raises:
        ConfigError: one error that lists every fault with its path.
    """
    tell = where if callable(where) else lambda _: where
    if not isinstance(data, Mapping):
        raise ConfigError(tell([]), "must be a mapping of settings", type(data).__name__)
    try:
        return model.model_validate(plain_tuples(data))
    except ValidationError as error:
        details = _own_faults(error)
        faults = [_fault(model, detail) for detail in details[:_MAX_FAULTS]]
        faults += [f"and {len(details) - _MAX_FAULTS} more"] if len(details) > _MAX_FAULTS else []
        paths = [".".join(map(str, detail["loc"])) for detail in details]
        raise ConfigError(tell(paths), " | ".join(faults)) from None


def check_fields(model: type[BaseModel], data: Mapping[str, Any], where: object) -> None:
    """Refuse unknown keys and values that are illegal by themselves; what the values are together
    is for who knows the others.

    Raises:
        ConfigError: one error that lists every fault with its path.
    """
    own: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in model.model_fields.items()
        if name in data
    }
    try:
        create_model(model.__name__, __base__=Strict, **own).model_validate(plain_tuples(data))
    except ValidationError as error:
        raise ConfigError(
            where, " | ".join(_fault(model, detail) for detail in _own_faults(error)[:_MAX_FAULTS])
        ) from None


def _own_faults(error: ValidationError) -> list[Any]:
    """The faults, but for a list called too short since its items have faults, which stand there
    themselves.
    """
    return [
        detail
        for detail in error.errors()
        if detail["type"] != "too_short" or len(detail["input"]) < detail["ctx"]["min_length"]
    ]


def plain_tuples(value: Any) -> Any:
    """Lists from YAML become the tuples that frozen models hold."""
    if isinstance(value, Mapping):
        return {key: plain_tuples(item) for key, item in value.items()}
    return tuple(plain_tuples(item) for item in value) if isinstance(value, list) else value


def _plain_lists(value: Any) -> Any:
    """The other way round: what was given, as it was written."""
    return [_plain_lists(item) for item in value] if isinstance(value, tuple) else value


def shown(text: str, letters: int = _MAX_SHOWN) -> str:
    """A text cut to what a message has room for."""
    return text if len(text) <= letters else f"{text[:letters]}..."


def _fault(model: type[BaseModel], detail: Any) -> str:
    path = shown(".".join(str(part) for part in detail["loc"]))
    if detail["type"] == "extra_forbidden":
        return (
            f"{path} is not a known key "
            f"({nearest(str(detail['loc'][-1]), _known_keys(model, detail['loc'][:-1]))})"
        )
    if detail["type"] == "missing":
        return f"{path} must be given"
    if detail["type"] == "string_pattern_mismatch" and (form := _description(model, detail["loc"])):
        return f"{path} must be: {form}, got {shown(repr(detail['input']))}"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    context = detail.get("ctx", {})
    length = context.get("min_length", context.get("max_length"))
    items = "item" if length == 1 else "items"
    if (wording := _WORDING.get(detail["type"])) is not None:
        message = wording.format(**context | {"items": items})
    message, given = shown(message, 1000), _plain_lists(detail["input"])
    got = "" if isinstance(given, Mapping) else f", got {shown(repr(given))}"
    if detail["type"] == "too_long":
        got = f", got {len(given)}"
    return f"{path + ' ' if path else ''}{message}{got}"


def _description(model: type[BaseModel], path: tuple[int | str, ...]) -> str:
    """What a model says of the field at `path`; "" nothing."""
    models, descriptions = [model], list[str]()
    for part in path:
        fields = [
            m.model_fields[part] for m in models if isinstance(part, str) and part in m.model_fields
        ]
        descriptions = [field.description for field in fields if field.description]
        models = [m for field in fields for m in _models_in(field.annotation)] or models
    return descriptions[0].removesuffix(".") if descriptions else ""


def _known_keys(model: Any, path: tuple[int | str, ...]) -> list[str]:
    """The field names at `path` inside `model`; several models (a tagged union) give the union of
    theirs.
    """
    models = [model]
    for part in path:
        steps = [
            m.model_fields[part].annotation
            for m in models
            if isinstance(part, str) and part in m.model_fields
        ]
        models = [m for step in steps or models for m in _models_in(step)]
    return sorted({name for m in models for name in m.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType) or get_args(annotation):
        return [m for arg in get_args(annotation) for m in _models_in(arg)]
    return []
