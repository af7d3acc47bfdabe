"""Comparing a module with its numpy oracle: outputs, and gradients by central finite differences of
the oracle in float64.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

STEP = 1e-6


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Float64, and no parameter or running statistic left at a value (0, 1) that would hide a
    mistake.
    """
    generator = torch.Generator().manual_seed(seed)
    module.double()
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("norm.weight")):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator, dtype=torch.float64))
        elif name.endswith(("running_mean", "norm.bias")) or (
            name.endswith("bias") and not tensor.any()
        ):
            tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64))


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {
        name: tensor.detach().numpy().copy()
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    }


def check_against(
    module: nn.Module, oracle: Callable[..., np.ndarray], x: Tensor, samples: int = 12
) -> None:
    """Forward and gradient of `module` at `x` in its present mode; at most `samples` entries per
    tensor are differenced.
    """
    params, inputs = arrays(module), x.detach().numpy().copy()
    training = module.training
    leaf = x.clone().requires_grad_()
    out = module(leaf)
    expected = oracle(inputs, params, training)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-10, atol=1e-10)

    rng = np.random.default_rng(0)
    direction = rng.standard_normal(expected.shape)
    out.backward(torch.from_numpy(direction))
    tensors = {"x": (inputs, leaf.grad)} | {
        name: (params[name], p.grad) for name, p in module.named_parameters()
    }
    for name, (array, gradient) in tensors.items():
        flat = array.reshape(-1)
        for i in rng.choice(flat.size, min(samples, flat.size), replace=False):
            numeric = _difference(
                lambda: float((oracle(inputs, params, training) * direction).sum()), flat, i
            )
            got = 0.0 if gradient is None else float(gradient.reshape(-1)[i])
            assert abs(got - numeric) <= 2e-7 * max(1.0, abs(numeric)), (name, i, got, numeric)


def _difference(value: Callable[[], float], flat: np.ndarray, i: int) -> float:
    kept = flat[i]
    flat[i] = kept + STEP
    above = value()
    flat[i] = kept - STEP
    below = value()
    flat[i] = kept
    return (above - below) / (2 * STEP)
