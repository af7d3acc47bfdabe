"""Networks that are masks over one base network: they read its weights and own nothing but masks
and, if asked, BatchNorms.

Legend: B rows, I inputs and O outputs of a linear layer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.errors import ConfigError
from automtl.layers.masks import GaussianMask
from automtl.layers.normalization import Dropout
from automtl.layers.operations import MLP, Chain, Dense, Skip


class BaseLinear(nn.Module):
    """The weights of a linear layer, for `MaskedLinear` to read, and the neuron mask over its
    inputs while one is learnt.

    Attributes:
        weight: (O, I).
        bias: (O,), or None.
        inputs: (I,) which of the inputs it was made with are left.
        codes: after `encode` (ceil(E / 8), O, I) uint8: bit e % 8 of byte e // 8 is the mask of
            expert e.
        neurons: the mask (I,), or None.
    """

    inputs: Tensor
    codes: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.made_with = linear.in_features
        self.neurons: GaussianMask | None = None
        self.register_buffer("inputs", torch.arange(linear.in_features))

    def read(self, x: Tensor) -> Tensor:
        """What is left of an input, times the neuron mask. Shape: (B, inputs it was made with), or
        (B, I) -> (B, I).
        """
        if x.shape[1] != len(self.inputs):  # a pruned producer gives what is left only
            x = x.index_select(1, self.inputs)
        return x if self.neurons is None else x * self.neurons()

    @torch.no_grad()
    def fold(self) -> Tensor:
        """Multiply the weights by the settled neuron mask and let go of it; which inputs are not
        dead, (I,), bool.

        # DEVIATION: where every input is dead, the one of the largest mu stays, at its whole
        weight; a layer needs one.
        """
        assert self.neurons is not None
        z = self.neurons.settled()
        if not z.any():
            z = functional.one_hot(self.neurons.mu.argmax(), len(z)).to(z)
        alive = z > 0
        self.weight.mul_(z)
        self.neurons = None
        return alive

    @torch.no_grad()
    def encode(self, masks: Sequence[GaussianMask]) -> None:
        """Keep rounded masks over the weights here, as bits, eight a byte."""
        bits = [mask.on.to(torch.uint8) << e % 8 for e, mask in enumerate(masks)]
        self.register_buffer(
            "codes",
            torch.stack(
                [
                    torch.stack(bits[i : i + 8]).sum(0).to(torch.uint8)
                    for i in range(0, len(bits), 8)
                ]
            ),
        )
        for e, mask in enumerate(masks):
            mask.hand_over(partial(self._decoded, e))

    def _decoded(self, e: int) -> Tensor:
        """The mask of an expert. Shape: (O, I), bool."""
        return torch.bitwise_and(self.codes[e // 8], 1 << e % 8).to(torch.bool)

    @torch.no_grad()
    def keep_inputs(self, alive: Tensor) -> None:
        """Remove the inputs that are not alive."""
        self.weight = nn.Parameter(self.weight[:, alive])
        self.inputs = self.inputs[alive]

    @torch.no_grad()
    def keep_outputs(self, alive: Tensor) -> None:
        """Remove the outputs that are not alive, with their biases."""
        self.weight = nn.Parameter(self.weight[alive])
        self.bias = None if self.bias is None else nn.Parameter(self.bias[alive])


class MaskedLinear(nn.Module):
    """x (W o Z)^T + b: base weights W under a mask Z of its own (Xu et al. 2024, section 2.2).

    Shape: (B, I) -> (B, O).

    Args:
        base: the weights; not owned.
        mask: Z (O, I), or None for the plain weights.
    """

    def __init__(self, base: BaseLinear, mask: GaussianMask | None) -> None:
        super().__init__()
        # in a tuple: whoever owns the base moves, saves and trains it
        self._base, self.mask = (base,), mask
        self.masking = True
        self.width_out = base.weight.shape[0]

    @property
    def base(self) -> BaseLinear:
        """The weights it reads."""
        return self._base[0]

    def forward(self, x: Tensor) -> Tensor:
        base = self.base
        weight = base.weight if self.mask is None or not self.masking else base.weight * self.mask()
        return functional.linear(base.read(x), weight, base.bias)

    @torch.no_grad()
    def keep(self, rows: Tensor | None = None, columns: Tensor | None = None) -> None:
        """Remove the mask's entries over outputs (rows) or inputs (columns) that are not alive."""
        if self.mask is None:
            return
        mu = self.mask.mu if rows is None else self.mask.mu[rows]
        self.mask.mu = nn.Parameter(mu if columns is None else mu[:, columns])


class Borrowed(nn.Module):
    """Another module's computation, without owning it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = (module,)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._module[0](x)
        return out


def base_of(expert: nn.Module, *, own_norms: bool) -> dict[str, nn.Module]:
    """What masked copies of an expert share, by its path inside the expert: linear layers, and all
    else that has tensors.

    Args:
        expert: any expert.
        own_norms: each copy has its own BatchNorms.

    Raises:
        ConfigError: it uses a layer in two places, which one mask cannot tell apart.
    """
    paths: dict[nn.Module, str] = {}
    for path, module in _leaves(expert):
        if module in paths:
            raise ConfigError(
                "expert",
                "must use each layer in one place, to be masked there",
                f"{paths[module]} at {path} too",
            )
        paths[module] = path
    base: dict[str, nn.Module] = {}
    for path, module in _leaves(expert):
        if isinstance(module, nn.Linear):
            base[path] = BaseLinear(module)
        elif not (own_norms and isinstance(module, nn.BatchNorm1d)):
            base[path] = module
    return base


def masked(
    expert: nn.Module, base: dict[str, nn.Module], mask: Callable[[Tensor], GaussianMask | None]
) -> nn.Module:
    """An expert made to read its weights from a base, under masks of its own.

    Args:
        expert: of the same operations as the one that `base` was taken from; changed in place, but
            for a bare linear layer.
        base: as `base_of` gives it.
        mask: makes the mask of a weight.
    """
    for path, module in list(_leaves(expert)):
        if path not in base:
            continue
        shared = base[path]
        new = (
            MaskedLinear(shared, mask(shared.weight))
            if isinstance(shared, BaseLinear)
            else Borrowed(shared)
        )
        if module is expert:
            return new
        owner, _, name = path.rpartition(".")
        setattr(expert.get_submodule(owner), name, new)
    return expert


def _leaves(expert: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules with tensors of their own."""
    for path, module in expert.named_modules(remove_duplicate=False):
        if (
            next(module.parameters(recurse=False), None) is not None
            or next(module.buffers(recurse=False), None) is not None
        ):
            yield path, module


@dataclass(frozen=True)
class Link:
    """A linear layer whose outputs one other linear layer reads, through BatchNorm, ReLU and
    dropout alone.

    Args:
        producer, norm, reader: paths inside the expert; the norm may be no BatchNorm.
    """

    producer: str
    norm: str
    reader: str


# What acts on each number by itself, so that a dead one can go before it as well as behind it.
_ELEMENTWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Tanh),
    *(nn.Sigmoid, nn.Hardswish, nn.Mish, nn.Dropout, nn.Identity),
    *(Dropout, Skip),
)


def links(expert: nn.Module) -> list[Link]:
    """Where a dead input of a layer is a dead output of the layer before: inside `mlp`, and from a
    linear layer, `mlp` or `dense` to the next one, with nothing but a BatchNorm and what acts on
    each number by itself between them.

    `gate` reads its input twice, and `conv1d` by its place, so nothing is removed before them;
    `skip` hands it on. Likewise before any module that is not known here.
    """
    chain: list[Link] = []
    before: tuple[str, str] | None = None
    for at, operation in _steps(expert):
        if isinstance(operation, _ELEMENTWISE):
            continue
        if isinstance(operation, nn.BatchNorm1d) and before is not None and not before[1]:
            before = (before[0], at)
            continue
        entry, outlet, norm = _ports(operation)
        if entry is not None and before is not None:
            chain.append(Link(*before, _joined(at, entry)))
        if isinstance(operation, MLP):
            chain.append(Link(*(_joined(at, part) for part in ("inner", "inner_norm", "outer"))))
        before = None if outlet is None else (_joined(at, outlet), norm and _joined(at, norm))
    return chain


def _ports(operation: nn.Module) -> tuple[str | None, str | None, str]:
    """Of an operation the linear layer that reads its input, the one that makes its output, and the
    norm behind that one; None where there is none such, "" where the operation is a linear layer.
    """
    if isinstance(operation, MLP):
        return "inner", "outer", "ending.norm"
    if isinstance(operation, Dense):
        return "linear", "linear", "norm"
    return ("", "", "") if isinstance(operation, nn.Linear) else (None, None, "")


def _joined(*names: str) -> str:
    return ".".join(name for name in names if name)


def _steps(expert: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules of an expert that go one after another: of a chain, of a sequence, or itself."""
    if not isinstance(expert, Chain | nn.Sequential):
        yield path, expert
        return
    for name, module in expert.named_modules(remove_duplicate=False):
        if name.count(".") == isinstance(expert, Chain) and name and name != "operations":
            yield from _steps(module, _joined(path, name))


@torch.no_grad()
def keep_channels(norm: nn.Module, alive: Tensor) -> None:
    """Remove the channels of a BatchNorm that are not alive; any other module stays as it is."""
    if not isinstance(norm, nn.BatchNorm1d):
        return
    if norm.affine:
        norm.weight, norm.bias = nn.Parameter(norm.weight[alive]), nn.Parameter(norm.bias[alive])
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean, norm.running_var = norm.running_mean[alive], norm.running_var[alive]
    norm.num_features = int(alive.sum())
