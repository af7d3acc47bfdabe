"""Every setting of a run, and every key of a data set's YAML, described: for people, for a page of
the documentation, and as a JSON schema for editors.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from automtl.config import RunConfig
from automtl.data.spec.dataset import DatasetConfig
from automtl.errors import ConfigError
from automtl.strict import nearest

_BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
_WORDS: dict[Any, str] = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
    Any: "any value",
}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Args:
        path: as ``--set`` names it; ``[]`` stands for an item of a list.
        type: in words.
        default: as YAML has it; "required" where there is none.
        meaning: a sentence.
    """

    path: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Reference:
    """Describes the settings of one kind of file.

    Args:
        command: the command that prints them.
        model: what the file is read into.
        plain: name of the section of the settings that stand in none.
        records: settings that a run writes and nobody sets; left out.
        head: beginning of the documentation's page.
    """

    command: str
    model: type[BaseModel]
    plain: str
    records: tuple[str, ...]
    head: str

    def sections(self) -> dict[str, list[Setting]]:
        """The settings by section. A list is a section for each kind of item that it takes."""
        described: dict[str, list[Setting]] = {self.plain: []}
        for name, field in self._fields():
            models = _models(field)
            for section, model in models.items():
                path = f"{name}[]." if _is_list(field) else f"{name}."
                described[section or name] = list(_settings(model, path))
            if not models:
                described[self.plain].append(_setting(name, field))
        return described

    def section(self, name: str) -> list[Setting]:
        """The settings of one section.

        Raises:
            ConfigError: there is no such section.
        """
        known = self.sections()
        if name not in known:
            rule = f"must be a section: {', '.join(known)}"
            raise ConfigError(self.command, rule, name, nearest(name, known))
        return known[name]

    def page(self) -> str:
        """The page of the documentation, as Markdown."""
        meanings = {self.plain: "Settings outside any section."}
        for name, field in self._fields():
            for section, model in _models(field).items():
                meanings[section or name] = (model.__doc__ or "").strip().split("\n\n")[0]
        parts = [self.head]
        for name, settings in self.sections().items():
            parts.append(f"\n## {name}\n\n{' '.join(meanings[name].split())}\n\n")
            parts.append("| setting | type | default | meaning |\n|---|---|---|---|\n")
            for one in settings:
                cells = (f"`{one.path}`", one.type, f"`{one.default}`", one.meaning)
                parts.append(
                    f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
                )
        return "".join(parts)

    def json_schema(self) -> dict[str, Any]:
        """A JSON schema of the file, for editors."""
        schema = self.model.model_json_schema()
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

    def _fields(self) -> Iterator[tuple[str, FieldInfo]]:
        fields = self.model.model_fields.items()
        return ((name, field) for name, field in fields if name not in self.records)


_RUN_HEAD = """\
# Settings

Every setting of a run, as `--config FILE` reads it and `--set SECTION.NAME=VALUE` changes it.
`automtl config` prints the same; `automtl config --json-schema` prints a JSON schema, with which an
editor completes and checks a file. `automtl search DATA --show-config` prints the settings in
force; a run keeps them in its `config.yaml`.

This page is generated from the code by `scripts/settings_page.py`.
"""
_DATASET_HEAD = """\
# A data set's YAML

Every key of the file that describes a data set; [your own data](own_data.md) explains them by
examples. `automtl data config` prints the same; `automtl data config --json-schema` prints a JSON
schema, with which an editor completes and checks a file. `tasks[].label` is the key `label` of one
item of the list `tasks`. A feature's `kind` says which of the sections categorical, multi, sequence
and numeric holds its keys.

This page is generated from the code by `scripts/settings_page.py`.
"""


class _RunReference(Reference):
    """A --config file, in which every section and setting may be left out."""

    def json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = _optional(super().json_schema())
        for name in self.records:
            schema["properties"][name]["description"] += " Read, and passed over."
        base = {
            "type": "string",
            "description": "A shipped space's name, or a space file, to change.",
        }
        schema["$defs"]["SearchSpace"]["properties"]["base"] = base
        return schema


RUN: Reference = _RunReference("automtl config", RunConfig, "run", ("origins",), _RUN_HEAD)
DATASET = Reference("automtl data config", DatasetConfig, "dataset", (), _DATASET_HEAD)


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
        models = _models(field)
        for inner in models.values():
            yield from _settings(inner, f"{path}{name}.")
        if not models:
            yield _setting(path + name, field)


def _models(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """The models that a field, or an item of it, may be; none for a plain setting.

    The key is the word in the model's ``kind`` where there are several, else empty.
    """
    kinds = [one for one in _parts(field.annotation) if isinstance(one, type)]
    models = [kind for kind in kinds if issubclass(kind, BaseModel)]
    if len(models) == 1:
        return {"": models[0]}
    return {get_args(model.model_fields["kind"].annotation)[0]: model for model in models}


def _parts(annotation: Any) -> Iterator[Any]:
    """A type, or the members of a union, of an annotation, of a list's items."""
    if get_origin(annotation) in (Union, UnionType, tuple, Annotated):
        for part in get_args(annotation):
            yield from _parts(part)
    else:
        yield annotation


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


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
