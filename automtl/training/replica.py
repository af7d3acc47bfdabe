"""One rank's copy of a network that several ranks train together: what a step must do so that all
copies stay the same to the bit.

Each rank goes forward and back on its own rows of the step. The loss is that of all rows: its means
are over the labelled rows of all ranks, not means of the ranks' means, which are another loss where
labels are missing. So gradients are added up. Running statistics ride along.

Legend: T tasks, B rows of a rank, S rows of the step, V rows of a table, d its width.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from automtl.data.store.batches import Batch
from automtl.layers.embedding_table import EmbeddingTable
from automtl.layers.gates import GateMeter
from automtl.layers.normalization import BatchNorm, Dropout
from automtl.ranks import ALONE, Ranks
from automtl.sharing.dselect_k import DSelectK
from automtl.training.losses import Losses, combine

_SEEDS = 2**62


class Replica:
    """A network's copy on one rank. Alone, nothing of it does anything.

    # DEVIATION: BatchNorm normalises by the rank's own rows, B of S; one process would by all S.

    Args:
        net: the network, the same on all ranks.
        ranks: those that train it.
    """

    def __init__(self, net: nn.Module, ranks: Ranks = ALONE) -> None:
        self.net, self.ranks = net, ranks
        self.together = ranks.size > 1
        modules = list(net.modules()) if self.together else []
        self._norms = [m for m in modules if isinstance(m, BatchNorm)]
        self._meters = [m for m in modules if isinstance(m, GateMeter)]
        self._tables = [m for m in modules if isinstance(m, EmbeddingTable)]
        self._selectors = [m for m in modules if isinstance(m, DSelectK)]
        self._noise = _RowNoise(modules, ranks)

    def begin(self) -> None:
        """Before a forward pass: rows of different ranks get noise of their own."""
        if self.together:
            self._noise.renew()

    def rows(self, touched: Sequence[Tensor]) -> list[Tensor]:
        """The rows of each table that any rank touches: all of them must be up to date before the
        forward pass, in the same portions, or copies drift apart in their last bits.
        """
        return [self.ranks.union(rows) for rows in touched]

    def losses(self, losses: Losses, shares: Sequence[float]) -> Losses:
        """The losses of the whole step, from those of this rank's rows: the value of `total` is the
        step's, its gradient what these rows add to the step's.

        Args:
            losses: fresh from `multi_task_loss`.
            shares: w_k.
        """
        if not self.together:
            return losses
        whole = self.ranks.total(torch.stack([losses.sums, losses.weights]).double())
        sums, weights = whole.to(losses.sums.dtype).unbind()
        own = combine(torch.stack(losses.parts), weights, shares)
        value = combine(sums, weights, shares)
        return Losses(value + (own - own.detach()), sums, weights, losses.parts)

    def share(self, term: Tensor, batch: Batch) -> Tensor:
        """This rank's share of a term that is no sum over rows: of parameters alone, or a mean over
        the rank's rows.
        """
        return term * (len(batch) / batch.step_size) if self.together else term

    def add_up(self, parameters: Iterable[nn.Parameter], but: frozenset[int] = frozenset()) -> None:
        """After a backward pass: parameters' gradients become those of the whole step, and running
        statistics the same on all ranks.

        Args:
            parameters: the same on all ranks.
            but: by `id`, those whose gradients are the step's already.
        """
        if not self.together:
            return
        left = [p for p in parameters if id(p) not in but]
        figures, like = self._figures()
        summed = self.totals([p.grad for p in left], left, figures, like)
        for parameter, gradient in zip(left, summed[: len(left)], strict=True):
            parameter.grad = gradient
        self._assign_figures(summed[len(left) :])

    def totals(
        self,
        gradients: Sequence[Tensor | None],
        parameters: Sequence[Tensor],
        figures: Sequence[Tensor | None] = (),
        like: Sequence[Tensor] = (),
    ) -> list[Tensor | None]:
        """The sums over ranks of gradients, sparse where a table's are, and of figures that go
        beside them.
        """
        if not self.together:
            return [*gradients, *figures]
        sparse = {id(table.weight) for table in self._tables if table.sparse}
        summed = list(gradients)
        tables = [i for i, p in enumerate(parameters) if id(p) in sparse]
        dense = [i for i, p in enumerate(parameters) if id(p) not in sparse]
        shapes = [*(parameters[i].detach() for i in dense), *like]
        parts = self.ranks.totals([*(summed[i] for i in dense), *figures], shapes)
        for i, part in zip(dense, parts, strict=False):
            summed[i] = part
        for i in tables:
            summed[i] = self.ranks.total_rows(summed[i], parameters[i].detach())
        return [*summed, *parts[len(dense) :]]

    def _figures(self) -> tuple[list[Tensor | None], list[Tensor]]:
        """What rides along with gradients, in their type: BatchNorms' statistics, what gates'
        meters saw in this step, and when the first rank's selectors became binary.
        """
        kind = next((p.dtype for p in self.net.parameters()), torch.float32)
        figures: list[Tensor | None] = [b for norm in self._norms for b in _statistics(norm)]
        for meter in self._meters:
            figures += [meter.total, meter.rows.to(kind)] if meter.seen else [None, None]
        figures += [m.binary_step.to(kind) if self.ranks.first else None for m in self._selectors]
        like = [b for norm in self._norms for b in _statistics(norm)]
        like += [b for meter in self._meters for b in (meter.total, meter.rows.to(kind))]
        like += [m.binary_step.to(kind) for m in self._selectors]
        return figures, like

    @torch.no_grad()
    def _assign_figures(self, figures: Sequence[Tensor | None]) -> None:
        remaining = iter(figures)
        for norm in self._norms:
            for buffer in _statistics(norm):
                whole = next(remaining)
                assert whole is not None, "every rank has them"
                buffer.copy_(whole / self.ranks.size)
        for meter in self._meters:
            meter.take(next(remaining), next(remaining))
        for selector in self._selectors:
            if (step := next(remaining)) is not None:
                selector.binary_step.copy_(step)


def _statistics(norm: BatchNorm) -> list[Tensor]:
    return [b for b in (norm.running_mean, norm.running_var) if b is not None]


class _RowNoise:
    """Gives what draws for each row (dropout) a generator of its own on each of several ranks, made
    anew before each forward pass from the one that draws for parameters, which is the same on all:
    so nothing per rank needs to be kept.
    """

    def __init__(self, modules: Sequence[nn.Module], ranks: Ranks) -> None:
        self._rank, self._pairs = ranks.rank, list[tuple[torch.Generator, torch.Generator]]()
        own: dict[int, torch.Generator] = {}
        for module in modules:
            if not isinstance(module, Dropout) or module.threshold == 0:
                continue
            if (shared := module.generator) is not None:
                if id(shared) not in own:
                    own[id(shared)] = torch.Generator(shared.device)
                    self._pairs.append((shared, own[id(shared)]))
                module.generator = own[id(shared)]

    def renew(self) -> None:
        for shared, own in self._pairs:
            drawn = torch.randint(_SEEDS, (1,), generator=shared, device=shared.device)
            own.manual_seed((int(drawn) + self._rank * 0x9E3779B97F4A7C15) % 2**63)


@torch.no_grad()
def add_up_meters(net: nn.Module, ranks: Ranks) -> None:
    """After an evaluation: what gates' meters saw of each rank's rows becomes that of all rows."""
    meters = [m for m in net.modules() if isinstance(m, GateMeter)]
    if ranks.size == 1 or not meters:
        return
    # whole numbers beyond what a float holds: rows of an evaluation
    like = [b for m in meters for b in (m.total, m.rows)]
    own = [b if m.seen else None for m in meters for b in (m.total, m.rows)]
    summed = iter(ranks.totals(own, like))
    for meter in meters:
        meter.take(next(summed), next(summed))
