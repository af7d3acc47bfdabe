"""What every sharing module of this room has beside the maths of its system: arguments that a
person has at hand, and refusals in their terms.

Legend: B rows, F fields, d their width, D width of the experts' input, T tasks.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from automtl.errors import ConfigError, counted
from automtl.nn._experts import Builder, is_count, level_of, levels_of, single
from automtl.sharing.base import Encode, SharingModule, Stage
from automtl.spaces.catalogue import SHARING, fit_sharing, module_settings, sharing_settings
from automtl.spaces.kinds import layout
from automtl.strict import nearest


class Plain(SharingModule):
    """A sharing system as a plain module; mixed in before the system's own class.

    Args:
        experts: see the classes.
        tasks: how many, or their names.
        width_in: D; None for the F * d of `field_shape`.
        num_experts: of a level of the pool, for a kind that has one; None for as many as there are
            modules, or `usual_experts`.
        levels: how many, for a kind that has several.
        field_shape: F and d, for a module that masks fields.
        chosen: per task the positions of its experts.
        generator: source of noise; None for torch's own.
        settings: of the kind.

    Raises:
        ConfigError: an argument that cannot be meant, or that does not fit the others.
    """

    usual_experts: ClassVar[int] = 8

    def __init__(  # noqa: PLR0913 # the classes' own, once for all
        self,
        experts: object,
        *,
        tasks: int | Sequence[str],
        width_in: int | None,
        num_experts: int | None = None,
        levels: int | None = None,
        field_shape: tuple[int, int] | None = None,
        chosen: Sequence[Sequence[int]] | None = None,
        generator: torch.Generator | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        where = type(self).__name__
        kind = self.kind
        names = task_names(type(self).__name__, tasks)
        signature = SHARING[kind]
        given = {name: _python(value) for name, value in (settings or {}).items()}
        field_shape = None if field_shape is None else tuple(_python(field_shape))
        if "levels" in signature.settings:
            modules = levels_of(f"{where} experts", experts, levels)
            given["levels"] = len(modules)
        elif signature.slots in ("shared", "base"):
            modules = [single(f"{where} expert", experts)]
        else:
            modules = [level_of(f"{where} experts", experts)]
        count = self._pool_size(where, modules, num_experts) if signature.slots == "pool" else 1
        complete = sharing_settings(kind, given, where)
        kinds = dict.fromkeys(names, "binary")
        fit_sharing(kind, complete, num_experts=count, tasks=kinds, where=where)
        slots = layout(
            kind, num_tasks=len(names), num_experts=count, settings=complete, names=names
        )
        copied = signature.slots == "base"
        socket: dict[str, Any] = {
            "build": Builder(f"{where} experts", modules, slots, names, copied=copied),
            "tasks": names,
            "width_in": _width(where, width_in, field_shape),
            "slots": slots,
            "field_shape": field_shape,
            "chosen": chosen,
            "generator": generator,
        }
        super().__init__(**socket, **module_settings(kind, complete))
        self._begun = self._untold = False  # a stage; that training goes on without one

    def _pool_size(self, where: str, levels: Sequence[object], count: int | None) -> int:
        """How many experts a level has: as many as there are modules, else as told."""
        if count is not None and not is_count(count):
            raise ConfigError(f"{where} num_experts", "must be a whole number above 0", repr(count))
        lengths = [len(level) for level in levels if isinstance(level, list)]
        if not lengths:
            return self.usual_experts if count is None else count
        wanted = lengths[0] if count is None else count
        if any(length != wanted for length in lengths):
            rule = f"must be {counted(wanted, 'module')} on each level, as "
            rule += "the first has" if count is None else "num_experts says"
            raise ConfigError(f"{where} experts", rule, ", ".join(map(str, lengths)))
        return wanted

    def forward(self, fields: Tensor, encode: Encode | None = None) -> list[Tensor]:
        """One representation per task; see the class. `encode` stands between masked fields and
        experts.
        """
        shape = (self.width_in,) if self.field_shape is None else self.field_shape
        if tuple(fields.shape[1:]) != shape and (encode is None or self.field_shape is not None):
            rule = f"must be given (B, {', '.join(map(str, shape))})"
            if self.field_shape is not None:
                rule += ": rows of fields, each a vector, since it masks them"
            raise ConfigError(type(self).__name__, rule, tuple(fields.shape))
        if self.training and not self._begun:
            self._untold = True
        return super().forward(fields, encode)

    def train(self, mode: bool = True) -> Self:
        """As of any module; after a training that began no stage, evaluation warns where stages
        decide something.
        """
        names = [stage.name for stage in self.stages()]
        acts = getattr(super().begin, "__func__", None) is not SharingModule.begin
        if not mode and self._untold and acts and len(names) > 1:
            self._untold = False
            warnings.warn(
                f"{type(self).__name__} was trained in none of its stages ({', '.join(names)}): "
                f"nothing was selected for good; call begin({names[0]!r}) before the first step, "
                "see docs/nn.md",
                stacklevel=2,
            )
        super().train(mode)
        return self

    def _load_from_state_dict(self, *state: Any) -> None:
        self._begun = True  # in what the state says
        super()._load_from_state_dict(*state)

    def share(self, shared: Tensor) -> list[Tensor]:
        """One representation per task from the experts' input."""
        if shared.shape[-1] != self.width_in:
            rule = f"must get (B, {self.width_in}) from what stands before its experts"
            raise ConfigError(type(self).__name__, rule, tuple(shared.shape))
        return super().share(shared)

    def auxiliary_loss(
        self, outputs: Sequence[Tensor] | None = None, labels: Tensor | None = None
    ) -> Tensor:
        """What the system adds to the training loss beside the tasks' own losses: a number with a
        gradient, 0 where there is nothing.

        Args:
            outputs: the tasks' logits, (B,) each; only `AITM` with a `calibration` needs them.
            labels: (B, T); no system of this room needs them.
        """
        loss = super().auxiliary_loss(outputs, labels)
        if loss is None:
            return next(b for b in self.buffers() if b.is_floating_point()).new_zeros(())
        return loss

    def advance(self, progress: float) -> None:
        """Set what follows a schedule, such as a temperature, before a step.

        Args:
            progress: the share of the stage's steps that is done, from 0 to 1.

        Raises:
            ConfigError: it is none.
        """
        if not 0 <= progress <= 1:
            rule = "must be given the share of the stage's steps that is done, from 0 to 1"
            fix = "step / steps of this stage"
            raise ConfigError(f"{type(self).__name__}.advance", rule, progress, fix)
        super().advance(progress)

    def begin(self, stage: Stage | str) -> None:
        """Make ready for one of ``stages()``; parameters may change, so make the optimiser after
        it.

        Raises:
            ConfigError: it has no such stage.
        """
        name = stage.name if isinstance(stage, Stage) else stage
        known = [own.name for own in self.stages()]
        if name not in known:
            rule = f"must be one of its stages: {', '.join(known)}"
            raise ConfigError(
                f"{type(self).__name__}.begin", rule, repr(name), nearest(name, known)
            )
        self._begun, self._untold = True, False
        super().begin(name)


def task_names(where: str, tasks: object) -> tuple[str, ...]:
    """The names of tasks that are given by names or by their number."""
    rule = "must be a number above 0, or names, each once"
    if is_count(tasks):
        return tuple(f"task{t}" for t in range(int(tasks)))
    if isinstance(tasks, Sequence) and not isinstance(tasks, str):
        names = tuple(tasks)
        if names and all(isinstance(n, str) and n for n in names) and len({*names}) == len(names):
            return names
    raise ConfigError(f"{where} tasks", rule, repr(tasks)[:100])


def _width(where: str, width: int | None, field_shape: tuple[int, int] | None) -> int:
    sizes = [] if field_shape is None else [*field_shape]
    if field_shape is not None and (len(sizes) != 2 or not all(map(is_count, sizes))):
        rule = "must be the number of fields and the width of their vectors"
        raise ConfigError(f"{where} field_shape", rule, repr(field_shape))
    if width is None and sizes:
        return sizes[0] * sizes[1]
    if width is None or not is_count(width):
        rule = "must be the width of the rows it is given, a whole number above 0"
        raise ConfigError(f"{where} width_in", rule, repr(width))
    return width


def _python(value: Any) -> Any:
    """A setting with Python's numbers in place of NumPy's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _python(item) for key, item in value.items()}
    return [_python(item) for item in value] if isinstance(value, list | tuple) else value
