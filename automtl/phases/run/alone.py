"""One architecture in training by itself, as tables and races train it: on fit rows, by a retrain's
settings, for a fixed number of steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from automtl.data.store.batches import Batch
from automtl.errors import ConfigError
from automtl.models.derived import IndependentNets, build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.phases.run.faults import make_guard
from automtl.phases.run.session import Seeds, Session
from automtl.spaces.architecture import Architecture
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import Balancer, BalancingSettings
from automtl.training.checkpoint_state import State, check, need, take_net
from automtl.training.losses import Losses
from automtl.training.optim.net_optimizer import NetOptimizer
from automtl.training.optim.optimizers import (
    OptimizerSettings,
    check_fit,
    make_optimizer,
    set_rates,
)
from automtl.training.step import train_step


class _State(State):
    """Of a model; its parts look at their own."""

    net: Any
    parts: tuple[dict[str, Any], ...]
    noise: torch.Tensor
    guard: Any


@dataclass(frozen=True)
class _Part:
    """A network of its own, the numbers of its tasks, and what trains it."""

    net: MultiTaskNet
    columns: list[int]
    optimizer: NetOptimizer
    balancer: Balancer


def networks(net: nn.Module) -> list[MultiTaskNet]:
    """A model's own networks: one, or one per task, each ready for the one stage that it trains in.

    Raises:
        ConfigError: its sharing kind trains in several stages, each of its own length.
    """
    nets: Sequence[nn.Module] = list(net.nets) if isinstance(net, IndependentNets) else [net]
    for own in nets:
        assert isinstance(own, MultiTaskNet)
        if len(stages := own.sharing.stages()) > 1:
            names = ", ".join(stage.name for stage in stages)
            raise ConfigError(
                own.sharing.kind,
                "must train in one stage to be compared at equal rows",
                names,
                "leave it out",
            )
        own.sharing.begin(stages[0].name)
    return nets  # type: ignore[return-value] # just asserted


class Model:
    """An architecture's network with fresh weights: the whole model, or one network per task for
    ``single_task``.

    Args:
        architecture: bound to the session's data.
        session: data, device, settings.
        seed: of weights, order of rows and noise.

    Raises:
        ConfigError: its sharing kind trains in several stages, each of its own length.
    """

    def __init__(self, architecture: Architecture, session: Session, seed: int) -> None:
        self.session, self.seeds, self.rates = (
            session,
            Seeds.of(seed),
            OptimizerSettings.of(session.config.retrain),
        )
        self._noise = torch.Generator(session.device).manual_seed(self.seeds.noise)
        most = session.config.runtime.max_parameters
        net = build_model(
            architecture,
            session.schema,
            seed=self.seeds.weights,
            sparse=self.rates.sparse,
            generator=self._noise,
            max_parameters=most,
        )
        self._net = net.to(session.device)
        session.start(self._net)
        self._guard = make_guard(session.config.runtime, session.device)
        tasks = list(range(len(session.schema.tasks)))
        apart = isinstance(net, IndependentNets)
        self._parts = [
            self._part(own, [t] if apart else tasks) for t, own in enumerate(networks(self._net))
        ]

    @property
    def net(self) -> nn.Module:
        """The network, all rows of its tables up to date."""
        for part in self._parts:
            part.optimizer.flush()
        return self._net

    def _part(self, net: MultiTaskNet, columns: list[int]) -> _Part:
        settings = self.session.config.retrain
        tasks = [self.session.schema.tasks[c] for c in columns]
        balancing = BalancingSettings(**settings.balancing.given())
        balancer = make_balancer(balancing, tasks, net, ranks=self.session.ranks)
        check_fit(net, self.rates, length=lambda _: settings.epochs)
        return _Part(net, columns, make_optimizer(net, self.rates), balancer)

    def step(
        self, batch: Batch, *, epoch: int = 0, step: int = 0, steps: int = 1, epochs: int = 1
    ) -> Losses:
        """Update the weights on a batch, the `step`-th of `steps` of the `epoch`-th of `epochs`,
        both from 0.
        """
        for part in self._parts:
            set_rates(
                part.optimizer, self.rates, epoch=epoch, share=(step + 1) / steps, epochs=epochs
            )
        losses = [self._step(part, batch, (epoch + step / steps) / epochs) for part in self._parts]
        if len(losses) == 1:
            return losses[0]
        total = torch.stack([loss.total for loss in losses]).mean()
        sums, weights = (
            torch.cat([getattr(loss, name) for loss in losses]) for name in ("sums", "weights")
        )
        return Losses(total, sums, weights, tuple(p for loss in losses for p in loss.parts))

    def _step(self, part: _Part, batch: Batch, progress: float) -> Losses:
        part.net.sharing.advance(progress)
        own = batch
        if len(part.columns) < batch.labels.shape[1]:
            weights = None if batch.weights is None else batch.weights[:, part.columns]
            own = replace(batch, labels=batch.labels[:, part.columns], weights=weights)
        return train_step(
            part.net,
            own,
            [self.session.schema.tasks[c] for c in part.columns],
            optimizer=part.optimizer,
            balancer=part.balancer,
            guard=self._guard,
            autocast=self.session.autocast,
            clip_norm=self.session.config.retrain.clip_norm,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs."""
        self._guard.look()
        return {
            "net": self._net.state_dict(),
            "parts": [
                {"optimizer": p.optimizer.state_dict(), "balancer": p.balancer.state_dict()}
                for p in self._parts
            ],
            "noise": self._noise.get_state(),
            "guard": self._guard.state(),
        }

    def load_state_dict(self, state: Any) -> None:
        """Go on from a ``state_dict()``.

        Raises:
            AutoMTLError, RuntimeError: it is of another model.
        """
        parsed = check(_State, state, "model")
        need(
            len(parsed.parts) == len(self._parts),
            "model.parts",
            f"must be {len(self._parts)}, one per network",
            len(parsed.parts),
        )
        take_net(self._net, state["net"], "model.net")
        for own, part in zip(self._parts, state["parts"], strict=True):
            own.optimizer.load_state_dict(part["optimizer"], "model.optimizer")
            own.balancer.load_state_dict(part["balancer"])
        self._noise.set_state(state["noise"])
        self._guard.load(state["guard"])

    def look(self) -> None:
        """Look at all losses so far.

        Raises:
            NumericalError: one is not finite.
        """
        self._guard.look()

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of the weights as they stand."""
        return {name: value.detach().clone() for name, value in self.net.state_dict().items()}

    def finish(self, state: dict[str, torch.Tensor]) -> None:
        """Take the weights of the epoch that was picked, and give ids never met in training their
        rows.
        """
        self.net.load_state_dict(state)
        for part in self._parts:
            part.net.fill_unknown(self.session.schema)
