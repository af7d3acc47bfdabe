"""A hand-made template with some of its settings changed, as `architecture.embedding_dim=64`
does.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from automtl.errors import ConfigError
from automtl.spaces.architecture import Architecture, Sharing
from automtl.spaces.catalogue import SHARING
from automtl.spaces.operations import MAX_WIDTH
from automtl.strict import Strict, check_fields, nearest, plain_tuples, shown

_SHAPE = (
    "embedding_dim",
    "numeric",
    "interaction",
    "projection",
    "experts",
    "towers",
    "dropout",
    "batch_norm",
)
# what a data set may recommend to every template
OF_ANY = ("embedding_dim", "numeric", "interaction", "towers", "dropout", "batch_norm")
_COMPARED = tuple(name for name in _SHAPE if name != "experts")
# a bound architecture with another one has the same operations, experts and weights
_TRAINING_ONLY = ("dropout",)
_WRITTEN_OUT = "write them out in architecture.experts"
# settings of sharing kinds without a pool that count what they have
_INSTEAD = ("task_experts", "masks", "levels")


def _are_widths(value: Any) -> Any:
    lists = (
        value if isinstance(value, tuple) and value and isinstance(value[0], tuple) else (value,)
    )
    for own in lists:
        if (
            not isinstance(own, tuple)
            or not own
            or any(type(w) is not int or not 1 <= w <= MAX_WIDTH for w in own)
        ):
            raise ValueError(
                f"must be widths from 1 to {MAX_WIDTH} such as [512, 256], or a list of them "
                "for each level"
            )
    return value


class _Sizes(Strict):
    """What there is beside an architecture's own values."""

    num_experts: int = Field(1, ge=1, le=1024)
    expert_widths: Annotated[Any, AfterValidator(_are_widths)] = (1,)


KNOWN = (*_SHAPE, *_Sizes.model_fields)


def check_changes(changes: Mapping[str, Any], where: str, known: Sequence[str] = KNOWN) -> None:
    """Refuse changes that are none for any template: an unknown name, or a value of the wrong type.

    Raises:
        ConfigError: as above.
    """
    for name in changes:
        if name not in known:
            raise ConfigError(
                f"{where}.{name}",
                "must be a setting of templates",
                repr(name),
                nearest(name, known),
            )
    check_fields(
        Architecture, {name: value for name, value in changes.items() if name in _SHAPE}, where
    )
    check_fields(
        _Sizes,
        {name: value for name, value in changes.items() if name in _Sizes.model_fields},
        where,
    )


def changed(
    architecture: Architecture,
    changes: Mapping[str, Any],
    where: str = "architecture",
    *,
    sharing: Mapping[str, Any] | None = None,
) -> Architecture:
    """A template with other values; of a bound architecture only what leaves it the same
    architecture can change.

    Args:
        architecture: a template, or one that a search found or a data set is bound to.
        changes: values by name: an architecture's own; `num_experts`, of each level;
            `expert_widths`, the layers of every expert, or a list of them for each level.
        where: named in errors.
        sharing: settings of its own sharing kind that change along with a number of experts, which
            may fit no others: one expert needs k = 1.

    Raises:
        ConfigError: an unknown name, a value that is illegal or does not fit; the message lists
            what this template has.
    """
    for name in changes:
        if name not in KNOWN:
            rule = f"must be a setting of {_called(architecture)}"
            fix = f"it has {_listed(architecture)}"
            raise ConfigError(f"{where}.{name}", rule, repr(name), fix)
    check_changes(changes, where)
    values = {name: plain_tuples(value) for name, value in changes.items()}
    if not architecture.is_template:
        _need_same(architecture, values, where)
    own = {name: value for name, value in values.items() if name in _SHAPE}
    architecture = architecture.evolve(**own) if own else architecture
    if "num_experts" in values:
        architecture = _counted(
            architecture, int(values["num_experts"]), f"{where}.num_experts", sharing or {}
        )
    if "expert_widths" in values:
        architecture = _sized(architecture, values["expert_widths"], f"{where}.expert_widths")
    return architecture


def _called(architecture: Architecture) -> str:
    return f"the template {architecture.name}" if architecture.name else "this template"


def _listed(architecture: Architecture) -> str:
    """What a template has, with its values."""
    plain = architecture.model_dump(mode="json")
    values = {name: plain[name] for name in _SHAPE if name != "experts"}
    if SHARING[architecture.sharing.kind].slots == "pool":
        values["num_experts"] = len(architecture.experts) // len(_levels(architecture))
    values["expert_widths"] = _widths(architecture) or "none, its experts are of other operations"
    return (
        ", ".join(f"{name} ({shown(str(value), 60)})" for name, value in values.items())
        + ", experts (written out)"
    )


def _need_same(architecture: Architecture, values: Mapping[str, Any], where: str) -> None:
    called = architecture.name or "this architecture"
    for name, value in values.items():
        if name in _TRAINING_ONLY or (
            name in _COMPARED and architecture.evolve(**{name: value}) == architecture
        ):
            continue
        rule = (
            f"must stay as it is: {called} is bound to its data set with the shape it has, and "
            "would be another architecture"
        )
        fix = "search anew with the space's settings, or take a hand-made template"
        raise ConfigError(f"{where}.{name}", rule, value, fix)


def _levels(architecture: Architecture) -> list[int | None]:
    return list(dict.fromkeys(expert.level for expert in architecture.experts))


def _widths(architecture: Architecture) -> Any:
    """The layers of a template's experts, for each level where they differ; None where an expert is
    no chain of layers.
    """
    if any(
        operation.name != "dense"
        for expert in architecture.experts
        for operation in expert.operations
    ):
        return None
    widths = {
        expert.level: [operation.argument for operation in expert.operations]
        for expert in architecture.experts
    }
    return list(widths.values()) if len(widths) > 1 else next(iter(widths.values()))


def _counted(
    architecture: Architecture, count: int, where: str, settings: Mapping[str, Any]
) -> Architecture:
    """So many of the same experts in each level of a pool, under some settings of its sharing."""
    kind, name = architecture.sharing.kind, _called(architecture)
    if SHARING[kind].slots != "pool":
        instead = [own for own in _INSTEAD if own in SHARING[kind].settings]
        fix = f"see sharing.{instead[0]}" if instead else "leave it out"
        raise ConfigError(
            where, f"is for templates with a pool of experts, which {name} lacks", count, fix
        )
    experts = []
    for level in _levels(architecture):
        alike = [expert for expert in architecture.experts if expert.level == level]
        if len({expert.blocks for expert in alike}) > 1:
            raise ConfigError(
                where,
                f"needs experts that are alike, which those of {name} are not",
                count,
                _WRITTEN_OUT,
            )
        experts += [alike[0]] * count
    sharing = Sharing(kind=kind, settings={**architecture.sharing.settings, **settings})
    return architecture.evolve(experts=tuple(experts), sharing=sharing)


def _sized(architecture: Architecture, widths: tuple[Any, ...], where: str) -> Architecture:
    """The same experts with layers of other widths."""
    name, levels = _called(architecture), _levels(architecture)
    if _widths(architecture) is None:
        raise ConfigError(
            where,
            f"is for experts of dense layers alone, which {name} lacks",
            list(widths),
            _WRITTEN_OUT,
        )
    each = widths if isinstance(widths[0], tuple) else (widths,)
    if len(each) != len(levels):
        rule = (
            f"must be a list of widths for each of the {len(levels)} levels"
            if len(levels) > 1
            else "must be one list of widths"
        )
        raise ConfigError(
            where, f"{rule} for {name}", [list(w) for w in each], f"it has {_widths(architecture)}"
        )
    blocks = {
        level: tuple(f"dense({width})" for width in own)
        for level, own in zip(levels, each, strict=True)
    }
    experts = tuple(
        expert.model_copy(update={"blocks": blocks[expert.level]})
        for expert in architecture.experts
    )
    return architecture.evolve(experts=experts)
