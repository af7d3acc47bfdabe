"""How a plain PyTorch file reads its weights; the function stands in that file as it is here."""

import json
import struct
from pathlib import Path

import torch
from torch import Tensor


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file: eight bytes of length, a JSON header of that length, then
    all values behind each other.
    """
    types = {
        "F64": torch.float64,
        "F32": torch.float32,
        "I64": torch.int64,
        "I32": torch.int32,
        "BOOL": torch.bool,
    }
    data = bytearray(Path(path).read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            kind, shape = types[entry["dtype"]], entry["shape"]
            tensors[name] = (
                torch.frombuffer(data[begin:end], dtype=kind).reshape(shape)
                if end > begin
                else torch.empty(shape, dtype=kind)
            )
    return tensors
