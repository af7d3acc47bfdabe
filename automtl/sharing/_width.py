"""How wide the output of an expert is. Legend: B rows, D width of its input, w of its output."""

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError

_ROWS = 2


def width_out(expert: nn.Module, width_in: int, *, where: str) -> int:
    """The w of an expert (B, D) -> (B, w): its attribute ``width_out``, or else what a run in
    evaluation gives.

    Args:
        expert: any module; it is as it was before, lazy layers apart.
        width_in: D.
        where: named in errors.

    Raises:
        ConfigError: it does not take (B, D), or does not give (B, w).
    """
    declared = getattr(expert, "width_out", None)
    if isinstance(declared, int):
        return declared
    rule = f"must be a module (B, {width_in}) -> (B, w)"
    try:
        output = _run(expert, width_in)
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise ConfigError(where, rule, f"{type(error).__name__}: {error}") from error
    if not isinstance(output, Tensor):
        raise ConfigError(where, rule, f"a {type(output).__name__} as its output")
    if output.dim() != 2 or len(output) != _ROWS:
        raise ConfigError(where, rule, f"{tuple(output.shape)} for {_ROWS} rows")
    return output.shape[1]


@torch.no_grad()
def _run(expert: nn.Module, width_in: int) -> object:
    """The expert's output for two rows of zeros, without dropout or new running statistics."""
    like = next((p for p in expert.parameters() if p.is_floating_point()), torch.empty(0))
    training = [module for module in expert.modules() if module.training]
    try:
        zeros = torch.zeros(_ROWS, width_in, device=like.device, dtype=like.dtype)
        return expert.eval()(zeros)
    finally:
        for module in training:
            module.training = True
