"""A discrete architecture as data: what a search derives, a person writes, and every hand-made
model is.

A *template* names no tasks and no fields and fits any data set; a *bound* one carries the signature
of the data it belongs to. ``template.bind(schema)`` makes the second from the first.
"""

import json
from collections.abc import Sequence, Set
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from automtl import files, plugins
from automtl.errors import ArtifactError, ConfigError, counted
from automtl.spaces.catalogue import fit_sharing, sharing_settings
from automtl.spaces.kinds import Slot
from automtl.spaces.operations import MAX_WIDTH, Operation, Width
from automtl.spaces.pictures import picture_of
from automtl.spaces.signatures import FieldSignature, SchemaLike, TaskSignature
from automtl.strict import Strict, build, nearest

VERSION = 1
_TRAVELLERS = {"name", "ranking", "choices", "recommended", "provenance"}


class Expert(Strict):
    """One expert: its operations in order, and where it may stand (everywhere, unless said)."""

    blocks: tuple[str, ...] = Field(min_length=1, max_length=64)
    level: int | None = Field(None, ge=0, description="The only level it may stand in.")
    owner: Literal["pool", "shared", "task"] | None = Field(
        None, description="The only kind of unit it may stand in."
    )
    task: int | None = Field(None, ge=0, description="The only task whose unit it may stand in.")

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Its blocks, parsed."""
        return tuple(Operation.parse(block, "expert") for block in self.blocks)

    def fits(self, slot: Slot) -> bool:
        """Whether it may stand in a slot."""
        if self.level is not None and self.level != slot.level:
            return False
        if self.owner is None:
            return True
        if isinstance(slot.owner, int):
            return self.owner == "task" and self.task in (None, slot.owner)
        return self.owner == slot.owner


class Sharing(Strict):
    """The sharing kind and its settings; settings not named take the kind's defaults."""

    kind: str = "selected"
    settings: dict[str, Any] = Field(default_factory=dict)

    @property
    def all_settings(self) -> dict[str, Any]:
        """Every setting of the kind, defaults filled in."""
        return sharing_settings(self.kind, self.settings)


def learned(weights: Set[float]) -> bool:
    """Whether choices with these weights were learned; what was drawn has 0 and 1 only."""
    return not (0 in weights and weights <= {0, 1})


class Ranked(Strict):
    """One expert in a task's ranking, with its softmax(beta)."""

    expert: int
    weight: float


class Architecture(Strict):
    """A discrete multi-task architecture: input -> interaction -> sharing(experts) -> towers.

    Equality and hash count what is computed; ``name``, ``ranking``, ``choices``, ``recommended``
    and ``provenance`` only travel along.
    """

    format: Literal["automtl.architecture"] = "automtl.architecture"
    version: int = VERSION
    name: str = Field("", description="For people.")
    tasks: tuple[TaskSignature, ...] | None = Field(None, description="None in a template.")
    fields: tuple[FieldSignature, ...] | None = Field(None, description="None in a template.")
    embedding_dim: int = Field(16, ge=1, le=4096, description="d, the width of one field's vector.")
    numeric: Literal["linear", "joint", "periodic"] = Field(
        "linear", description="How numerical columns become fields."
    )
    interaction: tuple[str, ...] = Field(
        (), max_length=16, description="Interaction operations in order; empty for none."
    )
    projection: int | None = Field(
        64, ge=1, le=MAX_WIDTH, description="D; None lets experts read the flat F*d vector."
    )
    experts: tuple[Expert, ...] = Field(min_length=1, max_length=1024)
    chosen: tuple[tuple[int, ...], ...] | None = Field(
        None, description="Per task, the experts it gates; None for all."
    )
    sharing: Sharing = Sharing()
    towers: tuple[Width, ...] = Field(
        (128, 64), max_length=16, description="Hidden widths of each task's tower."
    )
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    batch_norm: bool = True
    ranking: tuple[tuple[Ranked, ...], ...] | None = Field(
        None, description="Per task, experts by softmax(beta); others follow as listed."
    )
    choices: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Per choice block, softmax(alpha)."
    )
    recommended: dict[Literal["retrain", "architecture"], dict[str, Any]] = Field(
        default_factory=dict,
        description="Settings to train it by, such as its paper's; architecture: a template's own, "
        "changed.",
    )
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for i, block in enumerate(self.interaction):
            Operation.parse(block, "interaction", f"interaction[{i}]")
        for i, expert in enumerate(self.experts):
            for j, block in enumerate(expert.blocks):
                Operation.parse(block, "expert", f"experts[{i}].blocks[{j}]")
        if (self.tasks is None) != (self.fields is None):
            raise ConfigError("tasks and fields", "must both be given or both be null")
        if self.tasks is not None and not self.tasks:
            raise ConfigError("tasks", "must name at least one task", "none")
        self._check_chosen()
        self._check_ranking()
        kinds = {task.name: task.kind for task in self.tasks} if self.tasks is not None else None
        fit_sharing(
            self.sharing.kind, self.sharing.settings, num_experts=len(self.pool()), tasks=kinds
        )
        return self

    def _check_chosen(self) -> None:
        if self.chosen is None:
            return
        if self.tasks is None or len(self.chosen) != len(self.tasks):
            raise ConfigError(
                "chosen",
                "must list the experts of each task of a bound architecture",
                counted(len(self.chosen), "list"),
            )
        for task, experts in zip(self.tasks, self.chosen, strict=True):
            if (
                not experts
                or len(set(experts)) != len(experts)
                or not set(experts) <= set(range(len(self.experts)))
            ):
                rule = f"must be distinct experts from 0 to {len(self.experts) - 1}, at least one"
                raise ConfigError(f"chosen of {task.name}", rule, list(experts))

    def _check_ranking(self) -> None:
        if self.ranking is None:
            return
        if len(self.ranking) != len(self.tasks or ()):
            rule = "must list experts for each task of a bound architecture"
            fix = "leave ranking out: the listed order then holds"
            raise ConfigError("ranking", rule, counted(len(self.ranking), "list"), fix)
        for t, task in enumerate(self.ranking):
            named = [entry.expert for entry in task]
            if len(set(named)) != len(named) or not set(named) <= set(range(len(self.experts))):
                rule = f"must name distinct experts from 0 to {len(self.experts) - 1}"
                raise ConfigError(
                    f"ranking[{t}]",
                    rule,
                    named[:20],
                    "mend it, or leave ranking out: the listed order then holds",
                )

    def fitting(self, slot: Slot) -> tuple[int, ...]:
        """The experts that may stand in a slot; where none is for its level, those of the nearest
        level below; else all.
        """
        for level in range(slot.level, -1, -1):
            experts = tuple(
                i
                for i, expert in enumerate(self.experts)
                if expert.fits(Slot(level, slot.owner, slot.index))
            )
            if experts:
                return experts
        return tuple(range(len(self.experts)))

    def pool(self, level: int = 0) -> tuple[int, ...]:
        """The experts that may stand in a pool, in listed order: those chosen by at least one task;
        all where none is chosen.
        """
        used = (
            {expert for task in self.chosen for expert in task}
            if self.chosen is not None
            else set(range(len(self.experts)))
        )
        return tuple(i for i in self.fitting(Slot(level, "pool", 0)) if i in used)

    @property
    def learned(self) -> bool:
        """Whether the weights of its choices and experts were learned."""
        return learned({w for block in self.choices.values() for w in block.values()})

    def identity(self) -> str:
        """Canonical JSON of all that is computed; two architectures with the same one are equal."""
        return json.dumps(self.model_dump(mode="json", exclude=_TRAVELLERS), sort_keys=True)

    def differs(self, other: "Architecture") -> list[str]:
        """Names of what is computed otherwise in another architecture."""
        ours, theirs = json.loads(self.identity()), json.loads(other.identity())
        return [name for name in ours if ours[name] != theirs[name]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.identity() == other.identity()

    def __hash__(self) -> int:
        return hash(self.identity())

    @property
    def is_template(self) -> bool:
        """Whether it fits any data set."""
        return self.tasks is None

    def bind(self, schema: SchemaLike) -> "Architecture":
        """The same architecture for the tasks and fields of `schema`.

        Raises:
            ConfigError: it is bound to other tasks or fields; the difference is named.
        """
        tasks = tuple(
            TaskSignature(name=t.name, kind=t.kind, classes=t.classes)  # type: ignore[arg-type]
            for t in schema.tasks
        )
        fields = tuple(
            FieldSignature(name=f.name, kind=f.kind)  # type: ignore[arg-type]
            for f in schema.fields
        )
        if self.is_template:
            return self.evolve(tasks=tasks, fields=fields)
        for what, own, given in (("tasks", self.tasks, tasks), ("fields", self.fields, fields)):
            if own != given:
                rule = f"must be bound to the {what} of data set '{schema.name}'"
                raise ConfigError(
                    f"architecture {self.name}".strip(),
                    rule,
                    _difference(own or (), given),
                    "search on this data set",
                )
        return self

    def evolve(self, **changes: Any) -> "Architecture":
        """A checked copy with some values changed."""
        return build(Architecture, {**dict(self), **changes}, f"architecture {self.name}".strip())

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        blocks = [*self.interaction, *(block for expert in self.experts for block in expert.blocks)]
        used = plugins.record(
            [self.sharing.kind, *(Operation.parse(block).name for block in blocks)]
        )
        rest = {name: value for name, value in self.provenance.items() if name != "plugins"}
        provenance = {**rest, "plugins": used} if used else rest
        files.write_json(
            path, self.model_copy(update={"provenance": provenance}).model_dump(mode="json")
        )

    def __repr__(self) -> str:
        named = self.name or "architecture"
        experts = f"{self.sharing.kind} of {counted(len(self.experts), 'expert')}"
        tasks = ", ".join(task.name for task in self.tasks) if self.tasks else "any tasks"
        return f"<Architecture {named}: {experts}, for {tasks}>"

    def _repr_html_(self) -> str | None:
        return picture_of(self)

    @classmethod
    def load(cls, source: str | Path) -> "Architecture":
        """Read an architecture file, or a shipped one by name; an existing path wins.

        Raises:
            ArtifactError: no such file or name, no JSON, a newer format, or it needs a plugin that
                is not loaded.
            ConfigError: what the file says is not an architecture; every fault is listed.
        """
        path = Path(source)
        if not path.is_file():
            path = _shipped(str(source))
        data = files.read_json(path)
        version = data.get("version", VERSION) if isinstance(data, dict) else VERSION
        if isinstance(version, int) and version > VERSION:
            raise ArtifactError(
                path,
                f"must have format version {VERSION} or older",
                version,
                "update automtl to read it",
            )
        provenance = data.get("provenance") if isinstance(data, dict) else None
        plugins.require(path, provenance.get("plugins") if isinstance(provenance, dict) else None)
        return build(cls, data, path)


def shipped_architectures() -> dict[str, Path]:
    """The architectures that come with the package, by name: searched ones and hand-made
    baselines.
    """
    folders = (
        package_files("automtl.derived_archs"),
        package_files("automtl.derived_archs.baselines"),
    )
    return {
        Path(str(f)).stem: Path(str(f))
        for folder in folders
        for f in folder.iterdir()
        if f.name.endswith(".json")
    }


def _shipped(name: str) -> Path:
    known = shipped_architectures()
    if name not in known:
        raise ArtifactError(
            name,
            "must be an architecture file or a shipped name",
            "neither",
            nearest(name, sorted(known)),
        )
    return known[name]


def _difference(own: Sequence[Any], given: Sequence[Any]) -> str:
    """Two signatures' difference in words: what is missing, what is new, what has another kind or
    order.
    """
    old, new = {s.name: s for s in own}, {s.name: s for s in given}
    notes = [f"'{name}' missing from the data" for name in old if name not in new]
    notes += [f"'{name}' unknown to the architecture" for name in new if name not in old]
    notes += [
        f"'{name}' was {old[name].kind} and is {new[name].kind}"
        for name in old
        if name in new and old[name] != new[name]
    ]
    return ", ".join(notes[:6]) or "the same names in another order"
