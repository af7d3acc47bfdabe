"""Steps of a supernet's weights, tables and beta on fit rows (AutoMTL, Algorithm 1)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from automtl.data.store.batches import Batch
from automtl.data.store.schema import Schema
from automtl.layers.normalization import tracking
from automtl.models.supernet import Supernet, frozen
from automtl.ranks import ALONE, Ranks
from automtl.sharing.base import torch_groups
from automtl.strategies.darts_settings import DartsSettings
from automtl.strategies.ledger import Kind
from automtl.training.balancing import make_balancer
from automtl.training.checkpoint_state import load_optimizer_state
from automtl.training.losses import Losses, jsd_loss, multi_task_loss, task_weights
from automtl.training.optim.clipping import clip_grad_norm
from automtl.training.optim.optimizers import make_table_optimizer
from automtl.training.optim.schedules import auxiliary_skip, cosine_lr, jsd_weight
from automtl.training.step.guard import Guard


class WeightSteps:
    """Trains weights, tables and, after warm-up, beta of a supernet on fit rows; alpha stays.

    Args:
        net: the supernet; its tables must give sparse gradients.
        schema: the data set's tasks.
        settings: hyper-parameters.
        autocast: makes the context of each forward pass; losses and optimisers are outside.
        guard: looks for losses that are not finite; default one that stops.
        ranks: the processes that train the supernet together.

    Attributes:
        spend: called at every use of a batch with its kind and rows, as the net then stands; by
            default nothing is recorded.
    """

    partial_steps = False  # a step may leave weights without a gradient

    def __init__(
        self,
        net: Supernet,
        schema: Schema,
        settings: DartsSettings,
        *,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        guard: Guard | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.net = net
        self.schema = schema
        self.settings = settings
        self._autocast = autocast
        self._guard = guard or Guard()
        self.spend: Callable[[Kind, int], None] = lambda kind, rows: None
        self.epoch = 0
        self._weights, self._tables = net.weights(), net.tables()
        self._tracking = tracking(net)
        self._alphas, self._betas = net.alpha_parameters(), net.beta_parameters()
        # their own rates are meant for Adam; a search trains all weights at one rate
        apart = [replace(group, lr=None) for group in net.sharing.parameter_groups()]
        groups = torch_groups(self._weights, apart)
        self._sgd = torch.optim.SGD(
            groups,
            lr=settings.weight_lr,
            momentum=settings.weight_momentum,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        for group in self._sgd.param_groups:
            group["initial_lr"] = group["lr"]
        self.balancer = make_balancer(
            settings.balancing, schema.tasks, net, outside=self._betas, ranks=ranks
        )
        self.replica = self.balancer.replica
        # torch's fused SGD refuses parameters with and without momentum side by side
        if self.partial_steps or not self.balancer.plain:
            self._start_momentum()
        self._lazy = settings.embedding_optimizer == "lazy_adam"
        self._table_steps = [
            make_table_optimizer(
                settings.embedding_optimizer,
                table,
                momentum=settings.weight_momentum,
                weight_decay=0.0 if self._lazy else settings.weight_decay,
            )
            for table in self._tables
        ]
        self._beta_adam = (
            adam(self._betas, settings.beta_lr, settings.beta_decay) if self._betas else None
        )

    def _start_momentum(self) -> None:
        """Begin the momentum of weights that have none by 0, as a first step does."""
        for parameter in self._weights:
            self._sgd.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))

    @property
    def warming_up(self) -> bool:
        """Whether beta is still fixed."""
        return self.epoch < self.settings.warmup_epochs

    def begin_epoch(self, epoch: int) -> None:
        """Set lambda_t, w_JSD and the weights' rate for an epoch of the plan."""
        s, self.epoch = self.settings, epoch
        self._skip = s.auxiliary_skip * auxiliary_skip(epoch, s.epochs)
        self.net.set_auxiliary_skip(self._skip)
        self._jsd = jsd_weight(s.jsd_weight, epoch, s.epochs, s.warmup_epochs)
        self._lr = cosine_lr(s.weight_lr, epoch, s.epochs)
        self._table_lr = cosine_lr(s.embedding_lr, epoch, s.epochs) if self._lazy else self._lr
        for group in self._sgd.param_groups:
            group["lr"] = cosine_lr(group["initial_lr"], epoch, s.epochs)

    def _losses(self, outputs: list[Tensor], batch: Batch) -> Losses:
        """Losses of the whole step, over all ranks."""
        losses = multi_task_loss(self.schema.tasks, outputs, batch.labels, batch.weights)
        return self.replica.losses(losses, task_weights(self.schema.tasks))

    def _weight_step(self, batch: Batch) -> Losses:
        still = [*self._alphas, *(self._betas if self.warming_up else [])]
        self._catch_up(batch)
        self.spend("train", batch.step_size)
        self._guard.before(self.net)
        with frozen(still):
            with self._autocast():
                outputs = self.net(batch.inputs)
            losses = self._losses(outputs, batch)
            if self._guard.loss(losses, batch, self.schema.tasks):
                return losses.left_out()
            left_out = self._guard.backward(
                self.balancer, losses, self.auxiliary_loss(outputs, batch), batch
            )
        moving = [*self._weights, *self._tables, *self._betas]
        self.replica.add_up(moving, self.balancer.summed)
        left_out = left_out or self._guard.norm(
            clip_grad_norm([*self._weights, *self._tables], self.settings.clip_norm), batch
        )
        if not left_out:
            self._update()
        self._forget()
        return losses.left_out() if left_out else losses

    def _update(self) -> None:
        """One step of every optimiser but alpha's."""
        self._sgd.step()
        for optimizer in self._table_steps:
            optimizer.step(self._table_lr)
        if self._beta_adam is not None and not self.warming_up:
            self._beta_adam.step()

    def _forget(self) -> None:
        """Forget all gradients but alpha's."""
        self._sgd.zero_grad()
        for optimizer in self._table_steps:
            optimizer.zero_grad()
        if self._beta_adam is not None:
            self._beta_adam.zero_grad()

    def auxiliary_loss(self, outputs: list[Tensor], batch: Batch) -> Tensor | None:
        """What weights and beta lower beside the tasks' losses: w_JSD L_JSD after warm-up, and the
        sharing module's own.
        """
        extra = self.net.sharing.auxiliary_loss(outputs, batch.labels)
        if self._betas and not self.warming_up:
            jsd = self._jsd * jsd_loss(self._betas[0])
            extra = jsd if extra is None else jsd + extra
        return None if extra is None else self.replica.share(extra, batch)

    def _catch_up(self, batch: Batch) -> None:
        """Make ready for a forward pass on a batch."""
        self.replica.begin()
        touched = self.replica.rows(self.net.touched_rows(batch.inputs))
        for optimizer, rows in zip(self._table_steps, touched, strict=True):
            optimizer.catch_up(rows)

    def end_epoch(self) -> None:
        """Apply what the tables' deferred updates still owe."""
        for optimizer in self._table_steps:
            optimizer.flush()

    def _weight_state(self) -> dict[str, Any]:
        """States of all optimisers but alpha's; schedules follow from the epoch."""
        return {
            "epoch": self.epoch,
            "sgd": self._sgd.state_dict(),
            "tables": [optimizer.state_dict() for optimizer in self._table_steps],
            "beta_adam": None if self._beta_adam is None else self._beta_adam.state_dict(),
            "balancer": self.balancer.state_dict(),
        }

    def _load_weight_state(self, state: Any) -> None:
        """Go on from ``_weight_state()``, whose form was checked."""
        load_optimizer_state(self._sgd, state["sgd"], "sgd")
        if self._sgd.state:
            self._start_momentum()  # of those that a state may lack
        for optimizer, saved in zip(self._table_steps, state["tables"], strict=True):
            optimizer.load_state_dict(saved)
        if self._beta_adam is not None:
            load_optimizer_state(self._beta_adam, state["beta_adam"], "beta_adam")
        self.balancer.load_state_dict(state["balancer"])
        self.begin_epoch(state["epoch"])


def adam(parameters: list[torch.nn.Parameter], lr: float, decay: float) -> torch.optim.Adam:
    """Adam as architecture parameters use it: betas (0.5, 0.999)."""
    return torch.optim.Adam(parameters, lr=lr, betas=(0.5, 0.999), weight_decay=decay, fused=True)
