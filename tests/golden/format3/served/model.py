"""golden: the trained model as plain PyTorch.

Written by `automtl export --format python`. It needs torch, and the file of weights beside it:

    from encode import Encoder
    from model import load

    model = load("weights.safetensors")
    answers = model({name: torch.from_numpy(array) for name, array in Encoder()([row]).items()})

Legend: B rows, F fields, d embedding width, D width of the experts' input, L longest list.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file: eight bytes of length, a JSON header of that length, then
    all values behind each other.
    """
    types = {"F64": torch.float64, "F32": torch.float32, "I64": torch.int64, "I32": torch.int32, "BOOL": torch.bool}
    data = bytearray(Path(path).read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            kind, shape = types[entry["dtype"]], entry["shape"]
            tensors[name] = torch.frombuffer(data[begin:end], dtype=kind).reshape(shape) if end > begin else torch.empty(shape, dtype=kind)
    return tensors


def mix(weights: Tensor, experts: Sequence[Tensor]) -> Tensor:
    """sum_i weights_i E_i with weights (B, n) or (n,) and n experts (B, D) -> (B, D)."""
    mixed = weights[..., 0, None] * experts[0]
    for i in range(1, len(experts)):
        mixed = torch.addcmul(mixed, weights[..., i, None].expand_as(experts[i]), experts[i])
    return mixed


class EmbeddingTable(nn.Module):
    """All fields of one width in one table: field j's rows begin at its offset, so a lookup is one
    gather.
    """

    offsets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.empty(1, dtype=torch.int64))
        self.weight = nn.Parameter(torch.empty(11, 2))

    def forward(self, ids: Tensor, lists_0: Tensor) -> Tensor:
        column = (lists_0 != 0).to(torch.float32).unsqueeze(2)
        ratio = (functional.embedding(lists_0 + 7, self.weight) * column).sum(dim=1) / column.sum(dim=1).clamp_min(1)
        return torch.cat([functional.embedding(ids + self.offsets, self.weight), ratio.unsqueeze(1)], dim=1)


class NumericFields(nn.Module):
    """x_j * w_j + b_j: every numeric column a field of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(2, 2))
        self.weight = nn.Parameter(torch.empty(2, 2))

    def forward(self, dense: Tensor) -> Tensor:
        return torch.addcmul(self.bias, dense.unsqueeze(2), self.weight)


class InputLayer(nn.Module):
    """Fields as vectors: those of one id in their order, then those of lists, then the numeric
    ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embeddings_0 = EmbeddingTable()
        self.numeric = NumericFields()

    def forward(self, ids: Tensor, dense: Tensor, lists_0: Tensor) -> Tensor:
        return torch.cat([self.embeddings_0(ids, lists_0), self.numeric(dense)], dim=1)


class Skip(nn.Module):
    """The identity, without BatchNorm or dropout."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class MLP(nn.Module):
    """Linear -> BatchNorm -> ReLU -> Linear back to the input's width; no ReLU after the last."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.inner_norm = nn.BatchNorm1d(4, eps=1e-05)
        self.outer = nn.Linear(4, 4)
        self.ending_norm = nn.BatchNorm1d(4, eps=1e-05)

    def forward(self, x: Tensor) -> Tensor:
        return self.ending_norm(self.outer(torch.relu(self.inner_norm(self.inner(x)))))


class Expert(nn.Module):
    """Operations in a row: (B, width_in) -> (B, width_out)."""

    def __init__(self) -> None:
        super().__init__()
        self.operations_0 = MLP()

    def forward(self, x: Tensor) -> Tensor:
        return self.operations_0(x)


class Gate(nn.Module):
    """softmax(W h + b) over experts (Ma et al., KDD 2018, eq. 7; without bias there as here)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        return self.linear(h).softmax(dim=-1)


class Dense(nn.Module):
    """Linear -> BatchNorm -> ReLU -> dropout: one layer of a hand-made expert or of a tower."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4, eps=1e-05)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.linear(x)))


class Tower(nn.Module):
    """Per layer Linear -> BatchNorm -> ReLU -> dropout, then Linear to the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layers_0 = Dense()
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers_0(x)).squeeze(1)


class Model(nn.Module):
    """From features to answers: click (binary), spend (regression)."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = InputLayer()
        self.interaction_0 = Skip()
        self.projection = nn.Linear(8, 4)
        self.expert_0 = Expert()
        self.expert_1 = Expert()
        self.gate_click = Gate()
        self.gate_spend = Gate()
        self.tower_click = Tower()
        self.tower_spend = Tower()

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        ids = torch.stack([features[name] for name in ["user"]], dim=1)
        dense = torch.stack([features[name] for name in ["price", "price:missing"]], dim=1)
        logits = self.logits(ids, dense, features["tags"])
        return {
            "probs_click": torch.sigmoid(logits[0]),
            "value_spend": (logits[1].double() * 0.9415507531291094 + -0.09436764705882353).float(),
        }

    def logits(self, ids: Tensor, dense: Tensor, lists_0: Tensor) -> list[Tensor]:
        fields = self.fields(ids, dense, lists_0)
        interaction_0 = self.interaction_0(fields.flatten(1).view_as(fields))
        projection = self.projection(interaction_0)
        expert_0 = self.expert_0(projection)
        expert_1 = self.expert_1(projection)
        gate_click = self.gate_click(projection)
        gate_spend = self.gate_spend(projection)
        tower_click = self.tower_click(mix(gate_click, [expert_0, expert_1]))
        tower_spend = self.tower_spend(mix(gate_spend, [expert_0, expert_1]))
        return [tower_click, tower_spend]


def load(path: str | Path) -> Model:
    """The model with its weights, ready to answer."""
    model = Model()
    model.load_state_dict(read_safetensors(path))
    return model.eval().requires_grad_(False)
