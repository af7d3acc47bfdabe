"""One architecture in training by itself, as tables and races train it: on fit rows, by a retrain's
settings, for a fixed number of steps; and the constant that it is judged beside.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from automtl.data.store.batches import Batch
from automtl.errors import ConfigError
from automtl.models.skeleton import MultiTaskNet
from automtl.phases.run.faults import make_guard
from automtl.phases.run.session import Seeds, Session
from automtl.phases.run.trained_net import TrainedNet, fresh_net, networks_of
from automtl.spaces.architecture import Architecture
from automtl.training.checkpoint_state import State, load_net_state, parse, require
from automtl.training.losses import Losses
from automtl.training.metrics.evaluation import Predictions


class _State(State):
    """The state of a model; its parts check their own."""

    net: Any
    parts: tuple[dict[str, Any], ...]
    noise: torch.Tensor
    guard: Any


def one_stage_networks(net: nn.Module, num_tasks: int) -> list[tuple[MultiTaskNet, list[int]]]:
    """As ``networks_of``, each ready for the one stage that it trains in.

    Raises:
        ConfigError: its sharing kind trains in several stages, each of its own length.
    """
    networks = networks_of(net, num_tasks)
    for own, _ in networks:
        if len(stages := own.sharing.stages()) > 1:
            names = ", ".join(stage.name for stage in stages)
            raise ConfigError(
                own.sharing.kind,
                "must train in one stage to be compared at equal rows",
                names,
                "leave it out",
            )
        own.sharing.begin(stages[0].name)
    return networks


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
        self.session, self.seeds = session, Seeds.of(seed)
        self._noise = torch.Generator(session.device).manual_seed(self.seeds.noise)
        self._net = fresh_net(architecture, session, seed=self.seeds.weights, generator=self._noise)
        self._guard = make_guard(session.config.runtime, session.device)
        self._parts = [
            TrainedNet(
                session, self._guard, net, columns, length=lambda _: session.config.retrain.epochs
            )
            for net, columns in one_stage_networks(self._net, len(session.schema.tasks))
        ]
        for part in self._parts:
            part.renew_optimizer()

    @property
    def net(self) -> nn.Module:
        """The network, all rows of its tables up to date."""
        for part in self._parts:
            part.optimizer.flush()
        return self._net

    def step(
        self, batch: Batch, *, epoch: int = 0, step: int = 0, steps: int = 1, epochs: int = 1
    ) -> Losses:
        """Update the weights on a batch, the `step`-th of `steps` of the `epoch`-th of `epochs`,
        both from 0.
        """
        losses = [
            part.step(batch, epoch=epoch, step=step, steps=steps, epochs=epochs)
            for part in self._parts
        ]
        if len(losses) == 1:
            return losses[0]
        total = torch.stack([loss.total for loss in losses]).mean()
        sums, weights = (
            torch.cat([getattr(loss, name) for loss in losses]) for name in ("sums", "weights")
        )
        return Losses(total, sums, weights, tuple(p for loss in losses for p in loss.parts))

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
            "guard": self._guard.state_dict(),
        }

    def load_state_dict(self, state: Any) -> None:
        """Go on from a ``state_dict()``.

        Raises:
            AutoMTLError, RuntimeError: it is of another model.
        """
        parsed = parse(_State, state, "model")
        require(
            len(parsed.parts) == len(self._parts),
            "model.parts",
            f"must be {len(self._parts)}, one per network",
            len(parsed.parts),
        )
        load_net_state(self._net, state["net"], "model.net")
        for own, part in zip(self._parts, state["parts"], strict=True):
            own.optimizer.load_state_dict(part["optimizer"], "model.optimizer")
            own.balancer.load_state_dict(part["balancer"])
        self._noise.set_state(state["noise"])
        self._guard.load_state_dict(state["guard"])

    def look(self) -> None:
        """Look at all losses so far.

        Raises:
            NumericalError: one is not finite.
        """
        self._guard.look()

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the weights as they stand."""
        return {name: value.detach().clone() for name, value in self.net.state_dict().items()}

    def finish(self, weights: dict[str, torch.Tensor]) -> None:
        """Take the weights of the epoch that was picked, and give ids never met in training their
        rows.
        """
        self.net.load_state_dict(weights)
        for part in self._parts:
            part.net.fill_unknown(self.session.schema)


def constant_predictions(
    outputs: Sequence[np.ndarray],
    labels: np.ndarray,
    weights: np.ndarray | None,
    rows: np.ndarray,
) -> Predictions:
    """The predictions of a model that says the same of every row.

    Shape: of a task's output () or (K,), labels and weights (n, T), rows (n,).

    Args:
        outputs: per task, as its network would say them: a logit, K logits, or a value in
            standardised units.
        labels: of the rows.
        weights: of the labels.
        rows: numbers of the rows in their split.
    """
    repeated = [
        np.broadcast_to(output, (len(rows), *output.shape)).astype(np.float32) for output in outputs
    ]
    return Predictions(repeated, labels, weights, rows)
