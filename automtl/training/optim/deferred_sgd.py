"""Optimisers of embedding tables: a step costs the touched rows, whatever the vocabulary.

Both serve one loop: `catch_up(rows)` before a forward pass reads rows, `step(lr)` after its
backward pass, `flush()` before all rows are read (checkpoint, evaluation, export). The gradient is
the sparse one of `embedding(sparse=True)`; without any (`grad` None) a step does nothing, as in
torch. `lazy_adam.py` has the other one.

Legend: V rows, d columns, n touched rows, K steps since the last flush.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from automtl.training.checkpoint_state import load_tensors, require, require_tensors

# between flushes: keeps the coefficients in cache; a flush of 1e7 rows spread over so many steps is
# nothing
MAX_STEPS = 4096
FLUSH_ROWS = 2**14  # at a time: float64 temporaries that stay in cache


class TableOptimizer(Protocol):
    """What the training loop asks of an optimiser of one table."""

    def catch_up(self, rows: Tensor) -> None: ...

    def zero_grad(self) -> None: ...

    def step(self, lr: float) -> None: ...

    def flush(self) -> None: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...


def sparse_gradient(weight: nn.Parameter) -> tuple[Tensor, Tensor] | None:
    """Distinct touched rows and their gradients; None where there is no gradient. Shape: (n,) and
    (n, d).
    """
    if weight.grad is None:
        return None
    assert weight.grad.is_sparse, "a table needs embedding(..., sparse=True)"
    weight.grad = weight.grad.coalesce()
    return weight.grad.indices()[0], weight.grad.values()


def _sgd(
    weight: Tensor,
    velocity: Tensor,
    lr: float,
    momentum: float,
    decay: float,
    gradient: Tensor | None = None,
) -> None:
    """One step of torch.optim.SGD (dampening 0), in place, in its order of operations."""
    slope = decay * weight if gradient is None else gradient.add(weight, alpha=decay)
    velocity.mul_(momentum).add_(slope)
    weight.add_(velocity, alpha=-lr)


class DeferredSGD:
    """torch.optim.SGD with momentum and weight decay on every row, computed when a row is next
    needed.

    Without a gradient a step is linear in a row's weight w and velocity v: v' = momentum v + decay
    w, w' = w - lr v'. So whatever a row missed is one 2 x 2 matrix, the product of the steps since
    it was last seen, the same for every column. `_missed[:, s]` is that matrix for a row last seen
    at step s: its rows are made by applying each step to the unit vectors (1, 0) and (0, 1) just as
    to weights. Equal to the dense optimiser but for rounding: the products are kept in float64.

    Args:
        weight: (V, d) table, changed in place.
        momentum: in [0, 1).
        weight_decay: at least 0.
    """

    def __init__(self, weight: nn.Parameter, *, momentum: float, weight_decay: float) -> None:
        self.weight, self.momentum, self.weight_decay = weight, momentum, weight_decay
        data = weight.detach()
        # (V, d); torch's buffer starts as the first gradient: the same as from 0
        self._velocity = torch.zeros_like(data)
        # (V,) step at which a row was current
        self._last = torch.zeros(len(data), dtype=torch.int32, device=data.device)
        # (w or v, step, from w and v)
        self._missed = torch.zeros(2, MAX_STEPS + 1, 2, dtype=torch.float64, device=data.device)
        self._identity = torch.eye(2, dtype=torch.float64, device=data.device)
        self._start()

    def _start(self) -> None:
        """All rows are current: count from here."""
        self._steps = 0
        self._last.zero_()
        self._open()

    def _open(self) -> None:
        """A row seen at the present step misses nothing yet: the identity."""
        self._missed[:, self._steps] = self._identity

    @torch.no_grad()
    def catch_up(self, rows: Tensor) -> None:
        """Bring rows up to date; to be called before they are read.

        Shape: rows any, int64, repetitions allowed.
        """
        rows = rows.flatten()
        rows = rows[self._last.index_select(0, rows) != self._steps]
        now = self._advanced(
            *(table.index_select(0, rows) for table in (self.weight, self._velocity, self._last))
        )
        self._write(rows, *now)  # a row that comes twice is written twice with the same value

    def _advanced(self, w: Tensor, v: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and velocities of rows after the steps that they missed. Shape: (n, d), (n, d),
        (n,) -> (n, d) twice.
        """
        of_w, of_v = self._missed[:, last.long()]  # (n, 2) each
        w, v = w.double(), v.double()
        new_w = (of_w[:, :1] * w).addcmul_(of_w[:, 1:], v)
        new_v = (of_v[:, :1] * w).addcmul_(of_v[:, 1:], v)
        return new_w.to(self.weight.dtype), new_v.to(self.weight.dtype)

    def _write(self, rows: Tensor, w: Tensor, v: Tensor) -> None:
        """Store rows as they are at the present step."""
        self.weight.index_copy_(0, rows, w)
        self._velocity.index_copy_(0, rows, v)
        self._last.index_fill_(0, rows, self._steps)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.weight.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Apply the gradient to the rows that it touches, which must be up to date, and note the
        step for all others.
        """
        gradient = sparse_gradient(self.weight)
        if gradient is None:
            return
        rows, values = gradient
        w, v = self.weight.index_select(0, rows), self._velocity.index_select(0, rows)  # (n, d)
        _sgd(w, v, lr, self.momentum, self.weight_decay, values)
        missed_w, missed_v = self._missed[:, : self._steps + 1]
        _sgd(missed_w, missed_v, lr, self.momentum, self.weight_decay)
        self._steps += 1
        self._open()
        self._write(rows, w, v)
        if self._steps == MAX_STEPS:
            self.flush()

    @torch.no_grad()
    def flush(self) -> None:
        """Bring all rows up to date and forget the steps behind."""
        if not self._steps:
            return
        for w, v, last in zip(
            *(
                torch.split(table, FLUSH_ROWS)
                for table in (self.weight, self._velocity, self._last)
            ),
            strict=True,
        ):
            now = self._advanced(w, v, last)
            w.copy_(now[0])
            v.copy_(now[1])
        self._start()

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors that an exact resume needs; to be copied before the next step."""
        return self._tensors(self._steps)

    def _tensors(self, steps: int) -> dict[str, Tensor]:
        return {
            "velocity": self._velocity,
            "last": self._last,
            "missed": self._missed[:, : steps + 1],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state_dict()`; the weight itself is the model's to restore.

        Raises:
            ArtifactError: it is of another table.
        """
        steps = (
            min(max(state["missed"].shape[1] - 1, 0), MAX_STEPS - 1)
            if "missed" in state and state["missed"].dim() == 3
            else 0
        )
        where, own = "table optimiser", self._tensors(steps)
        require_tensors(own, state, where)
        require(
            bool(((state["last"] >= 0) & (state["last"] <= steps)).all()),
            f"{where}.last",
            f"must be steps from 0 to {steps}",
            f"{int(state['last'].min())} to {int(state['last'].max())}",
        )
        load_tensors(own, state, where)
        self._steps = steps
