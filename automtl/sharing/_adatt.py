"""AdaTT: adaptive task-to-task fusion (Li et al., KDD 2023). Legend: B rows, m_t own experts of a
unit, n experts of a level.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.sharing.network import GatedNetwork


class AdaTT(GatedNetwork):
    """f_t = (pad(v_t) + G_t) E with G_t = softmax(W_t f_t of the level before) over ALL experts of
    the level (eq. 4 to 11).

    v_t weighs the unit's own experts and is learnt; a single own expert has v = 1 and nothing to
    learn. The shared unit, where there is one, fuses on every level but the last (section 3.2).

    # DEVIATION: whether v is learnt is decided per unit; the authors' code learns every v as soon
    as any unit has several experts.

    Args:
        native_residual: add v; without it only the gate is left (the ablation of Table 6).
        native_init: "uniform" (+-1/sqrt(m_t)) or "ones".
        socket: gate_bias, and what every sharing module takes.
    """

    kind = "adatt"

    def __init__(
        self, *, native_residual: bool = True, native_init: str = "uniform", **socket: Any
    ) -> None:
        super().__init__(**socket)
        self.native_residual = native_residual
        self.normalised = not native_residual
        # a unit's own experts stand next to each other in its level
        own = [[i for i, slot in enumerate(f.slots) if slot.owner == f.owner] for f in self.fusions]
        self._pads = [
            (places[0], len(f.slots) - 1 - places[-1])
            for places, f in zip(own, self.fusions, strict=True)
        ]
        sizes = {
            str(unit): len(places)
            for unit, places in enumerate(own)
            if len(places) > 1 and native_residual
        }
        self.native = nn.ParameterDict(
            {unit: nn.Parameter(_start(size, native_init)) for unit, size in sizes.items()}
        )

    def unit_weights(
        self, units: Sequence[int], gate_inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        gates = super().unit_weights(units, gate_inputs)
        if not self.native_residual:
            return gates
        return [
            self._padded(unit, x) + (1 if gate is None else gate)
            for unit, x, gate in zip(units, gate_inputs, gates, strict=True)
        ]

    def _padded(self, unit: int, like: Tensor) -> Tensor:
        """pad(v) of eq. 11, zeros at other units' experts. Shape: (n,)."""
        key = str(unit)
        v: Tensor = self.native[key] if key in self.native else like.new_ones(1)
        return functional.pad(v, self._pads[unit])


def _start(size: int, how: str) -> Tensor:
    return (
        torch.ones(size) if how == "ones" else torch.empty(size).uniform_(-(size**-0.5), size**-0.5)
    )
