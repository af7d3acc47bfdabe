"""Each kernel beside the same in plain torch, forward and backward: interleaved, medians of the
ratios and their range.

    python scripts/bench_kernels.py [--rounds 15] [--threads N] [--only normalised_sum ...]

Sizes are those of a step of `automtl_small` over 2,048 rows. `tests/layers/test_kernels.py` holds
values and gradients of the same pairs against each other.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from automtl.layers.kernels import (
    batch_moments,
    bn_relu_dropout,
    matmul,
    mlp_bank,
    normalised_sum,
)

NORM = SimpleNamespace(update_statistics=False, momentum=0.1, eps=1e-5)
SCALE = 1.25


@dataclass(frozen=True)
class Sizes:
    """B rows, D width, N blocks, S candidates, H hidden units of each of them."""

    rows: int = 2048
    width: int = 64
    blocks: int = 3
    candidates: int = 4
    hidden: int = 64


SMALL = Sizes(rows=12, width=5, blocks=2, candidates=3, hidden=4)


@dataclass(frozen=True)
class Pair:
    """A kernel and its reference on the same arguments.

    Args:
        fast: takes tensors, gives one or several.
        reference: likewise.
        shapes: of the arguments.
    """

    fast: Callable[..., Tensor | tuple[Tensor, ...]]
    reference: Callable[..., Tensor | tuple[Tensor, ...]]
    shapes: Callable[[Sizes], list[tuple[int, ...]]]

    def arguments(self, sizes: Sizes, dtype: torch.dtype) -> list[Tensor]:
        """Drawn with a seed; all want a gradient."""
        generator = torch.Generator().manual_seed(0)
        return [
            torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()
            for shape in self.shapes(sizes)
        ]


def _fast_pair(x: Tensor, r: Tensor, w: Tensor, gamma: Tensor, beta: Tensor, *v: Tensor) -> Tensor:
    return mlp_bank.product_pair(x, r, w, gamma, beta, v, dtype=x.dtype)


def _plain_pair(x: Tensor, r: Tensor, w: Tensor, gamma: Tensor, beta: Tensor, *v: Tensor) -> Tensor:
    return mlp_bank.product_pair_reference(x, r, w, gamma, beta, v)


def _of_pair(s: Sizes) -> list[tuple[int, ...]]:
    units = s.candidates * s.hidden
    outer = [(s.width, s.hidden)] * (s.blocks * s.candidates)
    return [
        (s.blocks, s.width, s.rows),
        (s.blocks, units),
        (s.blocks, units, s.width),
        (s.blocks, units),
        (s.blocks, units),
        *outer,
    ]


def _of_sum(s: Sizes) -> list[tuple[int, ...]]:
    several = (s.blocks, s.candidates, s.width)
    return [(s.blocks, s.width, s.rows), (*several, s.rows), several]


def _sums(running: bool) -> Pair:
    def fast(base: Tensor, outputs: Tensor, factor: Tensor) -> Tensor:
        return normalised_sum.normalised_sum(base, outputs, factor, NORM.eps, running=running)[0]

    def plain(base: Tensor, outputs: Tensor, factor: Tensor) -> Tensor:
        return normalised_sum.normalised_sum_reference(
            base, outputs, factor, NORM.eps, running=running
        )[0]

    return Pair(fast, plain, _of_sum)


PAIRS = {
    "centre": Pair(
        batch_moments.centre,
        batch_moments.centre_reference,
        lambda s: [(s.blocks, s.width, s.rows)],
    ),
    # its gradient takes inputs as they are given for centred ones
    "row_variances": Pair(
        lambda w, x: batch_moments.row_variances(w, batch_moments.centre(x)[0]),
        lambda w, x: batch_moments.row_variances_reference(w, x - x.mean(2, keepdim=True)),
        lambda s: [(s.blocks, s.hidden, s.width), (s.blocks, s.width, s.rows)],
    ),
    "normalised_relu": Pair(
        lambda z, gamma, beta, offset, draws: bn_relu_dropout.NormalisedReLU.apply(
            NORM, (draws > -0.5).to(z.dtype), SCALE, z, gamma, beta, offset
        ),
        lambda z, gamma, beta, offset, draws: bn_relu_dropout.normalised_relu_reference(
            z, gamma, beta, offset, mask=(draws > -0.5).to(z.dtype), scale=SCALE, eps=NORM.eps
        ),
        lambda s: [(s.rows, s.width), (s.width,), (s.width,), (s.width,), (s.rows, s.width)],
    ),
    "product": Pair(
        matmul.product,
        matmul.product_reference,
        lambda s: [(s.rows, s.width), (s.candidates * s.hidden, s.width)],
    ),
    "product_pair": Pair(_fast_pair, _plain_pair, _of_pair),
    "normalised_sum": _sums(running=False),
    "normalised_sum, running": _sums(running=True),
}


def both_ways(
    function: Callable[..., Tensor | tuple[Tensor, ...]], arguments: Sequence[Tensor]
) -> list[Tensor]:
    """The outputs, and the gradients of their weighed sum; the weights are drawn with a seed."""
    outputs = function(*arguments)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    generator = torch.Generator().manual_seed(1)
    total = sum(
        (o * torch.randn(o.shape, dtype=o.dtype, generator=generator)).sum() for o in outputs
    )
    gradients = torch.autograd.grad(total, list(arguments), allow_unused=True)
    return [*outputs, *(g for g in gradients if g is not None)]


def seconds(function: Callable[..., Tensor], arguments: Sequence[Tensor]) -> float:
    """Of one pass forward and backward."""
    begun = time.perf_counter()
    both_ways(function, arguments)
    return time.perf_counter() - begun


def main(arguments: list[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rows", type=int, default=Sizes.rows)
    parser.add_argument("--only", nargs="+", choices=PAIRS, default=list(PAIRS))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"{'kernel':26}{'ms':>8}{'plain ms':>10}{'times as fast':>15}{'range':>16}")
    for name in options.only:
        pair = PAIRS[name]
        given = pair.arguments(Sizes(rows=options.rows), torch.float32)
        rounds = [
            (seconds(pair.fast, given), seconds(pair.reference, given))
            for _ in range(options.rounds + 1)
        ][1:]
        ratios = sorted(plain / fast for fast, plain in rounds)
        fast, plain = (1000 * statistics.median(times) for times in zip(*rounds, strict=True))
        span = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"{name:26}{fast:8.2f}{plain:10.2f}{statistics.median(ratios):15.2f}{span:>16}")


if __name__ == "__main__":
    main()
