"""Adam on the touched rows of a table. Legend: V rows, d columns, n touched rows."""

import torch
from torch import Tensor, nn

from automtl.training.checkpoint_state import load_tensors, require, require_tensors
from automtl.training.optim.deferred_sgd import sparse_gradient


class LazyAdam:
    """Each row follows Adam (Kingma & Ba 2015) over those steps only that touch it.

    DEVIATION from dense Adam: a row that a step does not touch keeps its weight and its moments
    (dense Adam moves it on by what is left of the first moment, and lets both decay). The step
    count of the bias correction is the row's own: under a global count the first step of a rare row
    would be sqrt(1 / (1 - beta2)) * (1 - beta1), some 3 times too long. A row touched in every step
    equals torch.optim.Adam.

    Args:
        weight: (V, d) table, changed in place.
        betas: decay of the first and the second moment, each in [0, 1).
        eps: added to the denominator.
        weight_decay: L2 term, added to the gradient of the touched rows only.
    """

    def __init__(
        self,
        weight: nn.Parameter,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.weight, self.betas, self.eps, self.weight_decay = weight, betas, eps, weight_decay
        data = weight.detach()
        self._first, self._second = torch.zeros_like(data), torch.zeros_like(data)  # (V, d)
        self._count = torch.zeros(len(data), dtype=torch.int32, device=data.device)  # (V,)

    def catch_up(self, rows: Tensor) -> None:
        """Nothing: rows are always up to date."""

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.weight.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Apply the gradient to the rows that it touches."""
        gradient = sparse_gradient(self.weight)
        if gradient is None:
            return
        rows, values = gradient
        w, first, second, count = (
            table.index_select(0, rows)
            for table in (self.weight, self._first, self._second, self._count)
        )  # (n, d) three times, (n,)
        slope = values.add(w, alpha=self.weight_decay) if self.weight_decay else values
        first.lerp_(slope, 1 - self.betas[0])
        second.mul_(self.betas[1]).addcmul_(slope, slope, value=1 - self.betas[1])
        count += 1
        self._first.index_copy_(0, rows, first)
        self._second.index_copy_(0, rows, second)
        self._count.index_copy_(0, rows, count)
        self.weight.index_copy_(0, rows, w - lr * self._direction(first, second, count))

    def _direction(self, first: Tensor, second: Tensor, count: Tensor) -> Tensor:
        """Bias-corrected first moment over the root of the second. Shape: (n, d), (n, d), (n,) ->
        (n, d).
        """
        steps = count.double().unsqueeze(1)  # (n, 1); in float32 1 - beta2 ** 1 would keep 4 digits
        scale, root = ((1 - beta**steps) for beta in self.betas)
        return (
            first / scale.to(first.dtype) / (second.sqrt() / root.sqrt().to(first.dtype) + self.eps)
        )

    def flush(self) -> None:
        """Nothing: rows are always up to date."""

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors that an exact resume needs; to be copied before the next step."""
        return {"first": self._first, "second": self._second, "count": self._count}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state_dict()`; the weight itself is the model's to restore.

        Raises:
            ArtifactError: it is of another table.
        """
        require_tensors(self.state_dict(), state, "table optimiser")
        require(
            not bool((state["count"] < 0).any() or (state["second"] < 0).any()),
            "table optimiser",
            "must count from 0",
            f"{min(float(state[name].min()) for name in ('count', 'second')):g}",
        )
        load_tensors(self.state_dict(), state, "table optimiser")
