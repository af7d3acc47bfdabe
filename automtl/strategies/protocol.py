"""What a search strategy is: the driver in ``automtl.phases`` knows no more of one than this."""

from typing import Any, Protocol

from automtl.data.batches import Batch
from automtl.spaces.architecture import Architecture
from automtl.training.losses import Losses


class Strategy(Protocol):
    """A search strategy."""

    def begin_epoch(self, epoch: int) -> None:
        """Set the schedules of epoch `epoch`, counted over the PLANNED epochs."""

    def step(self, alpha_batch: Batch, fit_batch: Batch) -> Losses:
        """One search step: architecture parameters on `alpha_batch`, then weights on `fit_batch`; the latter's losses."""

    def end_epoch(self) -> None:
        """Bring deferred updates up to date, so that the network can be evaluated and saved."""

    def record(self) -> dict[str, Any]:
        """Plain data about the architecture parameters as they stand: schedules, entropies, expert usage."""

    def derive(self) -> Architecture:
        """The discrete architecture that the parameters as they stand say."""

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs beside the network's own state: tensors and JSON values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict()``."""
