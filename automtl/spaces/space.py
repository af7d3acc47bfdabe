"""A search space as data: which operations each choice block offers, how many experts and blocks,
how wide.
"""

import math
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from automtl.errors import ConfigError
from automtl.spaces.catalogue import SHARING, sharing_settings
from automtl.spaces.kinds import Slot, layout
from automtl.spaces.operations import Operation, Width
from automtl.strict import Strict, build, load_yaml, nearest


class SearchSpace(Strict):
    """What may be searched, with the search settings its author recommends."""

    name: str = Field(description="What runs and pictures call it.")
    source: str = Field(description="Paper and table, or who made it and why.")
    embedding_dim: int = Field(16, ge=1, le=4096, description="d, the width of one field's vector.")
    numeric: Literal["linear", "joint", "periodic"] = Field(
        "linear", description="How numerical columns become fields."
    )
    interaction: tuple[str, ...] = Field(
        min_length=1, max_length=256, description="Candidates of an interaction block."
    )
    num_interaction_blocks: int = Field(
        1, ge=0, le=16, description="Stacked interaction blocks; 0 is the ablation w/o INT."
    )
    expert: tuple[str, ...] = Field(
        min_length=1, max_length=256, description="Candidates of an expert's block."
    )
    num_experts: int = Field(8, ge=1, le=256, description="N, experts in the pool.")
    num_blocks: int = Field(3, ge=1, le=64, description="n, choice blocks per expert.")
    expert_dim: int = Field(64, ge=1, le=4096, description="D, the width experts work at.")
    widths: Literal["full", "nested"] = Field(
        "full",
        description="nested: a block's mlp(h) share one hidden "
        "layer; half the work, other maths; AUC "
        "within .002 is not shown.",
    )
    chosen_experts: int | None = Field(
        None, ge=1, description="c, experts each task keeps; default by the number of tasks."
    )
    tie_alphas: Literal["none", "levels", "all"] = Field(
        "none", description="Which experts share alphas; all is hom Expert."
    )
    towers: tuple[Width, ...] = Field(
        (128, 64), max_length=16, description="Hidden widths of each task's tower."
    )
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout after each candidate.")
    batch_norm: bool = Field(
        True, description="BatchNorm in and after each candidate and in the towers."
    )
    recommended: dict[str, Any] = Field(
        default_factory=dict, description="Config sections that the space's author recommends."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for place, blocks in (("interaction", self.interaction), ("expert", self.expert)):
            operations = [
                Operation.parse(block, place, f"{place}[{i}]") for i, block in enumerate(blocks)
            ]
            if len(set(operations)) != len(operations):
                raise ConfigError(place, "must name each candidate once", ", ".join(blocks))
            self._check_widths(place, operations)
        if self.chosen_experts is not None and self.chosen_experts > self.num_experts:
            raise ConfigError(
                "chosen_experts",
                f"must be at most num_experts = {self.num_experts}",
                self.chosen_experts,
            )
        return self

    def _check_widths(self, place: str, operations: list[Operation]) -> None:
        for operation in operations:
            if operation.name == "dense" and operation.argument != self.expert_dim:
                rule = f"dense(u) may be searched only with u = expert_dim = {self.expert_dim}"
                raise ConfigError(
                    place, rule, operation, "every candidate keeps the expert's width"
                )
            if operation.name == "self_attention" and self.embedding_dim % int(
                operation.argument or 1
            ):
                rule = f"the embedding width must be divisible by the heads of {operation}"
                raise ConfigError(
                    "embedding_dim",
                    rule,
                    self.embedding_dim,
                    "change the width or drop that candidate",
                )

    @property
    def interaction_operations(self) -> tuple[Operation, ...]:
        """Candidates of an interaction block, in the order of its alpha."""
        return tuple(Operation.parse(block, "interaction") for block in self.interaction)

    @property
    def expert_operations(self) -> tuple[Operation, ...]:
        """Candidates of an expert's block, in the order of its alpha."""
        return tuple(Operation.parse(block, "expert") for block in self.expert)

    def chosen(self, num_tasks: int) -> int:
        """c: the set number of experts per task, or ceil(.75 N) for T <= 2, ceil(.5 N) for T = 3,
        ceil(.375 N) for more.
        """
        if self.chosen_experts is not None:
            return self.chosen_experts
        share = 0.75 if num_tasks <= 2 else 0.5 if num_tasks == 3 else 0.375
        return math.ceil(share * self.num_experts)

    def tie(self, slot: Slot, block: int) -> object:
        """What says which experts' blocks share an alpha: blocks with equal ties do."""
        return {"none": (slot, block), "levels": (slot.owner, slot.index, block), "all": block}[
            self.tie_alphas
        ]

    def size(
        self, num_tasks: int, sharing: str = "selected", settings: dict[str, Any] | None = None
    ) -> int:
        """How many architectures it holds: ``|I|^i * |B|^(n * slots) * C(N, c)^T`` (docs/maths.md;
        the last factor for `selected`).
        """
        slots = layout(
            sharing,
            num_tasks=num_tasks,
            num_experts=self.num_experts,
            settings=sharing_settings(sharing, settings or {}),
        )
        groups = {"none": len(slots), "levels": len({(s.owner, s.index) for s in slots}), "all": 1}[
            self.tie_alphas
        ]
        size: int = len(self.interaction) ** self.num_interaction_blocks * len(self.expert) ** (
            self.num_blocks * groups
        )
        return (
            size * math.comb(self.num_experts, self.chosen(num_tasks)) ** num_tasks
            if SHARING[sharing].uses_beta
            else size
        )

    def paper_size(self, num_tasks: int) -> int:
        """The size as paper section 3.3.4 counts it: skip left out of ``|I|`` and ``|B|``, and
        C(N, c) * T instead of C(N, c)^T.
        """
        interaction, expert = (
            len([b for b in blocks if b != "skip"]) for blocks in (self.interaction, self.expert)
        )
        chosen = math.comb(self.num_experts, self.chosen(num_tasks))
        size: int = (
            interaction * expert ** (self.num_blocks * self.num_experts) * chosen * num_tasks
        )
        return size

    @classmethod
    def load(cls, source: str | Path) -> "SearchSpace":
        """Read a space file, or a shipped one by name; an existing path wins.

        Raises:
            ConfigError: no such file or name, or the file has faults; every fault is listed.
        """
        path = Path(source)
        if not path.is_file():
            known = shipped_spaces()
            if str(source) not in known:
                raise ConfigError(
                    source,
                    "must be a space file or a shipped name",
                    "neither",
                    nearest(str(source), sorted(known)),
                )
            path = known[str(source)]
        return build(cls, load_yaml(path), path)


def rounded(count: int, figures: int = 3) -> str:
    """A whole number in a few figures, be it larger than any float: 1.23e+456."""
    if count < 10**300:
        return f"{count:.{figures}g}"
    power = math.log10(count)
    return f"{10 ** (power % 1):.{figures - 1}f}e+{int(power)}"


def shipped_spaces() -> dict[str, Path]:
    """The spaces that come with the package, by name."""
    folder = package_files("automtl.search_spaces")
    return {Path(str(f)).stem: Path(str(f)) for f in folder.iterdir() if f.name.endswith(".yaml")}
