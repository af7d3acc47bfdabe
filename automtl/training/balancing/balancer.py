"""Balancing: how the losses of several tasks become the one gradient that trains the weights.

Every method begins with shares w_k (they sum to 1) and multiplies what task k adds, w_k L_k, by a
factor c_k; c = 1 is plain training. Losses that are reported, early stop and the loss of alpha stay
those of the data set's shares. Here are the methods that weigh losses; those that look at the
tasks' gradients are in `_gradient_balancing.py`.

A task that has no label in a batch is left out of it: its term is in no graph, so that what only
this task reads gets no gradient at all (an optimiser passes over it, momentum and decay included),
and its own balancing parameters stay. To know which tasks these are, a step waits for the device,
unlike the plain one.

Legend: T tasks.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from automtl.data.store.schema import Task
from automtl.training.checkpoint_state import (
    Amount,
    Count,
    Number,
    State,
    load_tensors,
    parse,
    require,
)
from automtl.training.losses import Losses, combine, task_weights
from automtl.training.optim.lazy_adam import LazyAdam
from automtl.training.replica import Replica


@dataclass(frozen=True)
class BalancingSettings:
    """Settings of all methods; each reads its own.

    Args:
        method: a key of ``balancers.BALANCERS``.
        weights: weights of tasks by name, over the data set's; scaled to sum to 1.
        tables: whether embedding tables are among the shared parameters (methods on gradients).
        lr: Adam rate of the balancing parameters (uncertainty, gradnorm).
        gradnorm_alpha: strength of the pull towards equal training rates, at least 0; 0 asks for
            equal norms.
        cagrad_c: radius of the ball around the mean gradient, at least 0; 0 is plain training.
    """

    method: str = "fixed"
    weights: Mapping[str, float] | None = None
    tables: bool = True
    lr: float = 1e-3
    gradnorm_alpha: float = 1.5
    cagrad_c: float = 0.4


class Balancer:
    """Plain training: sum_k w_k L_k, and the base of the other methods.

    Args:
        tasks: of the network, in order.
        shares: w_k.
        settings: the method's own.
        replica: the network's copy on this rank; default of one process.

    Attributes:
        summed: after a backward pass, by `id`, the parameters whose gradients are added up over
            ranks already, since the method looked at them.
    """

    plain = True  # gradients are those of one loss that does not change; nothing is recorded

    def __init__(
        self,
        tasks: Sequence[Task],
        shares: Sequence[float],
        settings: BalancingSettings,
        *,
        replica: Replica | None = None,
    ) -> None:
        self.tasks = tuple(tasks)
        self.shares = tuple(shares)
        self.settings = settings
        self._as_data = self.shares == task_weights(self.tasks)
        self.replica = replica or Replica(nn.Module())
        self.summed: frozenset[int] = frozenset()

    def loss(self, losses: Losses) -> Tensor:
        """sum_k w_k L_k. Shape: ()."""
        if self._as_data:
            return losses.total
        return combine(torch.stack(losses.parts), losses.weights, self.shares)

    def backward(self, losses: Losses, extra: Tensor | None = None) -> None:
        """Add the gradients of the tasks' losses, balanced, and of `extra`, as it is, to the
        parameters'.

        Args:
            losses: of the batch, fresh from `multi_task_loss`.
            extra: auxiliary terms, (); they are not balanced.
        """
        loss = self.loss(losses)
        (loss if extra is None else loss + extra).backward()  # type: ignore[no-untyped-call]

    def record(self) -> dict[str, Any]:
        """Plain data on the steps since the last record; empty where there is nothing to tell."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs: tensors and JSON values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict()``.

        Raises:
            AutoMTLError: it is none of this method's.
        """
        require(
            set(state) == set(self.state_dict()),
            "balancer",
            f"must be of method {self.settings.method}",
            ", ".join(map(str, state))[:80] or "an empty state",
        )


class _Meter(State):
    """The state of a meter."""

    factors: tuple[Number, ...]
    counts: tuple[Count, ...]
    steps: Count
    passes: Count
    conflicts: Count
    compared: Count
    bytes: Count
    seconds: Amount


class Meter:
    """What the steps since the last record did: mean factors, backward passes, bytes and
    seconds.
    """

    def __init__(self, tasks: int) -> None:
        self.factors, self.counts = [0.0] * tasks, [0] * tasks
        self.steps = self.passes = self.conflicts = self.compared = self.bytes = 0
        self.seconds = 0.0

    def note(self, seen: Sequence[int], factors: Sequence[float], *, passes: int) -> None:
        """Take note of a step: the tasks in it, their factors c_k, and how often it went back
        through the network.
        """
        self.steps, self.passes = self.steps + 1, self.passes + passes
        for k, factor in zip(seen, factors, strict=True):
            self.factors[k] += factor
            self.counts[k] += 1

    def state_dict(self) -> dict[str, Any]:
        """What a record after a resume needs; plain values."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict()``.

        Raises:
            AutoMTLError: it is none of so many tasks.
        """
        saved = parse(_Meter, state, "balancer.meter")
        require(
            len(saved.factors) == len(saved.counts) == len(self.counts),
            "balancer.meter",
            f"must be of {len(self.counts)} tasks",
            f"{len(saved.factors)} factors and {len(saved.counts)} counts",
        )
        vars(self).update(state)

    def record(self, names: Sequence[str]) -> dict[str, Any]:
        """Mean factor of each task over the steps that had it, and the rest."""
        means = {
            name: f / n if n else None
            for name, f, n in zip(names, self.factors, self.counts, strict=True)
        }
        conflicts = {"conflicts": self.conflicts / self.compared} if self.compared else {}
        passes = self.passes / max(self.steps, 1)
        return {
            "weights": means,
            **conflicts,
            "backward_passes": passes,
            "extra_bytes": self.bytes,
            "seconds": self.seconds,
        }


class Adaptive(Balancer):
    """Base of the methods whose factors change: finds the tasks of a batch, and keeps the
    record.
    """

    plain = False

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.meter = Meter(len(self.tasks))

    def loss(self, losses: Losses) -> Tensor:
        raise TypeError(f"{type(self).__name__} descends no loss that stays the same")

    def backward(self, losses: Losses, extra: Tensor | None = None) -> None:
        started = time.perf_counter()
        self.summed = frozenset()
        seen = [k for k, weight in enumerate(losses.weights.tolist()) if weight > 0]
        self._values = (losses.sums / losses.weights).tolist()
        self._balanced(seen, [losses.parts[k] / losses.weights[k] for k in seen], extra)
        self.meter.seconds += time.perf_counter() - started

    def _balanced(self, seen: Sequence[int], means: Sequence[Tensor], extra: Tensor | None) -> None:
        """What `backward` says, given the tasks that have labels and their mean losses, () each; of
        several ranks, what this one's rows add to them: their values are in `_values`.
        """
        raise TypeError(f"{type(self).__name__} must define _balanced()")

    def _weighed(
        self,
        seen: Sequence[int],
        means: Sequence[Tensor],
        factors: Sequence[float],
        extra: Tensor | None,
    ) -> None:
        """One backward pass from sum_k w_k c_k L_k + extra."""
        terms = [
            self.shares[k] * factor * mean
            for k, mean, factor in zip(seen, means, factors, strict=True)
        ]
        terms += [] if extra is None else [extra]
        if terms:
            torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]
        self.meter.note(seen, factors, passes=1)

    def record(self) -> dict[str, Any]:
        record = {
            "method": self.settings.method,
            **self.meter.record([task.name for task in self.tasks]),
        }
        self.meter = Meter(len(self.tasks))
        return record

    def state_dict(self) -> dict[str, Any]:
        return {"meter": self.meter.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.meter.load_state_dict(state["meter"])


class Uncertainty(Adaptive):
    """Homoscedastic uncertainty (Kendall, Gal and Cipolla, CVPR 2018, eq. 7 and 10), one s_k = ln
    sigma_k^2 per task, from 0.

    A regression task adds w_k (exp(-s_k) L_k / 2 + s_k / 2), L_k its mean square; a classification
    task w_k (exp(-s_k) L_k + s_k / 2), L_k its cross entropy. s_k has its own Adam, without decay,
    that steps only where the batch has the task.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.scale = [0.5 if task.kind == "regression" else 1.0 for task in self.tasks]
        self.log_variance = OwnAdam(len(self.tasks), start=0.0, lr=self.settings.lr)

    def _balanced(self, seen: Sequence[int], means: Sequence[Tensor], extra: Tensor | None) -> None:
        logs = self.log_variance.values()
        factors = [self.scale[k] * (-logs[k]).exp().item() for k in seen]
        self._weighed(seen, means, factors, extra)
        # d/ds of w (scale exp(-s) L + s / 2)
        slopes = [
            self.shares[k] * (0.5 - c * self._values[k]) for k, c in zip(seen, factors, strict=True)
        ]
        self.log_variance.step(seen, slopes)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "log_variance": self.log_variance.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.log_variance.load_state_dict(state["log_variance"])


class OwnAdam:
    """One number per task in float64 on the CPU, with an Adam that steps the tasks it is given and
    no other, moments included.

    Args:
        tasks: T.
        start: of each number.
        lr: rate.
    """

    def __init__(self, tasks: int, *, start: float, lr: float) -> None:
        self._weight = nn.Parameter(torch.full((tasks, 1), start, dtype=torch.float64))
        self._adam, self._lr = LazyAdam(self._weight), lr

    def values(self) -> Tensor:
        """The numbers, a view without gradient. Shape: (T,)."""
        return self._weight.detach()[:, 0]

    def step(self, seen: Sequence[int], slopes: Sequence[float]) -> None:
        """Step the numbers of the tasks `seen` by their slopes."""
        if not seen:
            return
        values = torch.tensor(slopes, dtype=torch.float64).unsqueeze(1)
        rows = torch.tensor([list(seen)])
        sparse = torch.sparse_coo_tensor(
            rows, values, self._weight.shape, is_coalesced=True, check_invariants=False
        )
        self._weight.grad = sparse
        self._adam.step(self._lr)
        self._adam.zero_grad()

    def state_dict(self) -> dict[str, Tensor]:
        """Numbers and moments."""
        return {"values": self._weight.detach(), **self._adam.state_dict()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from ``state_dict()``."""
        load_tensors({"values": self._weight}, {"values": state["values"]}, "balancer")
        self._adam.load_state_dict(
            {name: value for name, value in state.items() if name != "values"}
        )
