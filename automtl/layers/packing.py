"""Base weights and the masks over them as few bytes: a bit per mask entry, a float per weight that
some mask keeps.

Legend: O, I outputs and inputs of a layer, E masks over it, n live positions: those where some mask
is not 0.
"""

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from automtl.errors import ArtifactError


def pack_bits(bits: Tensor) -> Tensor:
    """Eight truth values a byte, the first in the highest bit. Shape: any -> (ceil(size / 8),),
    uint8.
    """
    return torch.from_numpy(np.packbits(bits.detach().cpu().numpy().astype(bool).reshape(-1)))


def unpack_bits(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The truth values that ``pack_bits`` packed. Shape: (ceil(size / 8),) -> `shape`."""
    return torch.from_numpy(
        np.unpackbits(packed.cpu().numpy(), count=int(np.prod(shape))).astype(bool)
    ).view(shape)


def pack(weight: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Weights and masks as tensors to store.

    "shape": (3,) E, O, I. "live": a bit per position. "values": the live weights. "masks": a bit
    per mask and live position. Where masks are not all 0 or 1 also "between": a bit per mask and
    live position, and "parts": their floats.

    Shape: weight (O, I), masks (E, O, I) in [0, 1] or bool.
    """
    live = (masks != 0).any(0)
    entries = masks[:, live]  # (E, n)
    packed = {
        "shape": torch.tensor(masks.shape),
        "live": pack_bits(live),
        "values": weight[live],
        "masks": pack_bits(entries != 0),
    }
    between = (entries != 0) & (entries != 1)
    if between.any():
        packed |= {"between": pack_bits(between), "parts": entries[between]}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in packed.items()}


def unpack(
    packed: Mapping[str, Tensor], *, largest: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Weights, 0 where no mask keeps them, and masks.

    Shape: weight (O, I); masks (E, O, I), bool where all are 0 or 1, else as the weight.

    Args:
        packed: what `pack` made.
        largest: E, O and I that its own are at most, where the file is a stranger's.

    Raises:
        ArtifactError: it was not made by `pack`: its tensors do not fit each other.
    """
    count, outputs, inputs = _checked(packed, largest)
    live = unpack_bits(packed["live"], (outputs, inputs))
    values = packed["values"]
    weight = values.new_zeros(outputs, inputs)
    weight[live] = values
    entries = unpack_bits(packed["masks"], (count, len(values)))  # (E, n)
    if "between" in packed:
        between = unpack_bits(packed["between"], (count, len(values)))
        entries = entries.to(values.dtype)
        entries[between] = packed["parts"]
    masks = entries.new_zeros(count, outputs, inputs)
    masks[:, live] = entries
    return weight, masks


def _checked(packed: Mapping[str, Tensor], largest: Sequence[int] | None) -> tuple[int, int, int]:
    """E, O and I, once it is sure that all tensors are as long as these say; before anything is
    made that long.
    """
    shape, values = packed.get("shape"), packed.get("values")
    if (
        shape is None
        or shape.dtype != torch.int64
        or shape.shape != (3,)
        or min(sizes := shape.tolist()) < 0
    ):
        _refuse("shape", shape)
    if largest is not None and any(size > most for size, most in zip(sizes, largest, strict=True)):
        _refuse("shape", shape)
    if values is None or values.dim() != 1 or not values.is_floating_point():
        _refuse("values", values)
    count, outputs, inputs = sizes
    entries = count * len(values)
    _check_bits(packed, "live", outputs * inputs, len(values))
    _check_bits(packed, "masks", entries, None)
    if "between" in packed or "parts" in packed:
        parts = packed.get("parts")
        if parts is None or parts.dim() != 1 or parts.dtype != values.dtype:
            _refuse("parts", parts)
        _check_bits(packed, "between", entries, len(parts))
    return count, outputs, inputs


def _check_bits(packed: Mapping[str, Tensor], name: str, size: int, ones: int | None) -> None:
    bits = packed.get(name)
    if bits is None or bits.dtype != torch.uint8 or bits.shape != (-(-size // 8),):
        _refuse(name, bits)
    if ones is not None and int(unpack_bits(bits, (size,)).sum()) != ones:
        _refuse(name, bits)


def _refuse(name: str, tensor: Tensor | None) -> NoReturn:
    raise ArtifactError(
        f"packed weights, {name}",
        "must fit the tensors beside it",
        "nothing" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}",
        "retrain it with this version",
    )
