"""Differentiable search by sampling: SNAS relaxes the samples, GDAS computes one candidate of each
block only.
"""

from typing import Any

import torch
from torch import Tensor

from automtl.data.store.batches import Batch
from automtl.strategies.darts import Darts
from automtl.training.losses import Losses


class Sampled(Darts):
    """DARTS' alternation on a fresh sample of every choice block in each half of a step.

    With Gumbel noise g and temperature tau, p = softmax((log softmax(alpha) + g) / tau). `snas`
    (Xie et al. 2019) mixes all candidates by p. `gdas` (Dong and Yang 2019) computes the likeliest
    candidate k alone; its output is weighed by 1 - stop(p_k) + p_k, which is 1 and carries the
    gradient to alpha. The temperature falls geometrically from the first planned epoch to the last.

    # DEVIATION: GDAS' public code adds the other p_i as numbers to the sum, value 0 and a gradient
    of their own; we do not: a candidate that was not computed says nothing.

    Args:
        hard: compute one candidate only (`gdas`).
        temperature: tau in the first epoch.
        final_temperature: and in the last.
        generator: source of the Gumbel noise.
        darts: what `Darts` takes.
    """

    partial_steps = True

    def __init__(
        self,
        *args: Any,
        hard: bool,
        temperature: float,
        final_temperature: float,
        generator: torch.Generator,
        **darts: Any,
    ) -> None:
        super().__init__(*args, **darts)
        self.hard = hard
        self._start = temperature
        self._end = final_temperature
        self._generator = generator
        self._blocks = list(self.net.choice_blocks())

    def begin_epoch(self, epoch: int) -> None:
        """Set the schedules, the temperature's too."""
        super().begin_epoch(epoch)
        last = self.settings.epochs - 1
        self.temperature = self._start * (self._end / self._start) ** (epoch / last)

    def _alpha_step(self, batch: Batch) -> None:
        self._draw()
        super()._alpha_step(batch)
        self._clear()

    def _weight_step(self, batch: Batch) -> Losses:
        with torch.no_grad():
            self._draw()
        losses = super()._weight_step(batch)
        self._clear()
        return losses

    def _draw(self) -> None:
        """Sample every alpha once and set its blocks."""
        samples = [self._sample(alpha) for alpha in self._alphas]
        picks = (
            torch.stack([p.argmax() for p in samples]).tolist()
            if self.hard
            else [None] * len(samples)
        )
        by_alpha = {
            id(alpha): sample
            for alpha, sample in zip(self._alphas, zip(samples, picks, strict=True), strict=True)
        }
        for block in self._blocks:
            p, block.path = by_alpha[id(block.alpha)]
            block.shares = p - p.detach() + 1 if self.hard else p

    def _sample(self, alpha: Tensor) -> Tensor:
        uniform = torch.rand(
            alpha.shape, generator=self._generator, device=self._generator.device
        ).clamp_min_(1e-20)
        gumbel = -torch.log(-torch.log(uniform).clamp_max_(-1e-7)).to(alpha)
        return torch.softmax((alpha.log_softmax(0) + gumbel) / self.temperature, dim=0)

    def _clear(self) -> None:
        for block in self._blocks:
            block.shares = block.path = None

    def end_epoch(self) -> None:
        """Flush, and leave `gdas` on its likeliest path: its weights never learnt to be mixed."""
        super().end_epoch()
        if self.hard:
            for block in self._blocks:
                block.path = int(block.alpha.argmax())

    def record(self) -> dict[str, Any]:
        """The record of DARTS, and the temperature."""
        return {**super().record(), "temperature": self.temperature}
