"""Working memory that is used again and again."""

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor


class _Buffers(threading.local):
    """A thread's own."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, torch.dtype], Tensor] = {}


_buffers = _Buffers()


def scratch(name: str, shape: Sequence[int], like: Tensor) -> Tensor:
    """Memory for an intermediate result of one chunk, with `like`'s type and device: on a CPU,
    fresh pages cost more than the products that fill them. The next call of the same name
    overwrites it. A compiler plans memory itself.
    """
    if like.device.type != "cpu" or torch.compiler.is_compiling():
        return like.new_empty(shape)
    size, key = math.prod(shape), (name, like.dtype)
    buffer = _buffers.held.get(key)
    if buffer is None or buffer.numel() < size:
        buffer = _buffers.held[key] = like.new_empty(size)
    return buffer[:size].view(shape)
