"""A trainer's part of a retrain's checkpoint, and where a trainer can stand."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field

from automtl.sharing.base import Stage
from automtl.training.checkpoint_state import Costs, Count, Number, State, Tensors
from automtl.training.metrics.evaluation import Evaluation

PLACE = ("number", "begun", "epoch", "step", "best_epoch")  # where a trainer is, in its state


class Judged(State):
    """Validation before a later stage."""

    tasks: dict[str, dict[str, Number | None]]
    loss: Number


class TrainerState(State):
    """The place of a trainer."""

    number: Count
    begun: bool
    epoch: Count
    step: Count
    best_epoch: Annotated[int, Field(ge=-1)]


class BegunState(TrainerState):
    """The state of a trainer inside a stage; optimiser, balancer and the others check their own."""

    first: Count
    start: Judged | None
    best: Tensors
    balancing: Costs
    optimizer: Any
    balancer: dict[str, Any]
    stopping: dict[str, Any]
    running: Any
    frozen: tuple[str, ...]  # parameters that the stage does not train


def epoch_line(losses: Mapping[str, float | None], validation: Evaluation, mark: str) -> str:
    """An epoch in one line: training and validation losses, and AUCs."""
    aucs = ", ".join(
        f"{n} AUC {m['auc']:.4f}" for n, m in validation.tasks.items() if m.get("auc") is not None
    )
    total = "undefined" if losses["total"] is None else f"{losses['total']:.5f}"
    return f"train loss {total}, validation MTL-Loss {validation.loss_text}{mark}; {aucs}"


def horizon(
    stages: Sequence[Stage],
    lengths: Sequence[int],
    place: tuple[int, int, int | None],
    patience: int,
) -> int:
    """The epochs after which a training ends if none to come is better than the best so far; of a
    stage to come, the first epoch is its best.

    Args:
        stages: of the training.
        lengths: their epochs at most.
        place: the running stage, its first epoch and its best so far.
        patience: epochs in a row without gain that end a judged stage.
    """
    number, first, best = place
    epochs = first
    for i in range(number, len(stages)):
        start = 0 if i > number or best is None else best - first
        least = min(lengths[i], start + patience + 1)
        epochs += least if stages[i].judged else lengths[i]
    return epochs


def stands(state: TrainerState, *, lengths: list[int], steps: int) -> bool:
    """Whether a trainer can be where a state says it is: `lengths` are its stages' epochs, `steps`
    those of an epoch.
    """
    if not isinstance(state, BegunState):
        fresh = state.number == state.epoch == 0 and state.best_epoch == -1
        return (
            state.number in (0, len(lengths))
            and state.step == 0
            and (fresh or state.number > 0)
            and state.best_epoch < max(state.epoch, 1)
        )
    if state.number >= len(lengths) or not state.begun:
        return False
    inside = state.first <= state.epoch <= state.first + lengths[state.number]
    return inside and state.step <= steps and state.best_epoch < max(state.epoch, 1)


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state whose tensors are copies."""
    return {
        name: value.detach().clone() if isinstance(value, torch.Tensor) else value
        for name, value in state.items()
    }


def plain(validation: Evaluation) -> dict[str, Any]:
    """The figures that a later stage's first line tells."""
    return {"tasks": validation.tasks, "loss": validation.loss}
