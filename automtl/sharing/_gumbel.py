"""Gumbel-softmax gates: each expert on or off per task (Sun et al., NeurIPS 2020, as DSelect-k's
paper compares with them).

Legend: T tasks, N experts.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.layers.masks import uniform
from automtl.sharing.network import FusionNetwork

START = 0.05


class GumbelGates(FusionNetwork):
    """w_t = on_t * softmax(a_t), made to sum to 1; a task with no expert on takes its largest.

    In training on_ti is drawn by straight-through Gumbel-softmax, once per step for all rows; in
    evaluation it is the likelier state. Of the two classes' logits only the difference counts, and
    the difference of their two Gumbel variables is a logistic one.

    Args:
        temperature: at the start of training.
        final_temperature: at its end; in between it falls geometrically.
        socket: what every sharing module takes.
    """

    kind = "gumbel"
    noisy = partial = True

    def __init__(self, *, temperature: float, final_temperature: float, **socket: Any) -> None:
        super().__init__(**socket)
        self.ends = (temperature, final_temperature)
        self.temperature = temperature
        shape = (len(self.tasks), len(self.slots))
        several = len(self.slots) > 1
        # ln p(on) - ln p(off)
        self.switches = nn.Parameter(torch.zeros(shape)) if several else None
        # a
        self.scores = nn.Parameter(torch.empty(shape).uniform_(-START, START)) if several else None

    def get_extra_state(self) -> Tensor:
        """The temperature."""
        return torch.tensor(self.temperature, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from ``get_extra_state()``."""
        self.temperature = float(state)

    def advance(self, progress: float) -> None:
        first, last = self.ends
        self.temperature = first * (last / first) ** progress

    def unit_weights(
        self, units: Sequence[int], gate_inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        if self.switches is None or self.scores is None:
            return [None] * len(units)
        shares = self.scores.softmax(dim=1)  # (T, N)
        on = self._states(self.switches)
        nothing = (on.detach() == 0).all(dim=1, keepdim=True)
        largest = torch.zeros_like(shares).scatter(1, shares.argmax(dim=1, keepdim=True), 1.0)
        # `on` stays in, so that its gradient does
        weights = torch.where(nothing, on + largest, on) * shares
        return list(weights / weights.sum(dim=1, keepdim=True))

    def _states(self, logits: Tensor) -> Tensor:
        """0 or 1 per task and expert, in training with the gradient of the soft draw. Shape: (T,
        N).
        """
        if not self.training:
            return (logits > 0).to(logits.dtype)
        u = uniform(logits.shape, like=logits, generator=self.generator)
        soft = torch.sigmoid((logits + u.log() - (-u).log1p()) / self.temperature)
        return (soft > 0.5).to(logits.dtype) + (soft - soft.detach())

    def record(self) -> dict[str, Any]:
        """The experts that are on in evaluation, and the temperature."""
        on = (
            torch.zeros(len(self.tasks), 1)
            if self.switches is None
            else self.switches.detach().cpu()
        )
        picked = {
            task: [i for i, value in enumerate(row) if value > 0]
            for task, row in zip(self.tasks, on.tolist(), strict=True)
        }
        return {**super().record(), "on": picked, "temperature": self.temperature}
