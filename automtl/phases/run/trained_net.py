"""A network with its optimiser and balancer, trained by the settings of a retrain."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from automtl.data.store.batches import Batch
from automtl.models.derived import IndependentNets, build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.phases.run.device import compile_net
from automtl.phases.run.session import Session
from automtl.sharing.base import Stage
from automtl.spaces.architecture import Architecture
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.losses import Losses
from automtl.training.optim.optimizers import (
    OptimizerSettings,
    check_fit,
    make_optimizer,
    set_rates,
)
from automtl.training.step import train_step
from automtl.training.step.guard import Guard


def fresh_net(
    architecture: Architecture,
    session: Session,
    *,
    seed: int,
    generator: torch.Generator,
    compiled: bool = False,
) -> nn.Module:
    """An architecture's network with fresh weights, on the session's device.

    Args:
        architecture: bound to the session's data.
        session: data, device, settings.
        seed: of the weights.
        generator: source of dropout and gate noise.
        compiled: by torch.compile.
    """
    net = build_model(
        architecture,
        session.schema,
        seed=seed,
        sparse=OptimizerSettings.of(session.config.retrain).sparse,
        generator=generator,
        max_parameters=session.config.runtime.max_parameters,
    ).to(session.device)
    session.load_pretrained(net)
    if compiled:
        compile_net(net)
    return net


def networks_of(net: nn.Module, num_tasks: int) -> list[tuple[MultiTaskNet, list[int]]]:
    """A model's own networks with the numbers of their tasks: one network of all, or one per task
    for ``single_task``.
    """
    if isinstance(net, IndependentNets):
        pairs = [(own, [task]) for task, own in zip(range(num_tasks), net.nets, strict=True)]
    else:
        pairs = [(net, list(range(num_tasks)))]
    for own, _ in pairs:
        assert isinstance(own, MultiTaskNet)
    return pairs  # type: ignore[return-value] # just asserted


class TrainedNet:
    """One network and what trains it.

    Args:
        session: data, device, settings.
        guard: looks for losses that are not finite.
        net: the whole model, or one task's own.
        columns: its tasks' numbers.
        length: how many epochs a stage has.

    Attributes:
        tasks: that it serves.
        optimizer: there from the first ``renew_optimizer()`` on.
    """

    def __init__(
        self,
        session: Session,
        guard: Guard,
        net: MultiTaskNet,
        columns: list[int],
        *,
        length: Callable[[Stage], int],
    ) -> None:
        self.net, self.columns = net, columns
        self.guard = guard
        self.tasks = [session.schema.tasks[c] for c in columns]
        self._session, self._settings = session, session.config.retrain
        self._rates = OptimizerSettings.of(self._settings)
        check_fit(net, self._rates, length=length)
        balancing = BalancingSettings(**self._settings.balancing.given())
        self.balancer = make_balancer(balancing, self.tasks, net, ranks=session.ranks)

    def renew_optimizer(self) -> None:
        """Start with a fresh optimiser of the parameters that are trained now."""
        self.optimizer = make_optimizer(self.net, self._rates)

    def own_columns(self, values: Any) -> Any:
        """The columns of its own tasks."""
        return None if values is None else values[:, self.columns]

    def step(self, batch: Batch, *, epoch: int, step: int, steps: int, epochs: int) -> Losses:
        """Update the weights on a batch, the `step`-th of `steps` of the `epoch`-th of `epochs`,
        both from 0.
        """
        set_rates(self.optimizer, self._rates, epoch=epoch, share=(step + 1) / steps, epochs=epochs)
        self.net.sharing.advance((epoch + step / steps) / epochs)
        if len(self.columns) < batch.labels.shape[1]:
            batch = replace(
                batch,
                labels=batch.labels[:, self.columns],
                weights=self.own_columns(batch.weights),
            )
        return train_step(
            self.net,
            batch,
            self.tasks,
            optimizer=self.optimizer,
            balancer=self.balancer,
            guard=self.guard,
            autocast=self._session.autocast,
            clip_norm=self._settings.clip_norm,
        )
