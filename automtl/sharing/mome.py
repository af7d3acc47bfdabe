"""Mixture of masked experts: one base network, and a binary mask over its weights for each expert
(Xu et al., SIGIR 2024).

Legend: B rows, D width, E masks, T tasks; of a linear layer: O outputs, I inputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.errors import ArtifactError
from automtl.layers.masked import (
    BaseLinear,
    Link,
    MaskedLinear,
    base_of,
    keep_channels,
    links,
    masked,
)
from automtl.layers.masks import MASK_RATE, GaussianMask
from automtl.layers.packing import pack, pack_bits, unpack, unpack_bits
from automtl.sharing.base import ParameterGroup, Stage
from automtl.sharing.network import GatedNetwork

_BINS = 10
NEURONS, WEIGHTS, FINE = "neuron masks", "weight masks", "fine-tuning"
# as counted by the buffer `stage`; a fresh module has all its experts
_STAGES = (WEIGHTS, NEURONS, FINE)


class MoME(GatedNetwork):
    """sum_e softmax(G_t h)_e f(h, W o Z_e): experts are weight masks Z_e over one base network W,
    gates read the unpruned h (eq. 1, 2).

    Stage "neuron masks": the base alone, a mask z over the inputs of each of its layers; then z is
    folded into W and dead inputs are removed, with the columns that made them where nothing else
    reads them. Stage "weight masks": Z_e and gates on what is left. Stage "fine-tuning": Z_e
    rounded at one half for good, weights trained on.

    Ablations (Fig. 3a): without weight masks all experts would be alike, so MoME-n is ``masks=0``,
    MoME-w ``neuron_epochs=0``, and the base network both.

    Args:
        masks: E; 0 for the plain base network.
        neuron_epochs: of the first stage; 0 for none.
        weight_epochs: of the second.
        lambda_neuron: weight of the expected number of neurons that are on.
        lambda_weight: weight of the expected number of mask entries that are on, over all experts.
        penalty: "sum" over the masks' entries (eq. 6) or their "mean" (the authors' code).
        norms: each expert has its own BatchNorms ("own"), or all use the base's ("shared", the
            authors' code).
        socket: what every sharing module takes.
    """

    kind = "mome"
    noisy = True
    stage: Tensor

    def __init__(
        self,
        *,
        masks: int,
        neuron_epochs: int,
        weight_epochs: int,
        lambda_neuron: float,
        lambda_weight: float,
        penalty: str,
        norms: str,
        **socket: Any,
    ) -> None:
        super().__init__(**socket)
        self.masks = masks
        self.neuron_epochs = neuron_epochs
        self.weight_epochs = weight_epochs
        self.lambdas = {NEURONS: lambda_neuron, WEIGHTS: lambda_weight}
        self.mean = penalty == "mean"
        base = base_of(self.experts[0], own_norms=norms == "own")
        self.links: list[Link] = links(self.experts[0])
        self.experts = nn.ModuleList(masked(expert, base, self._mask) for expert in self.experts)
        self.paths, self.base = list(base), nn.ModuleList(base.values())
        self.register_buffer("stage", torch.zeros((), dtype=torch.int64))
        self.stage_name = _STAGES[0]

    def _mask(self, weight: Tensor) -> GaussianMask | None:
        return GaussianMask(weight.shape, generator=self.generator) if self.masks else None

    def _layers(self) -> Iterator[tuple[str, BaseLinear, list[MaskedLinear]]]:
        """Each linear layer of the base: its path, its weights, and what the experts make of it."""
        for path, layer in zip(self.paths, self.base, strict=True):
            if isinstance(layer, BaseLinear):
                yield path, layer, [self._masked(expert, path) for expert in self.experts]

    @staticmethod
    def _masked(expert: nn.Module, path: str) -> MaskedLinear:
        layer = expert.get_submodule(path)
        assert isinstance(layer, MaskedLinear)
        return layer

    def stages(self) -> tuple[Stage, ...]:
        learnt = [Stage(NEURONS, self.neuron_epochs, judged=False)] if self.neuron_epochs else []
        learnt += [Stage(WEIGHTS, self.weight_epochs, judged=False)] if self.masks else []
        return (*learnt, Stage(FINE))

    def begin(self, stage: str) -> None:
        if self.stage_name == NEURONS:
            self._prune()
        self._enter(stage)

    def _enter(self, stage: str) -> None:
        """Give every layer the masks of a stage."""
        self.stage_name = stage
        self.stage.fill_(_STAGES.index(stage))
        for _, layer, views in self._layers():
            layer.neurons = (
                GaussianMask((len(layer.inputs),), generator=self.generator).to(layer.weight)
                if stage == NEURONS
                else None
            )
            for view in views:
                view.masking = stage != NEURONS
                if stage == FINE and view.mask is not None and not view.mask.rounded:
                    view.mask.round()

    @torch.no_grad()
    def _prune(self) -> None:
        """Fold the neuron masks into the weights, remove what is dead, and let every expert start
        from the norms that were trained.
        """
        for path, layer, views in self._layers():
            alive = layer.fold()
            layer.keep_inputs(alive)
            for view in views:
                view.keep(columns=alive)
            for link in self.links:
                if link.reader == path:
                    self._remove_outputs(link, alive)
        first = dict(self.experts[0].named_buffers()) | dict(self.experts[0].named_parameters())
        for expert in self.experts[1:]:
            for name, tensor in [*expert.named_buffers(), *expert.named_parameters()]:
                if not name.endswith("mask.mu"):
                    tensor.copy_(first[name])

    def _remove_outputs(self, link: Link, alive: Tensor) -> None:
        """Remove the columns of a producing layer, with their biases and channels of BatchNorm."""
        layer = self.base[self.paths.index(link.producer)]
        assert isinstance(layer, BaseLinear)
        layer.keep_outputs(alive)
        if link.norm in self.paths:
            keep_channels(self.base[self.paths.index(link.norm)], alive)
        for expert in self.experts:
            self._masked(expert, link.producer).keep(rows=alive)
            keep_channels(expert.get_submodule(link.norm), alive)

    def share(self, shared: Tensor) -> list[Tensor]:
        if self.stage_name == NEURONS:
            return self.outputs([0], [shared]) * len(self.tasks)
        return super().share(shared)

    def _learnt(self) -> list[GaussianMask]:
        """The masks that the stage trains."""
        if self.stage_name == NEURONS:
            return [layer.neurons for _, layer, _ in self._layers() if layer.neurons is not None]
        masks = [
            expert.mask
            for _, _, experts in self._layers()
            for expert in experts
            if expert.mask is not None
        ]
        return [mask for mask in masks if not mask.rounded]

    def auxiliary_loss(
        self, outputs: Sequence[Tensor] | None = None, labels: Tensor | None = None
    ) -> Tensor | None:
        """The masks' penalty lambda * sum Phi(mu / sigma) over the masks in training (eq. 7)."""
        learnt = self._learnt()
        if not learnt:
            return None
        total = torch.stack([mask.expected_on().sum() for mask in learnt]).sum()
        return self.lambdas[self.stage_name] * (
            total / sum(mask.mu.numel() for mask in learnt) if self.mean else total
        )

    def parameter_groups(self) -> list[ParameterGroup]:
        return [
            ParameterGroup(
                "masks", [mask.mu for mask in self._learnt()], lr=MASK_RATE, weight_decay=0.0
            )
        ]

    @torch.no_grad()
    def record(self) -> dict[str, Any]:
        """Beside the gates' weights: the stage, inputs left of each layer, shares of masks'
        entries, live share, stored megabytes.

        "histogram": shares of entries that are 0, then in ten even parts of what lies between, then
        1. "neurons_histogram": the same of the neuron masks while they are learnt. "live": the
        share of base weights, as many as are left, that some mask keeps.
        """
        stored = (
            sum(tensor.numel() * tensor.element_size() for tensor in self.pack().values()) / 2**20
        )
        layers = list(self._layers())
        inputs = {
            path or "linear": [len(layer.inputs), layer.made_with] for path, layer, _ in layers
        }
        figures: dict[str, Any] = {"phase": self.stage_name, "inputs": inputs, "megabytes": stored}
        if self.stage_name == NEURONS:
            figures["neurons_histogram"] = _histogram(
                [layer.neurons.settled() for _, layer, _ in layers if layer.neurons is not None]
            )
        elif self.masks:
            stacks = [_stack(experts) for _, _, experts in layers]
            live = [int((masks != 0).any(0).sum()) for masks in stacks]
            figures |= {
                "histogram": _histogram(stacks),
                "live": sum(live) / sum(masks[0].numel() for masks in stacks),
            }
        return {**super().record(), "masked": figures}

    def pack(self) -> dict[str, Tensor]:
        """Base weights that a mask keeps as floats, masks and inputs left as bits, all else as it
        is; enough to evaluate.
        """
        state: dict[str, Tensor] = self.state_dict()
        if self.stage_name == NEURONS:
            return state
        for i, (path, layer, experts) in zip(self._numbers(), self._layers(), strict=True):
            left = torch.zeros(layer.made_with, dtype=torch.bool).index_fill(
                0, state.pop(f"base.{i}.inputs").cpu(), True
            )
            state[f"base.{i}.left"] = pack_bits(left)
            if self.masks:
                for name in [
                    self._name(e, path, kind) for e in range(len(experts)) for kind in ("mu", "on")
                ]:
                    state.pop(name, None)
                packed = pack(state.pop(f"base.{i}.weight"), _stack(experts))
                state |= {f"base.{i}.{name}": tensor for name, tensor in packed.items()}
        return state

    def unpack(self, packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        state = dict(packed)
        for i, (path, layer, _) in zip(self._numbers(), self._layers(), strict=True):
            if f"base.{i}.left" in state:
                state[f"base.{i}.inputs"] = (
                    unpack_bits(state.pop(f"base.{i}.left"), (layer.made_with,)).nonzero().flatten()
                )
            if f"base.{i}.live" in state:
                names = [
                    name
                    for name in ("shape", "live", "values", "masks", "between", "parts")
                    if f"base.{i}.{name}" in state
                ]
                parts = {name: state.pop(f"base.{i}.{name}") for name in names}
                weight, masks = unpack(parts, largest=(self.masks, *layer.weight.shape))
                state[f"base.{i}.weight"] = weight
                kind = "on" if int(state["stage"]) == _STAGES.index(FINE) else "mu"
                values = masks if kind == "on" else masks.to(weight.dtype)
                state |= {self._name(e, path, kind): mask for e, mask in enumerate(values)}
        return state

    def encode(self) -> None:
        """Make rounded masks share bytes, to be served by graphs that know no bits; it cannot be
        trained or stored then.
        """
        for _, layer, views in self._layers():
            if (masks := [view.mask for view in views if view.mask is not None]) and all(
                mask.rounded for mask in masks
            ):
                layer.encode(masks)

    def _numbers(self) -> list[int]:
        return [i for i, layer in enumerate(self.base) if isinstance(layer, BaseLinear)]

    @staticmethod
    def _name(expert: int, path: str, kind: str) -> str:
        return ".".join(part for part in ("experts", str(expert), path, "mask", kind) if part)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """First become a module of the state's stage and of what it has left."""
        if prefix + "stage" in state_dict:
            self._become(
                _STAGES[int(state_dict[prefix + "stage"])],
                {k.removeprefix(prefix): v for k, v in state_dict.items()},
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    @torch.no_grad()
    def _become(self, stage: str, state: Mapping[str, Tensor]) -> None:
        if self.stage_name == FINE != stage:
            for view in (view for _, _, views in self._layers() for view in views):
                view.mask = self._mask(view.base.weight)
        self._enter(stage)
        for i, layer in zip(
            self._numbers(), (layer for _, layer, _ in self._layers()), strict=True
        ):
            left = state.get(f"base.{i}.inputs", layer.inputs).tolist()
            if sorted({*left}) != left or not {*left} <= {*range(layer.made_with)}:
                raise ArtifactError(
                    f"experts, base.{i}.inputs",
                    f"must be inputs from 0 to {layer.made_with - 1}, ascending",
                    str(left)[:120],
                )
        for name, module in [
            (n, m)
            for part in ("base", "experts")
            for n, m in self.get_submodule(part).named_modules(prefix=part)
        ]:
            for key, tensor in [
                *module.named_parameters(recurse=False),
                *module.named_buffers(recurse=False),
            ]:
                loaded = state.get(f"{name}.{key}")
                if (
                    loaded is not None
                    and loaded.dim() == tensor.dim()
                    and loaded.shape != tensor.shape
                ):
                    fresh = tensor.new_zeros(loaded.shape)
                    setattr(
                        module,
                        key,
                        nn.Parameter(fresh) if isinstance(tensor, nn.Parameter) else fresh,
                    )


def _stack(experts: Sequence[MaskedLinear]) -> Tensor:
    """The settled masks of a layer. Shape: (E, O, I)."""
    return torch.stack([expert.mask.settled() for expert in experts if expert.mask is not None])


def _histogram(masks: Sequence[Tensor]) -> list[float]:
    """Shares of entries that are 0, in ten even parts between 0 and 1, and 1."""
    entries = torch.cat([mask.flatten() for mask in masks]).double()
    inner = entries[(entries > 0) & (entries < 1)]
    counts = [(entries == 0).sum(), *torch.histc(inner, _BINS, 0, 1), (entries == 1).sum()]
    return [float(count) / entries.numel() for count in counts]
