"""Looks for NaN and infinity in losses and gradients, and stops the training or has the batch left
out. Legend: T tasks.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from automtl.data.store.batches import Batch
from automtl.data.store.schema import Task
from automtl.errors import NumericalError
from automtl.training.balancing.balancer import Balancer
from automtl.training.checkpoint_state import Count, State, parse
from automtl.training.losses import Losses

LOOK_EVERY = 64  # batches between two looks, for a device on which a look waits
_FIX = (
    "lower the learning rate, look at the batch's rows, or leave such batches out with --on-nan "
    "skip"
)


class _State(State):
    """The state of a guard."""

    skipped: Count


class BadBatch(NumericalError):
    """A batch whose loss or gradient is NaN or infinite.

    Args:
        what: is not finite.
        rows: of the batch, over all ranks; their numbers in the training split.
    """

    def __init__(self, what: str, rows: Sequence[int], fix: str) -> None:
        self.what, self.rows = what, list(rows)
        super().__init__(what, "must be finite", "NaN or infinity", fix)


class Guard:
    """Asked by every training step: with the losses, then to run the backward pass, then with the
    gradient's norm before the update.

    "stop" keeps what it saw and looks every `look_every` batches, and whenever `look` is called, as
    it must be before a checkpoint. "skip" has to know before the update, so each batch waits for
    the device.

    Args:
        mode: "stop" raises `BadBatch`, "skip" has the batch left out, as if it had not been drawn.
        limit: the most batches that are left out.
        look_every: batches; 1 stops before the update and is for the CPU, where a look costs
            nothing.
    """

    def __init__(
        self, mode: Literal["stop", "skip"] = "stop", limit: int = 100, *, look_every: int = 1
    ) -> None:
        self.mode = mode
        self.limit = limit
        self.look_every = look_every
        self.skipped = 0
        self._seen: list[tuple[Batch, tuple[str, ...], Tensor]] = []
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def before(self, net: nn.Module) -> None:
        """To be called before a forward pass that changes running statistics: a batch that is left
        out must not stay in them.
        """
        if self.mode == "skip":
            self._buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]

    def loss(self, losses: Losses, batch: Batch, tasks: Sequence[Task]) -> bool:
        """Whether to leave the batch out, by its losses.

        Raises:
            BadBatch: one is not finite, be it of an earlier batch.
        """
        names = (*(f"the loss of task {task.name}" for task in tasks), "the loss")
        return self._judge(batch, names, torch.cat([losses.sums, losses.total.detach().reshape(1)]))

    def backward(
        self, balancer: Balancer, losses: Losses, extra: Tensor | None, batch: Batch
    ) -> bool:
        """Run the backward pass; whether to leave the batch out, by what the balancer found in the
        tasks' gradients.

        Raises:
            BadBatch: it could not balance them.
        """
        try:
            balancer.backward(losses, extra)
        except NumericalError as error:
            if self.mode == "skip":
                return self._leave_out(batch)
            raise BadBatch(
                "the tasks' gradients", batch.step_rows.tolist(), f"{_FIX} ({error})"
            ) from error
        return False

    def norm(self, norm: Tensor, batch: Batch) -> bool:
        """Whether to leave the batch out, by its gradient's norm. Shape: ().

        Raises:
            BadBatch: it is not finite, be it of an earlier batch.
        """
        return self._judge(batch, ("the gradient",), norm.detach().reshape(1))

    def look(self) -> None:
        """Look at all losses and norms since the last look.

        Raises:
            BadBatch: something is not finite.
        """
        seen, self._seen = self._seen, []
        if not seen or bool(torch.cat([values for _, _, values in seen]).isfinite().all()):
            return
        for batch, names, values in seen:
            finite = values.isfinite().tolist()
            if not all(finite):
                raise BadBatch(names[finite.index(False)], batch.step_rows.tolist(), _FIX)

    def _judge(self, batch: Batch, names: tuple[str, ...], values: Tensor) -> bool:
        if self.mode == "skip":
            return not bool(values.isfinite().all()) and self._leave_out(batch)
        self._seen.append((batch, names, values))
        if self.look_every == 1 or len(self._seen) >= 2 * self.look_every:  # losses and norms
            self.look()
        return False

    def _leave_out(self, batch: Batch) -> bool:
        self.skipped += 1
        if self.skipped > self.limit:
            raise BadBatch(
                f"all but {self.limit} batches",
                batch.step_rows.tolist(),
                "raise runtime.nan_limit, or lower the learning rate",
            )
        for buffer, saved in self._buffers:
            buffer.copy_(saved)
        return True

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state: Any) -> None:
        """Go on from a ``state_dict()``.

        Raises:
            AutoMTLError: it is none.
        """
        self.skipped = parse(_State, state, "guard").skipped
