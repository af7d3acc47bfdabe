"""Balancing by changing the tasks' gradients where they disagree."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.training.balancing._gradient_balancing import (
    Gradients,
    PerTask,
    Weighting,
    add_gradient,
    size,
)
from automtl.training.checkpoint_state import Count, State, parse


class _Steps(State):
    """The state of `Surgery`, beside the meter's."""

    steps: Count


class Surgery(PerTask):
    """Shared gradient sum_k c_k g_k, g_k = w_k grad L_k, with c from the Gram matrix of the g_k.

    Everything that PCGrad, CAGrad and their like do to a set of gradients is such a sum, so that K
    backward passes, K gradients held and a K x K matrix are all it takes. The matrix is handed over
    with a mean diagonal of 1, which changes no method's answer but keeps it clear of thresholds.

    Args:
        weighting: (K, K) Gram matrix in float64 on the CPU -> (K,) factors; (1, ..., 1) is plain
            training. It may draw from torch's global generator, which is seeded by the step and put
            back after.
        per_task: as in `PerTask`.
    """

    def __init__(self, *per_task: Any, weighting: Weighting, **place: Any) -> None:
        super().__init__(*per_task, **place)
        self._weighting, self._steps = weighting, 0

    def _balanced(self, seen: Sequence[int], means: Sequence[Tensor], extra: Tensor | None) -> None:
        if len(seen) < 2:
            self._weighed(seen, means, [1.0] * len(seen), extra)
            return
        shared, others = self._parameters()
        terms = [self.shares[k] * mean for k, mean in zip(seen, means, strict=True)]
        sets = Sets(shared)
        for gradients in self._passes(terms, shared, others, keep=extra is not None):
            sets.add(gradients)
        factors = self._factors(sets.gram())
        self._note_bytes(sets.bytes)
        sets.assign(factors)
        self._add_extra(extra, shared, others)
        self.meter.note(seen, factors, passes=len(terms) + (extra is not None))

    def _factors(self, gram: Tensor) -> list[float]:
        """Factors of the tasks seen. Shape: (K, K) -> K numbers."""
        self._check(gram.flatten().tolist(), "gradients")
        self.meter.compared += 1
        self.meter.conflicts += bool((gram < 0).any())
        scale = gram.diagonal().mean()
        if not scale > 0:
            return [1.0] * len(gram)
        self._steps += 1
        with drawn_from(self._steps):
            factors: list[float] = self._weighting(gram / scale).tolist()
        self._check(factors, f"factors from Gram matrix {gram.tolist()}")
        return factors

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._steps = parse(_Steps, {"steps": state["steps"]}, "balancer").steps


class Sets:
    """The gradients of K tasks over the same parameters, and their sum by factors."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._pieces: list[list[Tensor | None]] = []

    def add(self, gradients: Gradients) -> None:
        """Add one task's gradients, None where it does not read the parameter."""
        self._pieces.append(list(gradients))

    def gram(self) -> Tensor:
        """Inner products over the parameters that two tasks read at least; others get their
        gradient here. Shape: (K, K), on the CPU.
        """
        self.bytes = sum(size(pieces) for pieces in self._pieces)
        readers = [sum(g is not None for g in column) for column in zip(*self._pieces, strict=True)]
        sparse = {
            i
            for pieces in self._pieces
            for i, g in enumerate(pieces)
            if g is not None and g.is_sparse
        }
        for i, parameter in enumerate(self._parameters):
            if readers[i] == 1:
                add_gradient(
                    parameter, next(pieces[i] for pieces in self._pieces if pieces[i] is not None)
                )
        common = [i for i, count in enumerate(readers) if count > 1]
        self._tables = {
            i: aligned([pieces[i] for pieces in self._pieces]) for i in common if i in sparse
        }
        self._dense = [i for i in common if i not in sparse]
        self._flat: list[Tensor] = []  # (P,) per task
        # one task's pieces at a time, so that little is held twice
        while self._pieces and self._dense:
            pieces = self._pieces.pop(0)
            self._flat.append(
                torch.cat([_filled(pieces[i], self._parameters[i]) for i in self._dense])
            )
        self._pieces = []
        gram = sum(
            torch.einsum("knd,jnd->kj", block, block).double().cpu()
            for _, block in self._tables.values()
        )
        if self._flat:
            gram = gram + torch.tensor(
                [[torch.dot(a, b).item() for b in self._flat] for a in self._flat],
                dtype=torch.float64,
            )
        assert isinstance(gram, Tensor), "tasks share the parameters of their input at least"
        return gram

    def assign(self, factors: Sequence[float]) -> None:
        """Set the shared gradient to sum_k c_k g_k."""
        if self._flat:
            whole = self._flat[0].mul_(factors[0])
            for factor, flat in zip(factors[1:], self._flat[1:], strict=True):
                whole.add_(flat, alpha=factor)
            parameters = [self._parameters[i] for i in self._dense]
            for parameter, piece in zip(
                parameters, torch.split(whole, [p.numel() for p in parameters]), strict=True
            ):
                parameter.grad = piece.view_as(parameter)
        for i, (rows, block) in self._tables.items():
            values = torch.tensordot(
                torch.tensor(factors, dtype=block.dtype, device=block.device), block, dims=1
            )  # (n, d)
            shape = self._parameters[i].shape
            self._parameters[i].grad = torch.sparse_coo_tensor(
                rows.unsqueeze(0), values, shape, is_coalesced=True, check_invariants=False
            )


def aligned(gradients: Gradients) -> tuple[Tensor, Tensor]:
    """Sparse gradients of one table over the rows that any of them touches. Shape: K of (V, d) ->
    (n,) and (K, n, d).
    """
    given = [(k, g.coalesce()) for k, g in enumerate(gradients) if g is not None]
    rows, place = torch.unique(torch.cat([g.indices()[0] for _, g in given]), return_inverse=True)
    block = given[0][1].values().new_zeros(len(gradients), len(rows), given[0][1].shape[1])
    for (k, g), here in zip(
        given, torch.split(place, [g.indices().shape[1] for _, g in given]), strict=True
    ):
        block[k, here] = g.values()
    return rows, block


def _filled(gradient: Tensor | None, parameter: nn.Parameter) -> Tensor:
    return parameter.new_zeros(parameter.numel()) if gradient is None else gradient.flatten()


@contextlib.contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Draw from torch's global CPU generator as of `seed`, and leave it as it was."""
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)
