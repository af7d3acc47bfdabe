"""Every setting of a run described: for people, for a page of the documentation, and as a JSON
schema for editors.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from automtl.config import RunConfig
from automtl.errors import ConfigError
from automtl.strict import nearest

RECORDS = ("origins",)  # written by a run, never set
_BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
_WORDS: dict[Any, str] = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
    Any: "any value",
}
_OUTSIDE = "Settings outside any section."
_HEAD = """\
# Settings

Every setting of a run, as `--config FILE` reads it and `--set SECTION.NAME=VALUE` changes it.
`automtl config` prints the same; `automtl config --json-schema` prints a JSON schema, with which an
editor completes and checks a file. `automtl search DATA --show-config` prints the settings in
force; a run keeps them in its `config.yaml`.

This page is generated from the code by `scripts/settings_page.py`.
"""


@dataclass(frozen=True)
class Setting:
    """One setting.

    Args:
        path: as ``--set`` names it.
        type: in words.
        default: as YAML has it; "required" where there is none.
        meaning: a sentence.
    """

    path: str
    type: str
    default: str
    meaning: str


def sections() -> dict[str, list[Setting]]:
    """The settings by section; "run" holds those that stand in none."""
    by_section: dict[str, list[Setting]] = {"run": []}
    for name, field in RunConfig.model_fields.items():
        if name in RECORDS:
            continue
        model = _model(field)
        if model is None:
            by_section["run"].append(_setting(name, field))
        else:
            by_section[name] = list(_settings(model, f"{name}."))
    return by_section


def section(name: str) -> list[Setting]:
    """The settings of one section.

    Raises:
        ConfigError: there is no such section.
    """
    known = sections()
    if name not in known:
        rule = f"must be a section: {', '.join(known)}"
        raise ConfigError("config", rule, name, nearest(name, known))
    return known[name]


def page() -> str:
    """The page docs/settings.md."""
    parts = [_HEAD]
    for name, settings in sections().items():
        model = _model(RunConfig.model_fields[name]) if name in RunConfig.model_fields else None
        said = (model.__doc__ or "").strip().split("\n\n")[0] if model else _OUTSIDE
        parts.append(f"\n## {name}\n\n{' '.join(said.split())}\n\n")
        parts.append("| setting | type | default | meaning |\n|---|---|---|---|\n")
        for one in settings:
            cells = (f"`{one.path}`", one.type, f"`{one.default}`", one.meaning)
            parts.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n")
    return "".join(parts)


def json_schema() -> dict[str, Any]:
    """A JSON schema of a --config file, in which every section and setting may be left out."""
    schema: dict[str, Any] = _optional(RunConfig.model_json_schema())
    for name in RECORDS:
        schema["properties"][name]["description"] += " Read, and passed over."
    base = {"type": "string", "description": "A shipped space's name, or a space file, to change."}
    schema["$defs"]["SearchSpace"]["properties"]["base"] = base
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _optional(node: Any) -> Any:
    """A schema in which nothing is required."""
    if isinstance(node, dict):
        return {
            key: _optional(value)
            for key, value in node.items()
            if not (key == "required" and isinstance(value, list))
        }
    return [_optional(value) for value in node] if isinstance(node, list) else node


def _settings(model: type[BaseModel], path: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        inner = _model(field)
        if inner is None:
            yield _setting(path + name, field)
        else:
            yield from _settings(inner, f"{path}{name}.")


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a field is; None for a plain setting."""
    optional = get_origin(field.annotation) in (Union, UnionType)
    for kind in (field.annotation, *(get_args(field.annotation) if optional else ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _setting(path: str, field: FieldInfo) -> Setting:
    default = (
        "required" if field.is_required() else _yaml(field.get_default(call_default_factory=True))
    )
    bounds = [
        form.format(f"{value:,}" if isinstance(value, int) else f"{value:g}")
        for one in field.metadata
        for name, form in _BOUNDS.items()
        if (value := getattr(one, name, None)) is not None
    ]
    kind = ", ".join([_kind(field.annotation), *bounds])
    return Setting(path, kind, default, " ".join((field.description or "").split()))


def _kind(annotation: Any) -> str:
    """A type in words."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(_yaml(value) for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in arguments)
    if origin in (tuple, list):
        return f"list of: {_kind(arguments[0])}" if arguments else "list"
    if origin is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return "mapping"
    return _kind(arguments[0]) if arguments else str(getattr(annotation, "__name__", annotation))


def _yaml(value: Any) -> str:
    """A value on one line, as YAML reads it."""
    if isinstance(value, str):
        return value or '""'
    return json.dumps(list(value) if isinstance(value, tuple) else value, default=str)
