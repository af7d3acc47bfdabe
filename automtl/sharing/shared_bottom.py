"""Shared bottom (Caruana, 1997)."""

from typing import Any

from torch import Tensor

from automtl.sharing.base import SharingModule


class SharedBottom(SharingModule):
    """One expert whose output every task reads."""

    kind = "shared_bottom"

    def __init__(self, **socket: Any) -> None:
        super().__init__(**socket)
        self.expert = socket["build"](self.slots[0], self.width_in)
        self.width_out = [self.expert.width_out] * len(self.tasks)

    def share(self, shared: Tensor) -> list[Tensor]:
        return [self.expert(shared)] * len(self.tasks)
