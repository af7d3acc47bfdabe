"""First-order DARTS over the supernet, alternating with weight steps (AutoMTL, Algorithm 1)."""

from typing import Any

import torch
from torch import Tensor

from automtl.data.store.batches import Batch
from automtl.data.store.schema import Schema
from automtl.layers.normalization import frozen_statistics
from automtl.models.supernet import Supernet, frozen
from automtl.spaces.architecture import Architecture
from automtl.strategies._alpha_gradients import AlphaGradients
from automtl.strategies._weight_steps import WeightSteps, adam
from automtl.strategies.darts_settings import DartsSettings, make_pricing
from automtl.strategies.derive import choice_weights, derive, entropy
from automtl.strategies.monitor import alpha_figures
from automtl.strategies.pricing import ExpectedCost
from automtl.training.checkpoint_state import Count, State, load_optimizer_state, parse, require
from automtl.training.losses import Losses


class _State(State):
    """State of a stepper; the optimisers check their own parts."""

    epoch: Count
    sgd: Any
    tables: tuple[Any, ...]
    alpha_adam: Any
    beta_adam: Any
    balancer: dict[str, Any]
    gradients: Any


class Darts(WeightSteps):
    """Alternates an alpha step on A rows and a weight step (after warm-up a beta step too) on
    fit rows.

    Args:
        net: the supernet; its tables must give sparse gradients.
        schema: the data set's tasks.
        settings: hyper-parameters.
        given: what `WeightSteps` takes.
    """

    moves_alpha = True  # a step reads A rows

    def __init__(
        self, net: Supernet, schema: Schema, settings: DartsSettings, **given: Any
    ) -> None:
        super().__init__(net, schema, settings, **given)
        self.watch_alphas(0)
        self._alpha_adam = adam(self._alphas, settings.alpha_lr, settings.alpha_decay)
        self.pricing = make_pricing(net, schema, settings)
        weighed = self.pricing is not None and settings.cost_weight > 0
        self._expected_cost = (
            ExpectedCost(self.pricing, settings.cost_of) if weighed and self.pricing else None
        )

    def watch_alphas(self, batches: int) -> None:
        """Gather alpha's gradients over passes of so many batches; 0 gathers none."""
        self.gradients = AlphaGradients(self._alphas, batches)

    def step(self, alpha_batch: Batch | None, fit_batch: Batch) -> Losses:
        """Alpha on the A rows, then weights (and after warm-up beta) on the fit rows (Algorithm
        1, lines 3 to 6).
        """
        assert alpha_batch is not None
        self._alpha_step(alpha_batch)
        return self._weight_step(fit_batch)

    def _alpha_step(self, batch: Batch) -> None:
        """First order: w and beta as they stand, their gradients not computed, running statistics
        untouched.
        """
        self._catch_up(batch)
        self.spend("alpha", batch.step_size)
        with (
            frozen([*self._weights, *self._tables, *self._betas]),
            frozen_statistics(self._tracking),
        ):
            with self._autocast():
                outputs = self.net(batch.inputs)
            losses = self._losses(outputs, batch)
            if self._guard.loss(losses, batch, self.schema.tasks):
                return
            self.alpha_loss(losses, batch).backward()  # type: ignore[no-untyped-call]
        totals = self.replica.totals([alpha.grad for alpha in self._alphas], self._alphas)
        for alpha, gradient in zip(self._alphas, totals, strict=True):
            alpha.grad = gradient
        self._move_alpha()

    def _move_alpha(self) -> None:
        """One step of alpha by the gradients that it has."""
        self.gradients.add()
        self._alpha_adam.step()
        self._alpha_adam.zero_grad()

    def alpha_loss(self, losses: Losses, batch: Batch) -> Tensor:
        """What alpha is to lower: the loss, and where asked for the expected cost."""
        if self._expected_cost is None:
            return losses.total
        cost = self.settings.cost_weight * self._expected_cost()
        return losses.total + self.replica.share(cost, batch)

    def record(self) -> dict[str, Any]:
        """Schedules, mean and per-block entropy of alpha (nats), and softmax(beta) per task."""
        choices = choice_weights(self.net)
        entropies = {
            block: float(entropy(torch.tensor(list(w.values())))) for block, w in choices.items()
        }
        betas = {
            task.name: row.tolist()
            for task, row in zip(self.schema.tasks, self._softmax_beta(), strict=False)
        }
        cost = (
            {}
            if self._expected_cost is None
            else {"expected_cost": float(self._expected_cost().detach())}
        )
        balancing = self.balancer.record()
        return {
            **cost,
            **({"balancing": balancing} if balancing else {}),
            "lr": self._lr,
            "auxiliary_skip": self._skip,
            "jsd_weight": self._jsd,
            "entropy": sum(entropies.values()) / max(len(entropies), 1),
            "block_entropy": entropies,
            "expert_usage": betas,
            "choices": choices,
            **alpha_figures(choices),
        }

    def _softmax_beta(self) -> list[torch.Tensor]:
        return list(self._betas[0].detach().double().softmax(1)) if self._betas else []

    def derive(self) -> Architecture:
        """Argmax of every alpha, top c of every beta; within hard limits, the best that keeps
        them.
        """
        s = self.settings
        if self.pricing is not None and self.pricing.limits.active:
            return self.pricing.derive()
        return derive(self.net, self.schema, sharing=s.sharing, settings=s.sharing_settings)

    def state_dict(self) -> dict[str, Any]:
        """Optimisers' states and alpha's gradients; schedules follow from the epoch."""
        return {
            **self._weight_state(),
            "alpha_adam": self._alpha_adam.state_dict(),
            "gradients": self.gradients.state_dict(),
        }

    def load_state_dict(self, state: Any) -> None:
        """Go on from ``state_dict()``.

        Raises:
            AutoMTLError: it is none of these settings'.
        """
        saved = parse(_State, state, "stepper")
        require(
            saved.epoch < self.settings.epochs,
            "stepper.epoch",
            f"must be below {self.settings.epochs}",
            saved.epoch,
        )
        require(
            (saved.beta_adam is None) == (self._beta_adam is None),
            "stepper.beta_adam",
            "must be there where beta is searched, and nowhere else",
            "none" if saved.beta_adam is None else "one",
        )
        self._load_weight_state(state)
        load_optimizer_state(self._alpha_adam, state["alpha_adam"], "alpha_adam")
        self.gradients.load_state_dict(state["gradients"])
