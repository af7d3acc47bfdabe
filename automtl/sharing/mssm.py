"""MSSM: fields and cells shared sparsely (Ding et al., SIGIR 2021).

Legend: B rows, F fields, d embedding width, J sub-networks (one per task and a shared one), n
sub-networks that a unit reads, D width of a sub-network's output.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.layers.gates import GateMeter
from automtl.layers.masks import MASK_RATE, HardConcrete
from automtl.sharing.base import Encode, ParameterGroup, Stage, settling
from automtl.sharing.network import FusionNetwork


class FieldMasks(nn.Module):
    """E_j = [w_1j e_1, ..., w_Fj e_F] with w_ij = relu(tanh(<g_ij, e_i>)), g_ij in R^d started from
    N(0, 1) (section 2.1).

    Shape: (B, F, d) -> (J, B, F, d), a masked copy of the fields for each sub-network.

    Args:
        copies: J.
        shape: F and d.
        vector: a mask per number, relu(tanh(g_ij o e_i)), instead of one per field.
    """

    def __init__(self, copies: int, shape: tuple[int, int], *, vector: bool) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.randn(copies, *shape))
        self.vector = vector
        self.meter = GateMeter(copies * shape[0])

    def forward(self, fields: Tensor) -> Tensor:
        if self.vector:
            masks = (self.g.unsqueeze(1) * fields).tanh().relu()  # (J, B, F, d)
        else:
            masks = (
                torch.einsum("bfd,jfd->jbf", fields, self.g).tanh().relu().unsqueeze(3)
            )  # (J, B, F, 1)
        self.meter.observe(masks.detach().mean(3).transpose(0, 1).flatten(1))
        return masks * fields

    def mean(self) -> Tensor:
        """Mean mask of each field in each sub-network, over the rows the meter has seen. Shape: (J,
        F).
        """
        return self.meter.mean().view(self.g.shape[:2])


class MSSM(FusionNetwork):
    """Task sub-networks and a shared one, each over its own masked fields; v_i = sum_j m_ij o (W_ij
    u_j) after each level (section 2.2).

    m_ij is a hard concrete mask over the cells of v_i, drawn once per step. A task's sub-network
    reads its own and the shared one, the shared one reads all; ReLU between levels. The W_ij of a
    unit, without bias, start as one dense connection from all n * D would. Variants of Table 2:
    MSSM-a without `fields`, MSSM-b without `cells`, SNR-Trans without both.

    Stage "settle": the first steps, in which no epoch is judged, since a mask takes some hundred
    steps to reach 0. Without a penalty there is nothing to wait for, and no such stage.

    # DEVIATION: `lambda_m` weighs the MEAN probability of a cell to be on; the paper's sum turned
    every cell off in a trial.
    # DEVIATION: `l2` weighs a mean too, over this module's own weights; towers and the rest have
    the trainer's weight decay.
    # DEVIATION: a mask per number of a field's vector, relu(tanh(g_ij o e_i)), is the default. The
    paper calls w_ij the importance of a field, one number: but relu(tanh(<g_ij, e_i>)) is 0,
    without a gradient, for half of all ids of a field at the start, and these are lost to the
    sub-network.
    # DEVIATION: masks and g have Adam's rate 1e-2, the paper one rate for all.

    Args:
        fields: mask the fields; without, every sub-network reads the same shared input.
        field_mask: "vector" (per number) or "scalar" (per field and row, the paper's letter).
        cells: a mask per cell; without, one per connection, all pairs are connected and no ReLU
            follows, as in `snr_trans`.
        penalty: "mean" over the masks, or "sum" (the paper's letter).
        lambda_m: weight of that L0 penalty.
        l2: weight of the mean square of the sub-networks' and connections' weights.
        settle_steps: of the stage "settle".
        socket: what every sharing module takes; `fields` needs its `field_shape`.
    """

    kind = "mssm"
    noisy = True
    normalised = False

    def __init__(
        self,
        *,
        fields: bool,
        field_mask: str,
        cells: bool,
        penalty: str,
        lambda_m: float,
        l2: float,
        settle_steps: int,
        **socket: Any,
    ) -> None:
        super().__init__(all_pairs=not cells, **socket)
        self.cells = cells
        self.penalty = penalty
        self.lambda_m = lambda_m
        self.l2 = l2
        self.settle_steps = settle_steps
        self.partial = not cells  # a whole connection may be off
        # in the order of the masked copies
        owners = list(dict.fromkeys(slot.owner for slot in self.slots))
        self.copies = [owners.index(slot.owner) for slot in self.slots]
        self.names = [self.tasks[owner] if isinstance(owner, int) else owner for owner in owners]
        self.field_masks = None
        if fields:
            assert self.field_shape is not None, "masks of fields need to know how many there are"
            self.field_masks = FieldMasks(
                len(owners), self.field_shape, vector=field_mask == "vector"
            )
        widths = [self.widths[fusion] for fusion in self.fusions]
        shapes = [
            (fusion.inputs, width) for fusion, width in zip(self.fusions, widths, strict=True)
        ]
        self.connections = nn.ModuleList(
            HardConcrete((n, width if cells else 1), generator=self.generator)
            for n, width in shapes
        )
        self.transforms = nn.ParameterList(nn.Parameter(_start(n, width)) for n, width in shapes)

    def forward(self, fields: Tensor, encode: Encode | None = None) -> list[Tensor]:
        if self.field_masks is None:
            return super().forward(fields, encode)
        copies = self.field_masks(fields)  # (J, B, F, d)
        # one call on all copies, so that statistics of a batch are updated once
        rows = copies.flatten(0, 1)
        encoded = rows.flatten(1) if encode is None else encode(rows)
        return self.share(torch.stack(encoded.tensor_split(len(copies))))  # (J, B, D)

    def outputs(self, slots: Sequence[int], inputs: Sequence[Tensor]) -> list[Tensor]:
        # the module's input has a copy for each sub-network, (J, B, D)
        own = [
            x[self.copies[slot]] if x.dim() == 3 else x
            for slot, x in zip(slots, inputs, strict=True)
        ]
        return super().outputs(slots, own)

    def combine(
        self,
        units: Sequence[int],
        gate_inputs: Sequence[Tensor],
        expert_outputs: Sequence[Sequence[Tensor]],
    ) -> list[Tensor]:
        vectors = [
            self._routed(unit, outputs) for unit, outputs in zip(units, expert_outputs, strict=True)
        ]
        inner = self.fusions[units[0]].level < self.fusions[-1].level
        return [v.relu() for v in vectors] if self.cells and inner else vectors

    def _routed(self, unit: int, outputs: Sequence[Tensor]) -> Tensor:
        """v_i of a unit from the n outputs it reads. Shape: n times (B, D) -> (B, D)."""
        mask: Tensor = self.connections[unit]()  # (n, D), or (n, 1) without cells
        self.meter(unit).observe(mask.detach().mean(1))
        dense = (self.transforms[unit] * mask.t().unsqueeze(2)).flatten(1)  # (D, n * D)
        return functional.linear(torch.cat(list(outputs), dim=1), dense)

    def auxiliary_loss(
        self, outputs: Sequence[Tensor] | None = None, labels: Tensor | None = None
    ) -> Tensor | None:
        on = torch.cat([mask.expected_on().flatten() for mask in self._masks()])
        loss = self.lambda_m * (on.mean() if self.penalty == "mean" else on.sum())
        # matrices only: no biases, no normalisation, no alpha
        dense = [*self.transforms, *(w for w in self.experts.parameters() if w.dim() > 1)]
        squares = torch.stack([weight.square().sum() for weight in dense]).sum()
        total: Tensor = loss + squares * (self.l2 / sum(weight.numel() for weight in dense))
        return total

    def stages(self) -> tuple[Stage, ...]:
        return settling(self.settle_steps if self.lambda_m else 0, super().stages())

    def parameter_groups(self) -> list[ParameterGroup]:
        undecayed = [mask.log_alpha for mask in self._masks()] + (
            [] if self.field_masks is None else [self.field_masks.g]
        )
        return [ParameterGroup("masks", undecayed, lr=MASK_RATE, weight_decay=0.0)]

    def record(self) -> dict[str, Any]:
        """Beside the connections' mean masks: the share of cells that are off in evaluation, and
        the mean mask of each field (Fig. 3).
        """
        with torch.no_grad():
            off = [
                (fusion.level, mask.settled() == 0)
                for fusion, mask in zip(self.fusions, self._masks(), strict=True)
            ]
        levels = [
            _share([cells for at, cells in off if at == level])
            for level in range(self.fusions[-1].level + 1)
        ]
        record = {
            **super().record(),
            "cells_off": _share([cells for _, cells in off]),
            "cells_off_by_level": levels,
        }
        if self.field_masks is not None:
            record["field_masks"] = dict(
                zip(self.names, self.field_masks.mean().tolist(), strict=True)
            )
        return record

    def _masks(self) -> list[HardConcrete]:
        return [mask for mask in self.connections if isinstance(mask, HardConcrete)]


def _start(inputs: int, width: int) -> Tensor:
    """(D, n, D), uniform as a dense layer from n * D."""
    bound = (inputs * width) ** -0.5
    return torch.empty(width, inputs, width).uniform_(-bound, bound)


def _share(flags: Sequence[Tensor]) -> float:
    return float(torch.cat([flag.flatten() for flag in flags]).double().mean())
