"""The optimiser of a discrete network as a loop drives it: torch's of all weights, and where its
tables give sparse gradients, one of each table.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from automtl.data.store.batches import Inputs
from automtl.training.checkpoint_state import load_optimizer_state, require
from automtl.training.optim.deferred_sgd import TableOptimizer


class NetOptimizer:
    """Steps all parameters of a network, of its tables the touched rows only.

    Args:
        weights: of all parameters, or of all but the tables.
        tables: of each table that `weights` has not.
        group: the tables' settings, as one of torch's groups; its rate is theirs.
        touched: the rows of each table that a batch reads.
    """

    def __init__(
        self,
        weights: torch.optim.Optimizer,
        *,
        tables: Sequence[TableOptimizer] = (),
        group: dict[str, Any] | None = None,
        touched: Callable[[Inputs], list[Tensor]] | None = None,
    ) -> None:
        self._weights, self._tables = weights, list(tables)
        self._group, self._touched = group, touched

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups as torch has them, that of the tables last."""
        apart = [] if self._group is None else [self._group]
        return [*self._weights.param_groups, *apart]

    def catch_up(
        self,
        inputs: Inputs,
        among: Callable[[Sequence[Tensor]], Sequence[Tensor]] = lambda rows: rows,
    ) -> None:
        """Bring the rows up to date that a forward pass is to read.

        Args:
            inputs: of the pass.
            among: the rows of each table that any of several ranks reads, from this one's.
        """
        if self._tables and self._touched is not None:
            for table, rows in zip(self._tables, among(self._touched(inputs)), strict=True):
                table.catch_up(rows)

    def step(self) -> None:
        """Apply all gradients."""
        self._weights.step()
        for table in self._tables:
            assert self._group is not None, "tables have a group"
            table.step(self._group["lr"])

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self._weights.zero_grad()
        for table in self._tables:
            table.zero_grad()

    def flush(self) -> None:
        """Bring all rows up to date, for whoever reads the whole tables."""
        for table in self._tables:
            table.flush()

    def state_dict(self) -> dict[str, Any]:
        """What an exact resume needs: torch's, and under ``tables`` that of each table."""
        apart = {"tables": [table.state_dict() for table in self._tables]} if self._tables else {}
        return {**self._weights.state_dict(), **apart}

    def load_state_dict(self, state: Any, where: str = "optimizer") -> None:
        """Go on from a `state_dict()`.

        Raises:
            ArtifactError: it is of another network or of other settings.
        """
        saved = state.get("tables", []) if isinstance(state, dict) else []
        forms = isinstance(saved, list) and all(
            isinstance(table_state, dict) for table_state in saved
        )
        require(
            forms and len(saved) == len(self._tables),
            f"{where}.tables",
            f"must be the states of {len(self._tables)} tables with an optimiser of their own",
            len(saved) if forms else type(saved).__name__,
        )
        rest = (
            {name: value for name, value in state.items() if name != "tables"} if saved else state
        )
        load_optimizer_state(self._weights, rest, where)
        for table, table_state in zip(self._tables, saved, strict=True):
            table.load_state_dict(table_state)
