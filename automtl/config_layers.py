"""What a data set and a hand-made model recommend: checked, laid below what the user says, and told
apart from it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from automtl.config_retrain import OF_OPTIMIZER, RetrainSection
from automtl.data.spec.dataset import DatasetConfig
from automtl.errors import ConfigError
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.spaces.templates import KNOWN, OF_ANY, check_changes
from automtl.strict import check_fields, shown

Where = Callable[[Sequence[str]], str]  # where settings of these paths are said, for errors


@dataclass(frozen=True)
class Recommendation:
    """Settings that somebody recommends.

    Args:
        source: who, in words: "data set census_income", "baseline mssm".
        where: the file and its key, named in errors.
        sections: of the configuration, each with some settings.
        of_model: whether they come with the architecture, so that ``retrain.recommended`` can leave
            them out.
    """

    source: str
    where: str
    sections: Mapping[str, Mapping[str, Any]]
    of_model: bool = False

    def without_shape(self) -> "Recommendation":
        """The same, but for an architecture's shape."""
        return replace(
            self,
            sections={
                name: values for name, values in self.sections.items() if name != "architecture"
            },
        )

    def check(self, search: type[BaseModel]) -> None:
        """Refuse unknown settings and wrong values, by the file and the key.

        Raises:
            ConfigError: as above.
        """
        models: dict[str, type[BaseModel]] = {
            "search": search,
            "retrain": RetrainSection,
            "space": SearchSpace,
        }
        for section, values in self.sections.items():
            where = f"{self.where}.{section}"
            if section == "architecture":
                check_changes(values, where, KNOWN if self.of_model else OF_ANY)
                continue
            if section == "retrain" and "recommended" in values:
                raise ConfigError(
                    f"{where}.recommended",
                    "must be left to whoever trains",
                    values["recommended"],
                    "leave it out",
                )
            check_fields(models[section], values, where)


def of_dataset(dataset: DatasetConfig, source: object) -> Recommendation:
    """What a data set recommends.

    Args:
        dataset: its settings.
        source: its file, or its name where it ships with the package.
    """
    return Recommendation(
        f"data set {dataset.name}",
        f"{source}: recommends",
        dict[str, Mapping[str, Any]](**dataset.recommends),
    )


def of_architecture(architecture: Architecture, source: object) -> Recommendation:
    """What a hand-made model's file recommends."""
    sections = dict[str, Mapping[str, Any]](**architecture.recommended)
    return Recommendation(
        f"baseline {architecture.name or source}", f"{source}: recommended", sections, of_model=True
    )


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The paths of all settings in nested sections."""
    for key, value in values.items():
        place = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, place)
        else:
            yield place


def parted(
    values: Mapping[str, Any], wanted: Callable[[str], bool], path: str = ""
) -> dict[str, Any]:
    """Those of nested settings whose paths are wanted; sections that have none are left out."""
    parts: dict[str, Any] = {}
    for key, value in values.items():
        place = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            parts |= {key: inside} if (inside := parted(value, wanted, place)) else {}
        elif wanted(place):
            parts[key] = value
    return parts


def without(origins: Mapping[str, str], taken: Iterable[str]) -> dict[str, str]:
    """Origins but for settings that somebody else has set since, whole or in part."""
    paths = [f"{path}." for path in taken]
    return {
        own: who
        for own, who in origins.items()
        if not any(f"{own}.".startswith(p) or p.startswith(f"{own}.") for p in paths)
    }


def places(file: str, in_file: Mapping[str, Any], later: Mapping[str, Any]) -> Where:
    """Tells where settings are said: in a file, or later, as by `--set`, which is "settings"."""
    said_later = dict.fromkeys(leaves(later), "settings")
    said = without(dict.fromkeys(leaves(in_file), file), said_later), said_later

    def where(paths: Sequence[str]) -> str:
        """A section that both speak of is said by both."""
        names = {
            who
            for own in said
            for path in paths
            if without(own, [path]) != own
            for who in own.values()
        }
        return " and ".join(sorted(names, key=[file, "settings"].index)) or "settings"

    return where


def origins_told(origins: Mapping[str, str], values: Mapping[str, Any]) -> str:
    """One line for people: whose settings are in force that neither a default nor the user gave;
    empty where there are none.
    """
    parts = []
    for who in dict.fromkeys(origins.values()):
        said = [f"{path} {_value(values, path)}" for path, other in origins.items() if other == who]
        parts.append(f"the {who}: {', '.join(said)}")
    return f"settings of {'; of '.join(parts)}" if parts else ""


def _value(values: Mapping[str, Any], path: str) -> str:
    value: Any = values
    while path:  # a name of a task may hold a dot
        key = max((name for name in value if f"{path}.".startswith(f"{name}.")), key=len)
        value, path = value[key], path[len(key) + 1 :]
    return shown(str(value), 60)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings merged, `over` winning; a monitor is one value, and replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = (
            merge(old, value)
            if key != "monitor" and isinstance(old, Mapping) and isinstance(value, Mapping)
            else value
        )
    return merged


def laid(
    advice: Iterable[Recommendation], wanted: set[str], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What is recommended of the wanted sections, later ones winning, and by whom, where the user
    says nothing else.
    """
    retrain = given.get("retrain")
    alike = isinstance(retrain, Mapping) and retrain.get("recommended") is False
    below, origins = dict[str, Any](), dict[str, str]()
    for one in advice:
        sections = (
            {}
            if alike and one.of_model
            else {
                name: values for name, values in one.sections.items() if name in wanted and values
            }
        )
        below = merge(_fitting(below, sections), sections)
        origins |= dict.fromkeys(leaves(sections), one.source)
    below = _fitting(below, given)
    paths = set(leaves(below))
    return below, without(
        {path: who for path, who in origins.items() if path in paths}, leaves(given)
    )


def _fitting(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """What is recommended without the rates of an optimiser, where another one is taken above."""
    advised, retrain = below.get("retrain", {}), above.get("retrain")
    before = advised.get("optimizer", "adam")
    if not isinstance(retrain, Mapping) or retrain.get("optimizer", before) == before:
        return below
    return {
        **below,
        "retrain": {name: value for name, value in advised.items() if name not in OF_OPTIMIZER},
    }
