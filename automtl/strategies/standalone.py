"""A discrete architecture trained briefly by itself, as random search and rank correlation
need it.
"""

from collections.abc import Iterator
from typing import Any

from automtl.data.store.batches import Batch
from automtl.models.derived import build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.spaces.architecture import Architecture
from automtl.strategies.protocol import SearchContext
from automtl.training.balancing import make_balancer
from automtl.training.checkpoint_state import State, load_net_state, parse
from automtl.training.loop import StepEvent, run_steps
from automtl.training.losses import Losses
from automtl.training.optim.optimizers import OptimizerSettings, make_optimizer
from automtl.training.step import train_step

WEIGHT_DECAY, CLIP_NORM = 1e-4, 5.0  # the retrain phase's defaults


class _State(State):
    """State of a training."""

    net: Any
    adam: Any
    balancer: dict[str, Any]


class StandAlone:
    """One architecture with fresh weights, trained by Adam as a retrain does.

    Args:
        architecture: bound to the data set.
        context: data, device, noise.
        seed: of the weights.
        lr: Adam rate.
    """

    def __init__(
        self, architecture: Architecture, context: SearchContext, *, seed: int, lr: float
    ) -> None:
        # part of a supernet
        net = build_model(
            architecture,
            context.schema,
            seed=seed,
            generator=context.generator,
            max_parameters=None,
        )
        context.load_pretrained(net)
        net.to(context.device)
        assert isinstance(net, MultiTaskNet), "kinds that can stand in a supernet share one network"
        self.net = net
        self.tasks = context.schema.tasks
        self._device = context.device
        self._autocast = context.autocast
        self._guard = context.guard
        self.balancer = make_balancer(
            context.settings.balancing, context.schema.tasks, net, ranks=context.ranks
        )
        self._adam = make_optimizer(net, OptimizerSettings(lr=lr, weight_decay=WEIGHT_DECAY))

    def train(
        self, batches: Iterator[Batch], *, epoch: int, steps: int, start: int = 0
    ) -> Iterator[StepEvent]:
        """The steps from `start` to `steps` - 1, with an event after each; `epoch` is what the
        events say.
        """

        def update(step: int, batch: Batch) -> Losses:
            self.net.sharing.advance(step / steps)
            return self._step(batch)

        yield from run_steps(
            update, batches, epoch=epoch, steps=steps, start=start, device=self._device
        )

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs beside the noise."""
        return {
            "net": self.net.state_dict(),
            "adam": self._adam.state_dict(),
            "balancer": self.balancer.state_dict(),
        }

    def load_state_dict(self, state: Any) -> None:
        """Go on from ``state_dict()``."""
        parse(_State, state, "model")
        load_net_state(self.net, state["net"], "model.net")
        self._adam.load_state_dict(state["adam"], "model.adam")
        self.balancer.load_state_dict(state["balancer"])

    def _step(self, batch: Batch) -> Losses:
        return train_step(
            self.net,
            batch,
            self.tasks,
            optimizer=self._adam,
            balancer=self.balancer,
            guard=self._guard,
            autocast=self._autocast,
            clip_norm=CLIP_NORM,
        )
