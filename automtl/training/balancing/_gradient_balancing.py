"""Methods that balance by the tasks' gradients over the shared parameters, one backward pass per
task.

Shared are the parameters, towers left out, that at least two of the batch's tasks read; embedding
tables by choice. Everything else follows its own task (in `GradNorm` with the task's factor, in
`Surgery` as in plain training). With fewer than two tasks in a batch there is nothing to balance.

Legend: T tasks, K tasks of a batch, P numbers in the shared parameters, n touched rows of a table,
d its width.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.data.store.schema import Task
from automtl.errors import NumericalError
from automtl.models.skeleton import MultiTaskNet
from automtl.training.balancing.balancer import Adaptive, BalancingSettings, OwnAdam
from automtl.training.checkpoint_state import load_tensors
from automtl.training.replica import Replica

Gradients = Sequence[Tensor | None]
Weighting = Callable[[Tensor], Tensor]

_LEAST_WEIGHT = 1e-4


class PerTask(Adaptive):
    """Base: which parameters are shared, and one task's gradients.

    Args:
        tasks: of the network.
        shares: w_k.
        settings: the method's own.
        net: the network; its parameters may change from step to step.
        outside: parameters of no tower that are not shared, such as beta.
        replica: the network's copy on this rank.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        shares: Sequence[float],
        settings: BalancingSettings,
        *,
        net: MultiTaskNet,
        outside: Sequence[nn.Parameter] = (),
        replica: Replica | None = None,
    ) -> None:
        super().__init__(tasks, shares, settings, replica=replica)
        self._net, self._outside = net, {id(p) for p in outside}

    def _parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Those that may be shared, and all others, that train in this step."""
        apart = self._outside | {id(p) for p in self._net.towers.parameters()}
        if not self.settings.tables:
            apart |= {id(p) for p in self._net.tables()}
        live = [p for p in self._net.parameters() if p.requires_grad]
        return [p for p in live if id(p) not in apart], [p for p in live if id(p) in apart]

    def _passes(
        self,
        terms: Sequence[Tensor],
        shared: Sequence[nn.Parameter],
        others: Sequence[nn.Parameter],
        keep: bool,
    ) -> Iterator[Gradients]:
        """Per term its gradients over `shared`, of the rows of all ranks; those over `others` are
        added to the parameters'. `keep` holds the graph at the end.
        """
        self.summed = frozenset(map(id, shared))
        for number, term in enumerate(terms):
            last = number + 1 == len(terms)
            gradients = torch.autograd.grad(
                term, [*shared, *others], retain_graph=keep or not last, allow_unused=True
            )
            for parameter, gradient in zip(others, gradients[len(shared) :], strict=True):
                add_gradient(parameter, gradient)
            yield self.replica.totals(gradients[: len(shared)], shared)

    def _add_extra(
        self,
        extra: Tensor | None,
        shared: Sequence[nn.Parameter],
        others: Sequence[nn.Parameter],
    ) -> None:
        """Add the gradients of a term that is not balanced."""
        for gradients in self._passes([] if extra is None else [extra], shared, others, keep=False):
            for parameter, gradient in zip(shared, gradients, strict=True):
                add_gradient(parameter, gradient)

    def _check(self, figures: Sequence[float], what: str) -> None:
        if not all(math.isfinite(x) for x in figures):
            rule = f"the tasks' {what} must be finite"
            raise NumericalError(
                f"balancing by {self.settings.method}",
                rule,
                list(figures),
                "lower the learning rate",
            )

    def _note_bytes(self, count: int) -> None:
        self.meter.bytes = max(self.meter.bytes, count)


class GradNorm(PerTask):
    """Factors c_k that keep the norms of the tasks' shared gradients at their rates (Chen et al.,
    ICML 2018, Algorithm 1).

    G_k = ||w_k c_k grad L_k||, target mean_j(G_j) r_k^alpha with r_k = (L_k / L_k(0)) / mean_j(L_j
    / L_j(0)), all taken over the batch's tasks; the factors descend sum_k |G_k - target_k|, targets
    held fixed, by an Adam of their own, and are then scaled to sum to T.

    # DEVIATION: the paper takes W, the last shared layer, for the norms; we take all shared
    parameters (it has no one last shared layer # where tasks choose experts), whose gradients are
    needed anyway. A batch that lacks tasks scales the factors of its own tasks only, # to the sum
    that they had. Factors stay above 1e-4: the paper says nothing of negative ones.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        shares: Sequence[float],
        settings: BalancingSettings,
        **place: Any,
    ) -> None:
        super().__init__(tasks, shares, settings, **place)
        self.factors = OwnAdam(len(self.tasks), start=1.0, lr=settings.lr)
        self.first = torch.full((len(self.tasks),), math.nan, dtype=torch.float64)  # L_k(0)

    def _balanced(self, seen: Sequence[int], means: Sequence[Tensor], extra: Tensor | None) -> None:
        values = [self._values[k] for k in seen]
        for k, value in zip(seen, values, strict=True):
            if self.first[k].isnan():
                self.first[k] = value
        factors = [self.factors.values()[k].item() for k in seen]
        if len(seen) < 2:
            self._weighed(seen, means, factors, extra)
            return
        norms = self._gradients(seen, means, factors, extra)
        self._check(norms, "gradient norms")
        self._descend(seen, values, factors, norms)

    def _gradients(
        self,
        seen: Sequence[int],
        means: Sequence[Tensor],
        factors: Sequence[float],
        extra: Tensor | None,
    ) -> list[float]:
        """Add sum_k w_k c_k grad L_k (and extra's) to the parameters' gradients; per task ||w_k
        grad L_k|| over the shared ones.
        """
        shared, others = self._parameters()
        terms = [
            self.shares[k] * factor * mean
            for k, factor, mean in zip(seen, factors, means, strict=True)
        ]
        norms: list[list[Tensor | None]] = []
        for gradients in self._passes(terms, shared, others, keep=extra is not None):
            norms.append(
                [
                    None if g is None else torch.linalg.vector_norm(values_of(g)).double()
                    for g in gradients
                ]
            )
            for parameter, gradient in zip(shared, gradients, strict=True):
                add_gradient(parameter, gradient)
            self._note_bytes(size(gradients))
        self._add_extra(extra, shared, others)
        self.meter.note(seen, factors, passes=len(terms) + (extra is not None))
        common = [sum(row[i] is not None for row in norms) > 1 for i in range(len(shared))]
        common_norms = [
            [n for n, both in zip(row, common, strict=True) if both and n is not None]
            for row in norms
        ]
        whole = [
            torch.linalg.vector_norm(torch.stack(row)).item() if row else 0.0
            for row in common_norms
        ]
        return [norm / factor for norm, factor in zip(whole, factors, strict=True)]

    def _descend(
        self,
        seen: Sequence[int],
        values: Sequence[float],
        factors: Sequence[float],
        norms: Sequence[float],
    ) -> None:
        """One step of the factors of the tasks seen."""
        tasks = list(seen)
        norm, factor = (torch.tensor(x, dtype=torch.float64) for x in (norms, factors))  # (K,) each
        rates = torch.tensor(values, dtype=torch.float64) / self.first[tasks].clamp_min(1e-12)
        target = (factor * norm).mean() * (
            rates / rates.mean().clamp_min(1e-12)
        ) ** self.settings.gradnorm_alpha
        self.factors.step(tasks, (torch.sign(factor * norm - target) * norm).tolist())
        updated = self.factors.values()
        updated.clamp_min_(_LEAST_WEIGHT)
        updated[tasks] *= factor.sum() / updated[tasks].sum()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "factors": self.factors.state_dict(), "first": self.first}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.factors.load_state_dict(state["factors"])
        load_tensors({"first": self.first}, {"first": state["first"]}, "balancer", finite=False)


def add_gradient(parameter: nn.Parameter, gradient: Tensor | None) -> None:
    """Add to what the parameter has; what is held is never another's memory."""
    if gradient is not None:
        parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad + gradient


def values_of(gradient: Tensor) -> Tensor:
    """The numbers of a gradient: of a sparse one, those of its touched rows, added up."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def size(gradients: Gradients) -> int:
    """Bytes that gradients take; of sparse ones, their values."""
    values = [g._values() if g.is_sparse else g for g in gradients if g is not None]
    return sum(g.numel() * g.element_size() for g in values)
