"""Working memory that is used again and again."""

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor


class _Scratch(threading.local):
    """Memory for intermediate results of one chunk: on a CPU, fresh pages cost more than the
    products that fill them.
    """

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of `shape` with `like`'s type and device; the next call of the same name
        overwrites it.
        """
        if like.device.type != "cpu":
            return like.new_empty(shape)
        size = math.prod(shape)
        buffer = self.buffers.get((name, like.dtype))
        if buffer is None or buffer.numel() < size:
            buffer = self.buffers[name, like.dtype] = like.new_empty(size)
        return buffer[:size].view(shape)


scratch = _Scratch()
