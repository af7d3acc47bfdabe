"""Second-order DARTS: alpha's gradient through one step of the weights and of beta (AutoMTL, Eq.
4).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from automtl.data.store.batches import Batch
from automtl.layers.normalization import frozen_statistics
from automtl.strategies.darts import Darts
from automtl.training.losses import Losses

Loss = Callable[[], Tensor]
Totals = Callable[[Sequence[Tensor | None], Sequence[Tensor]], list[Tensor | None]]


class Inner(NamedTuple):
    """Parameters of the inner problem and the rate xi of their virtual step."""

    parameters: Sequence[nn.Parameter]
    rate: float


def hypergradient(
    train_loss: Loss,
    outer_loss: Loss,
    alphas: Sequence[nn.Parameter],
    inner: Sequence[Inner],
    *,
    hvp: Literal["exact", "finite"],
    scale: float,
    totals: Totals = lambda gradients, parameters: list(gradients),
) -> list[Tensor]:
    """Gradient over alpha of outer_loss(w - xi grad_w train_loss(w, alpha), alpha), w the inner
    parameters (Eq. 4).

    With w' the virtual point and v the outer loss's gradient over w' there, it is the outer loss's
    gradient over alpha at w', minus H (xi v), H the mixed second derivative of the train loss.
    `finite` takes H u for u = xi v as the difference of the train loss's alpha gradients at w + eps
    u and w - eps u over 2 eps, eps = scale / ||u||: DARTS' own way with scale 0.01, exact to second
    order in eps where the loss is smooth. Across a ReLU's kink it is not: over networks with ReLU a
    step of 0.01 can miss the term by half and more (on the two-block supernet of the tests, in
    float64: the term is off by 190% at 0.01, by 1.5e-7 at 1e-4, which crossed no kink there).
    `exact` differentiates the gradient itself.

    Args:
        train_loss: the inner problem's loss, made anew at each call from the parameters as they
            stand; twice differentiable if exact.
        outer_loss: the loss that alpha is to lower, likewise.
        alphas: the outer parameters.
        inner: the inner parameters, which are back to the bit after.
        hvp: how H u is taken.
        scale: ||eps u|| of the finite difference.
        totals: the sums over ranks of gradients over some parameters; each rank's losses are over
            its own rows.
    """
    parameters = [p for group in inner for p in group.parameters]
    rates = [group.rate for group in inner for _ in group.parameters]
    steps = totals(_gradients(train_loss(), parameters), parameters)
    with _moved(parameters, [(g, -rate) for g, rate in zip(steps, rates, strict=True)]):
        both = [*alphas, *parameters]
        outer_gradients = totals(_gradients(outer_loss(), both), both)
    first, outer = outer_gradients[: len(alphas)], outer_gradients[len(alphas) :]
    direction = [None if v is None else rate * v for v, rate in zip(outer, rates, strict=True)]
    if hvp == "exact":
        mixed = _exact(train_loss, alphas, parameters, direction)
    else:
        mixed = _finite(train_loss, alphas, parameters, direction, scale)
    mixed = totals(mixed, alphas)
    return [_zero(f, a) - _zero(m, a) for f, m, a in zip(first, mixed, alphas, strict=True)]


def _zero(gradient: Tensor | None, parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if gradient is None else gradient


def _gradients(
    loss: Tensor, parameters: Sequence[Tensor], graph: bool = False
) -> list[Tensor | None]:
    gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True, create_graph=graph)
    return [g.coalesce() if g is not None and g.is_sparse else g for g in gradients]


def _finite(
    train_loss: Loss,
    alphas: Sequence[nn.Parameter],
    parameters: Sequence[nn.Parameter],
    direction: Sequence[Tensor | None],
    scale: float,
) -> list[Tensor | None]:
    squares = [_values(d).double().square().sum() for d in direction if d is not None]
    norm = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
    if norm == 0.0:
        return [None] * len(alphas)
    eps = scale / norm
    ends = []
    for sign in (1.0, -1.0):
        with _moved(parameters, [(d, sign * eps) for d in direction]):
            ends.append(_gradients(train_loss(), alphas))
    return [
        None if up is None or down is None else (up - down) / (2 * eps)
        for up, down in zip(*ends, strict=True)
    ]


def _exact(
    train_loss: Loss,
    alphas: Sequence[nn.Parameter],
    parameters: Sequence[nn.Parameter],
    direction: Sequence[Tensor | None],
) -> list[Tensor | None]:
    steps = _gradients(train_loss(), parameters, graph=True)
    pairs = [
        (g, u) for g, u in zip(steps, direction, strict=True) if g is not None and u is not None
    ]
    products = [(g * (u.to_dense() if u.is_sparse else u)).sum() for g, u in pairs]
    return _gradients(torch.stack(products).sum(), alphas) if products else [None] * len(alphas)


def _values(gradient: Tensor) -> Tensor:
    return gradient.values() if gradient.is_sparse else gradient


@contextmanager
def _moved(
    parameters: Sequence[nn.Parameter], steps: Sequence[tuple[Tensor | None, float]]
) -> Iterator[None]:
    """Within it parameters stand at p + factor * direction; a sparse direction moves its rows only.
    After, back to the bit.
    """
    moved: list[tuple[nn.Parameter, Tensor | None, Tensor]] = []
    with torch.no_grad():
        for parameter, (direction, factor) in zip(parameters, steps, strict=True):
            if direction is None:
                continue
            rows = direction.indices()[0] if direction.is_sparse else None
            moved.append(
                (parameter, rows, parameter.detach().clone() if rows is None else parameter[rows])
            )
            if rows is None:
                parameter.add_(direction, alpha=factor)
            else:
                parameter.index_add_(0, rows, direction.values(), alpha=factor)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, rows, values in moved:
                parameter.copy_(values) if rows is None else parameter.index_copy_(0, rows, values)


class Unrolled(Darts):
    """DARTS whose alpha step looks through one plain gradient step of the inner parameters.

    # DEVIATION: the Hessian-vector product is exact, not the finite difference of DARTS (section
    2.3); over ReLUs that is mostly wrong. xi_1 is the weights' present rate; beta takes part after
    warm-up, with xi_2 its own rate.

    Args:
        hvp: `exact` runs the choice blocks unfused and tables with dense gradients in the alpha
            step.
        hvp_scale: of the finite difference.
        darts: what `Darts` takes.
    """

    def __init__(
        self,
        *args: Any,
        hvp: Literal["exact", "finite"] = "exact",
        hvp_scale: float = 0.01,
        **darts: Any,
    ) -> None:
        super().__init__(*args, **darts)
        self.hvp: Literal["exact", "finite"] = hvp
        self.hvp_scale = hvp_scale

    def step(self, alpha_batch: Batch | None, fit_batch: Batch) -> Losses:
        """Alpha through the virtual step on the fit rows, then weights and beta on the same
        rows.
        """
        assert alpha_batch is not None
        gradients = self.alpha_gradients(alpha_batch, fit_batch)
        if not self._guard.norm(get_total_norm(gradients), alpha_batch):
            for alpha, gradient in zip(self._alphas, gradients, strict=True):
                alpha.grad = gradient
            self._move_alpha()
        return self._weight_step(fit_batch)

    def alpha_gradients(self, alpha_batch: Batch, fit_batch: Batch) -> list[Tensor]:
        """Eq. 4, per alpha; nothing but deferred table updates changes."""
        self._catch_up(alpha_batch)
        self._catch_up(fit_batch)
        self.spend("outer", alpha_batch.step_size)
        self.spend("inner_exact" if self.hvp == "exact" else "inner_finite", fit_batch.step_size)
        inner = [Inner(self._weights, self._lr), Inner(self._tables, self._table_lr)]
        if self._betas and not self.warming_up:
            inner.append(Inner(self._betas, self.settings.beta_lr))
        with frozen_statistics(self._tracking), self._ways():
            return hypergradient(
                lambda: self._train_loss(fit_batch),
                lambda: self.outer_loss(alpha_batch),
                self._alphas,
                inner,
                hvp=self.hvp,
                scale=self.hvp_scale,
                totals=self.replica.totals,
            )

    def outer_loss(self, batch: Batch) -> Tensor:
        """What alpha is to lower, on A rows."""
        with self._autocast():
            outputs = self.net(batch.inputs)
        return self.alpha_loss(self._losses(outputs, batch), batch)

    def _train_loss(self, batch: Batch) -> Tensor:
        """L + w_JSD L_JSD with the same dropout at every call."""
        generators = {
            id(g): g
            for m in self.net.modules()
            if isinstance(g := getattr(m, "generator", None), torch.Generator)
        }
        states = {key: g.get_state() for key, g in generators.items()}
        with self._autocast():
            outputs = self.net(batch.inputs)
        loss = self.balancer.loss(self._losses(outputs, batch))
        extra = self.auxiliary_loss(outputs, batch)
        for key, g in generators.items():
            g.set_state(states[key])
        return loss if extra is None else loss + extra

    @contextmanager
    def _ways(self) -> Iterator[None]:
        """Fused blocks have no second derivatives: for exact products they are computed as the
        formula reads.
        """
        blocks = list(self.net.choice_blocks()) if self.hvp == "exact" else []
        before = [block.fused for block in blocks]
        try:
            for block in blocks:
                block.fused = False
            yield
        finally:
            for block, was in zip(blocks, before, strict=True):
                block.fused = was
