"""The socket: what every sharing module takes and gives.

A sharing module owns the experts and turns the shared representation into one representation per
task. It is given an expert BUILDER, which it asks for the expert of each slot, so the same module
works with a person's own modules (``automtl.nn``), with the heterogeneous experts of a derived
architecture, and with mixed experts inside the supernet.

Shapes: B batch, F fields, d embedding width, D width of the experts' input, T tasks, N experts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from automtl.spaces.kinds import Slot


class Scratch:
    """A tensor of the running step, held between two calls; a deep copy of its owner starts with
    an empty one.
    """

    def __init__(self) -> None:
        self.value: Tensor | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Scratch":
        return Scratch()


Encode = Callable[[Tensor], Tensor]


# (slot, width_in) -> a module (B, width_in) -> (B, width); its width is its attribute `width_out`,
# or is found by a run of it.
ExpertBuilder = Callable[[Slot, int], nn.Module]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that an optimiser treats apart.

    Args:
        name: for people and checkpoints.
        parameters: none of them in another group.
        lr: Adam's rate for them; None for the training's own. A search trains all weights at its
            one rate.
        weight_decay: L2 decay; None for the training's own.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    lr: float | None = None
    weight_decay: float | None = None


def torch_groups(
    parameters: Iterable[nn.Parameter], apart: Iterable[ParameterGroup]
) -> list[dict[str, Any]]:
    """Groups for a torch optimiser: what is set apart with its own settings, then all the rest;
    empty groups left out.
    """
    groups: list[dict[str, Any]] = []
    for group in apart:
        own = {"lr": group.lr, "weight_decay": group.weight_decay}
        groups.append(
            {
                "name": group.name,
                "params": list(group.parameters),
                **{k: v for k, v in own.items() if v is not None},
            }
        )
    special = {id(p) for group in groups for p in group["params"]}
    groups.append({"name": "weights", "params": [p for p in parameters if id(p) not in special]})
    return [group for group in groups if group["params"]]


@dataclass(frozen=True)
class Stage:
    """One stage of training with its own length.

    >>> for stage in mtl.MSSM([32, 16], field_shape=(10, 8), tasks=2).stages():
    ...     print(stage.name, stage.steps, stage.judged)
    settle 400 False
    train None True

    Args:
        name: for records.
        epochs: planned epochs, at most the trainer's own number; None for that number.
        steps: planned steps instead, made up to whole epochs; likewise at most the trainer's own
            number of those.
        judged: it may stop early, and ends with its best epoch's weights; else it runs to its end
            and keeps the last.
        begins: where its weights begin: "on" as the stage before left them; "best" as the best
            epoch of the stage before did, by validation loss, though it was not judged; "anew" as
            before the first stage, but for what the sharing module has ``decided()``.
    """

    name: str
    epochs: int | None = None
    steps: int | None = None
    judged: bool = True
    begins: Literal["on", "best", "anew"] = "on"


def settling(steps: int, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages after one more, "settle", of `steps` steps in which no epoch is judged; 0 adds
    none.
    """
    return (Stage("settle", steps=steps, judged=False), *stages) if steps else stages


class SharingModule(nn.Module):
    """Base of the sharing modules.

    Args:
        build: makes the expert of a slot, given the width of its input.
        tasks: task names, in order; T = len(tasks).
        width_in: D, the width of what ``encode`` returns.
        slots: the slots to fill, as ``spaces.kinds.layout`` declares them for this kind.
        field_shape: F and d, for kinds that mask fields.
        chosen: per task the positions in the pool it may gate; None for all.
        generator: source of the module's noise.

    Attributes:
        kind: its name.
        width_out: of each task's representation.
        noisy: training draws numbers from `generator`.
        partial: a step may leave experts or weights out, whose gradients are zero then.
        normalised: as it begins, the weights that each unit gives sum to 1.

    The last three are what ``automtl.testing`` holds it to; a class or an instance may set them.
    """

    kind: ClassVar[str]
    width_out: list[int]
    noisy: bool = False
    partial: bool = False
    normalised: bool = True

    def __init__(
        self,
        *,
        build: ExpertBuilder,
        tasks: Sequence[str],
        width_in: int,
        slots: Sequence[Slot],
        field_shape: tuple[int, int] | None = None,
        chosen: Sequence[Sequence[int]] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.slots = tuple(slots)
        self.generator = generator
        self.width_in = width_in
        self.field_shape = field_shape
        self.chosen = chosen

    def forward(self, fields: Tensor, encode: Encode | None = None) -> list[Tensor]:
        """One representation per task.

        Args:
            fields: (B, F, d); without `encode` (B, D), for kinds that do not mask fields.
            encode: interaction and projection, (B, F, d) -> (B, D); called exactly once, be it on
                several masked copies of B rows. None for none.

        Returns:
            T tensors; the t-th is (B, width_out[t]).
        """
        return self.share(fields if encode is None else encode(fields))

    def share(self, shared: Tensor) -> list[Tensor]:
        """(B, D) -> T tensors (B, width_out[t]); what most kinds define."""
        raise TypeError(f"{type(self).__name__} must define share() or forward()")

    def auxiliary_loss(
        self, outputs: Sequence[Tensor] | None = None, labels: Tensor | None = None
    ) -> Tensor | None:
        """A term of the weight loss only: never of the alpha loss, early stop or MTL-Loss; None
        where there is none.
        """
        return None

    def gate_weights(self) -> dict[str, Tensor]:
        """Weights over experts, for pictures, per unit: of the last batch in training, else the
        mean over the rows evaluated since.
        """
        return {}

    def record(self) -> dict[str, Any]:
        """Plain JSON values for an epoch's line in metrics.jsonl, such as the experts that a gate
        has settled on.
        """
        return {}

    def advance(self, progress: float) -> None:
        """Set what follows a schedule (temperatures, smooth steps); called before each step. What
        it sets must be in ``state_dict()``.

        Args:
            progress: share of the planned steps of the stage that is done, in [0, 1].
        """

    def parameter_groups(self) -> list[ParameterGroup]:
        """Parameters that the optimiser must treat apart. Each stage may have other parameters in
        a group, or none, but the groups' names stay.
        """
        return []

    def stages(self) -> tuple[Stage, ...]:
        """The stages of a retrain, in order; a search has none."""
        return (Stage("train"),)

    def begin(self, stage: str) -> None:
        """Prepare for a stage; called once as it starts. The optimiser is made afterwards, so
        parameters may change.

        All that changes here must be in ``state_dict()``, and a fresh module's
        ``load_state_dict()`` must take it: a resumed retrain calls this for later stages only.
        Which parameters need no gradient is restored by the trainer.
        """

    def decided(self) -> frozenset[str]:
        """The entries of ``state_dict()`` that a stage keeps which begins "anew"."""
        return frozenset()

    def reads(self, task: int) -> frozenset[Slot]:
        """The slots whose experts task `task`'s representation may depend on."""
        return frozenset(self.slots)

    def pack(self) -> dict[str, Tensor]:
        """The state as a finished model is stored: all that evaluation needs, in as few bytes as
        the kind knows.
        """
        state: dict[str, Tensor] = self.state_dict()
        return state

    def unpack(self, packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state that ``pack`` packed, for ``load_state_dict``."""
        return dict(packed)

    def slot_weights(self) -> Tensor | None:
        """Share of each slot in each task's representation, (T, slots), by mean gate weight; None
        for a kind without such weights.
        """
        return None


def mix(weights: Tensor, experts: Sequence[Tensor]) -> Tensor:
    """sum_i weights_i E_i with weights (B, n) or (n,) and n experts (B, D) -> (B, D)."""
    mixed = weights[..., 0, None] * experts[0]
    for i in range(1, len(experts)):
        mixed = torch.addcmul(mixed, weights[..., i, None].expand_as(experts[i]), experts[i])
    return mixed
