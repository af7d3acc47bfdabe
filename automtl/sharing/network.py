"""Experts in levels, and one vector per unit after each level: what nearly every sharing module is.

Which outputs a unit reads is declared in ``spaces.wiring``. How it weighs them is for a subclass to
say, by one of two hooks: ``unit_weights`` (the weights), or ``combine`` (the vectors themselves).

Shapes: B batch, D width of an expert's output, T tasks, N experts of a level, n vectors that a unit
reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError
from automtl.layers.choice_block import in_step
from automtl.layers.gates import Gate, GateMeter
from automtl.sharing._mixing import weighed_sum
from automtl.sharing._width import width_out
from automtl.sharing.base import SharingModule
from automtl.spaces.kinds import Slot
from automtl.spaces.wiring import Fusion, wire

_INPUT = -1  # the module's input, among the numbers of units


# Hooks by the names they had before: an override of one would silently never be called.
_RENAMED = {
    "weigh": "unit_weights(units, gate_inputs)",
    "fuse": "combine(units, gate_inputs, expert_outputs)",
    "phases": "stages()",
}


@dataclass(frozen=True)
class _Level:
    """One level, by numbers.

    Args:
        slots: its experts' numbers.
        sources: per expert the unit whose vector it reads, or ``_INPUT``.
        units: its units' numbers.
        gate_sources: per unit the unit whose vector its gate reads, or ``_INPUT``.
        reads: per unit the experts it weighs, by their positions in `slots`.
    """

    slots: list[int]
    sources: list[int]
    units: list[int]
    gate_sources: list[int]
    reads: list[list[int]]


class FusionNetwork(SharingModule):
    """Experts in levels, weighed into one vector per unit after each level.

    Args:
        order: the tasks' numbers in the order of a funnel, for a kind that has one.
        all_pairs: units read all others, for a kind that can do with fewer.
        socket: what every sharing module takes.

    Attributes:
        fusions: the units, lower levels first; a unit's place in it is its number.
        gate_sources: per unit, whose vector its gate reads; None for the module's input.
    """

    # gates read the module's input on every level, not their unit's own vector of the level before
    raw_gates = False

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        for old, new in _RENAMED.items():
            if old in vars(cls):
                raise ConfigError(
                    f"sharing module {cls.__name__}",
                    f"must define {new}, which was called {old} before",
                    old,
                    f"rename {old} to {new.partition('(')[0]}",
                )

    def __init__(
        self, *, order: Sequence[int] | None = None, all_pairs: bool = False, **socket: Any
    ) -> None:
        super().__init__(**socket)
        self.wiring = wire(
            self.kind,
            self.slots,
            num_tasks=len(self.tasks),
            picks=self.chosen,
            order=order,
            all_pairs=all_pairs,
        )
        self.fusions = self.wiring.fusions
        self.gate_sources = [
            None if self.raw_gates else self.wiring.previous(fusion) for fusion in self.fusions
        ]
        self.widths: dict[Fusion | None, int] = {None: self.width_in}
        self.experts = nn.ModuleList()
        places: dict[Fusion | None, int] = {
            None: _INPUT,
            **{fusion: i for i, fusion in enumerate(self.fusions)},
        }
        self._levels = [
            self._add_level(level, places, socket["build"])
            for level in range(self.fusions[-1].level + 1)
        ]
        self._towers = [places[self.wiring.tower(t)] for t in range(len(self.tasks))]
        self.width_out = [self.widths[self.fusions[i]] for i in self._towers]
        self.meters = nn.ModuleList(GateMeter(fusion.inputs) for fusion in self.fusions)

    def _add_level(self, level: int, places: Mapping[Fusion | None, int], build: Any) -> _Level:
        """Build a level's experts, each as wide at its input as the unit it reads."""
        slots = [i for i, slot in enumerate(self.slots) if slot.level == level]
        units = [i for i, fusion in enumerate(self.fusions) if fusion.level == level]
        sources = [self.wiring.source(self.slots[i]) for i in slots]
        experts = [
            build(self.slots[i], self.widths[source])
            for i, source in zip(slots, sources, strict=True)
        ]
        widths = [
            width_out(expert, self.widths[source], where=f"expert {self.slots[i]}")
            for expert, i, source in zip(experts, slots, sources, strict=True)
        ]
        self.experts.extend(experts)
        position = {self.slots[i]: j for j, i in enumerate(slots)}
        reads = [[position[slot] for slot in self.fusions[i].slots] for i in units]
        for i, read in zip(units, reads, strict=True):
            self.widths[self.fusions[i]] = _one_width(self.fusions[i], [widths[j] for j in read])
        return _Level(
            slots,
            [places[s] for s in sources],
            units,
            [places[self.gate_sources[i]] for i in units],
            reads,
        )

    def share(self, shared: Tensor) -> list[Tensor]:
        vectors = {_INPUT: shared}
        for level in self._levels:
            outputs = self.outputs(level.slots, [vectors[source] for source in level.sources])
            combined = self.combine(
                level.units,
                [vectors[source] for source in level.gate_sources],
                [[outputs[j] for j in reads] for reads in level.reads],
            )
            vectors.update(zip(level.units, combined, strict=True))
        return [vectors[unit] for unit in self._towers]

    def outputs(self, slots: Sequence[int], inputs: Sequence[Tensor]) -> list[Tensor]:
        """The experts' outputs, each expert on an input of its own.

        Args:
            slots: the experts' numbers.
            inputs: one per expert, (B, width).

        Returns:
            One per expert, (B, D).
        """
        return in_step([self.experts[slot] for slot in slots], inputs)

    def combine(
        self,
        units: Sequence[int],
        gate_inputs: Sequence[Tensor],
        expert_outputs: Sequence[Sequence[Tensor]],
    ) -> list[Tensor]:
        """The vectors of the units of one level.

        Args:
            units: their numbers.
            gate_inputs: per unit, what its gate reads, (B, width).
            expert_outputs: per unit, the outputs it weighs, n times (B, D).
        """
        weights = self.unit_weights(units, gate_inputs)
        return [
            self.weighed_sum(unit, w, outputs)
            for unit, w, outputs in zip(units, weights, expert_outputs, strict=True)
        ]

    def weighed_sum(self, unit: int, weights: Tensor | None, outputs: Sequence[Tensor]) -> Tensor:
        """A unit's vector, (B, D); without weights, its only input unchanged."""
        if weights is None:
            return outputs[0]
        self.meter(unit).observe(weights)
        return weighed_sum(weights, outputs)

    def unit_weights(
        self, units: Sequence[int], gate_inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """Per unit the weights of the outputs it reads, (B, n) or (n,); None where there is only
        one, which is passed on.

        Args:
            units: the numbers of the units of one level.
            gate_inputs: per unit, what its gate reads, (B, width).
        """
        assert all(self.fusions[unit].inputs == 1 for unit in units), (
            f"{type(self).__name__} must define unit_weights()"
        )
        return [None] * len(units)

    def meter(self, unit: int) -> GateMeter:
        """The meter of a unit's weights."""
        meter = self.meters[unit]
        assert isinstance(meter, GateMeter)
        return meter

    def gate_weights(self) -> dict[str, Tensor]:
        """Per unit its mean weights over all experts of its level, (N,), 0 for those it does not
        read; where there are several levels, the key names the level too.
        """
        named = {}
        for number, level in enumerate(self._levels):
            for unit, reads in zip(level.units, level.reads, strict=True):
                weights = self.meter(unit).mean()
                places = torch.tensor(reads, device=weights.device)
                label = self.fusions[unit].label(self.tasks)
                spread = weights.new_zeros(len(level.slots)).index_copy(
                    0, places, weights[-len(reads) :]
                )
                named[label if len(self._levels) == 1 else f"level{number}.{label}"] = spread
        return named

    def record(self) -> dict[str, Any]:
        """Per level its experts and, per unit, their mean weights (AdaTT, Fig. 3)."""
        weights, levels = iter(self.gate_weights().values()), []
        for level in self._levels:
            units = {
                self.fusions[unit].label(self.tasks): next(weights).tolist() for unit in level.units
            }
            levels.append(
                {
                    "experts": [_spoken(self.slots[i], self.tasks) for i in level.slots],
                    "weights": units,
                }
            )
        return {"levels": levels}

    def reads(self, task: int) -> frozenset[Slot]:
        return self.wiring.reads(task)

    def slot_weights(self) -> Tensor | None:
        """Absolute mean gate weights, normalised to sum to 1 in each unit and multiplied along the
        paths to each task's tower.
        """
        slots = torch.zeros(len(self.tasks), len(self.slots), dtype=torch.float64)
        # the last column is the module's input
        units = torch.zeros(len(self.tasks), len(self.fusions) + 1, dtype=torch.float64)
        for t, unit in enumerate(self._towers):
            units[t, unit] = 1
        for level in reversed(self._levels):
            for unit, reads in zip(level.units, level.reads, strict=True):
                weights = self.meter(unit).mean().abs().double().cpu()
                weights = (
                    weights / weights.sum()
                    if weights.any()
                    else torch.full_like(weights, 1 / len(weights))
                )
                for weight, j in zip(weights, reads, strict=True):
                    slots[:, level.slots[j]] += weight * units[:, unit]
            for slot, source in zip(level.slots, level.sources, strict=True):
                units[:, source] += slots[:, slot]
        return slots


class GatedNetwork(FusionNetwork):
    """One softmax gate per unit; a unit that reads one expert has none.

    Args:
        gate_bias: give the gates a bias.
        socket: what every sharing module takes.
    """

    def __init__(self, *, gate_bias: bool = False, **socket: Any) -> None:
        super().__init__(**socket)
        self.gates = nn.ModuleList(self._gate(unit, gate_bias) for unit in range(len(self.fusions)))

    def _gate(self, unit: int, bias: bool) -> nn.Module:
        inputs = self.fusions[unit].inputs
        return (
            Gate(self.widths[self.gate_sources[unit]], inputs, bias=bias)
            if inputs > 1
            else nn.Identity()
        )

    def unit_weights(
        self, units: Sequence[int], gate_inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        gated = [self.fusions[unit].inputs > 1 for unit in units]
        return [
            self.gates[unit](x) if gate else None
            for unit, x, gate in zip(units, gate_inputs, gated, strict=True)
        ]


def _one_width(fusion: Fusion, widths: Sequence[int]) -> int:
    if len(set(widths)) != 1:
        rule = "must have one output width, since their outputs are added"
        raise ConfigError(f"experts of level {fusion.level}", rule, sorted(set(widths)))
    return widths[0]


def _spoken(slot: Slot, tasks: Sequence[str]) -> str:
    """A slot's place in its level, in words."""
    if slot.owner == "pool":
        return str(slot.index)
    return f"{tasks[slot.owner] if isinstance(slot.owner, int) else slot.owner}.{slot.index}"
