"""Tensors as one safetensors file, written and read piece by piece: neither way holds a second copy
of them.

The bytes are those of safetensors' own writer, which makes them all in memory first.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from automtl import files

PIECE = 2**20  # numbers at a time, of what has to be copied from a device

_DTYPES = {  # as safetensors orders them: from the last to the first in a file
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "F16": torch.float16,
    "I32": torch.int32,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_RANKS = {dtype: rank for rank, dtype in enumerate(_DTYPES.values())}


def write(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors of any device as one safetensors file, atomically.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    names = sorted(tensors, key=lambda name: (-_RANKS[tensors[name].dtype], name))
    with files.stream(path) as stream:
        stream.write(_header(names, tensors, metadata))
        for name in names:
            for piece in pieces(tensors[name]):
                stream.write(piece)


def pieces(tensor: Tensor) -> Iterator[memoryview]:
    """The bytes of a tensor in row order."""
    for piece in torch.split(tensor.detach().contiguous().view(-1), PIECE):
        yield piece.cpu().view(torch.uint8).numpy().data


def _header(
    names: list[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None
) -> bytes:
    """What stands before the numbers: its own length, then JSON filled up to 8 bytes."""
    layout: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        tensor, begin = tensors[name], end
        end += tensor.numel() * tensor.element_size()
        layout[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(layout, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file.

    Raises:
        OSError, ValueError, safetensors.SafetensorError: it is none, or is torn.
    """
    with safetensors.safe_open(str(path), framework="numpy") as reader:
        # which refuses a header that does not fit the file, with gaps or overlaps
        metadata = reader.metadata() or {}
        forms = {name: reader.get_slice(name) for name in reader.offset_keys()}
        tensors = {name: _empty(form.get_dtype(), form.get_shape()) for name, form in forms.items()}
    with path.open("rb") as stream:
        stream.seek(8 + int.from_bytes(stream.read(8), "little"))
        for name, tensor in tensors.items():
            numbers = tensor.view(-1).view(torch.uint8).numpy().data
            if stream.readinto(numbers) != len(numbers):
                raise ValueError(f"the file ends within {name}")
    return metadata, tensors


def _empty(dtype: str, shape: list[int]) -> Tensor:
    if dtype not in _DTYPES:
        raise ValueError(f"its numbers must be of {', '.join(_DTYPES)}, got {dtype}")
    return torch.empty(shape, dtype=_DTYPES[dtype])
