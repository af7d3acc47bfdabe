"""Sub-network routing (Ma et al., AAAI 2019). Legend: B rows, D width of a sub-network's output, n
sub-networks of a level, u units.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.layers.masks import MASK_RATE, HardConcrete
from automtl.sharing.base import ParameterGroup, Stage, settling
from automtl.sharing.network import FusionNetwork


class SNRAver(FusionNetwork):
    """v_i = sum_j z_ij u_j (eq. 3): every sub-network of the next level, and every task, reads all
    of this one.

    z is a scalar hard concrete variable per connection, drawn once per step; the expected number of
    those that are not 0 is penalised (eq. 9), after a stage "settle" as in `mssm`.

    # DEVIATION: each unit's likeliest connection costs nothing. BatchNorm behind a unit takes out
    the size of a lone z, so that nothing in the loss would hold it against the penalty: with the
    paper's sum two of three tasks read nothing in the end.
    # DEVIATION: log_alpha has Adam's rate 1e-2, the paper one rate for all.

    Args:
        l0: weight of that penalty.
        settle_steps: of the stage "settle".
        socket: what every sharing module takes.
    """

    kind = "snr_aver"
    noisy = partial = True
    normalised = False

    def __init__(self, *, l0: float, settle_steps: int, **socket: Any) -> None:
        super().__init__(**socket)
        self.l0, self.settle_steps = l0, settle_steps
        sizes = [
            [f.inputs for f in self.fusions if f.level == level]
            for level in range(self.fusions[-1].level + 1)
        ]
        self.connections = nn.ModuleList(
            HardConcrete((len(units), units[0]), generator=self.generator) for units in sizes
        )

    def unit_weights(
        self, units: Sequence[int], gate_inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        return list(self.connections[self.fusions[units[0]].level]())

    def auxiliary_loss(
        self, outputs: Sequence[Tensor] | None = None, labels: Tensor | None = None
    ) -> Tensor | None:
        on = [z.expected_on() for z in self._masks()]  # (u, n) per level
        return self.l0 * torch.stack([p.sum() - p.amax(1).sum() for p in on]).sum()

    def stages(self) -> tuple[Stage, ...]:
        return settling(self.settle_steps if self.l0 else 0, super().stages())

    def parameter_groups(self) -> list[ParameterGroup]:
        return [
            ParameterGroup(
                "connections", [z.log_alpha for z in self._masks()], lr=MASK_RATE, weight_decay=0.0
            )
        ]

    def record(self) -> dict[str, Any]:
        """Beside the weights, per level the shares of connections that are on in evaluation, and of
        those beyond one per unit that are off.

        "connections_on" and "cross_off".
        """
        with torch.no_grad():
            on = [(z.settled() > 0).double() for z in self._masks()]  # (u, n) per level
        more = [
            (float((p.sum(1) - 1).clamp_min(0).sum()), p.shape[0] * (p.shape[1] - 1)) for p in on
        ]
        off = [1 - cross / most if most else 0.0 for cross, most in more]
        return {
            **super().record(),
            "connections_on": [float(p.mean()) for p in on],
            "cross_off": off,
        }

    def _masks(self) -> list[HardConcrete]:
        return [z for z in self.connections if isinstance(z, HardConcrete)]


class SNRTrans(SNRAver):
    """v_i = sum_j z_ij W_ij u_j (eq. 2), W_ij (D, D) without bias, started as one dense connection
    from all n * D inputs would be.
    """

    kind = "snr_trans"

    def __init__(self, **socket: Any) -> None:
        super().__init__(**socket)
        shapes = []
        for level in range(self.fusions[-1].level + 1):
            units = [f for f in self.fusions if f.level == level]
            width = self.widths[units[0]]
            shapes.append((len(units), width, units[0].inputs, width))
        self.transforms = nn.ParameterList(
            nn.Parameter(_start(shape)) for shape in shapes
        )  # (u, D, n, D)

    def combine(
        self,
        units: Sequence[int],
        gate_inputs: Sequence[Tensor],
        expert_outputs: Sequence[Sequence[Tensor]],
    ) -> list[Tensor]:
        level = self.fusions[units[0]].level
        z: Tensor = self.connections[level]()  # (u, n)
        for unit, weights in zip(units, z, strict=True):
            self.meter(unit).observe(weights)
        dense = (
            (self.transforms[level] * z[:, None, :, None]).flatten(2).flatten(0, 1)
        )  # (u * D, n * D)
        # every unit reads the same outputs
        joined = functional.linear(torch.cat(list(expert_outputs[0]), dim=1), dense)
        return list(joined.chunk(len(units), dim=1))


def _start(shape: tuple[int, int, int, int]) -> Tensor:
    bound = (shape[2] * shape[3]) ** -0.5
    return torch.empty(shape).uniform_(-bound, bound)
