"""How a search is doing, epoch by epoch: shares of skip, margins, twins, conflict between tasks,
sharpness; and when it collapses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from automtl.data.store.batches import Batch
from automtl.data.store.schema import Schema
from automtl.models.supernet import Supernet
from automtl.strategies.score import batch_statistics
from automtl.training.losses import multi_task_loss

_POWER_STEPS = 12
WINDOW = 3  # epochs that the eigenvalue is averaged over

Choices = Mapping[str, Mapping[str, float]]


def alpha_figures(choices: Choices) -> dict[str, Any]:
    """Figures of the candidates' weights softmax(alpha).

    Returns:
        skip_share: per expert (and interaction block) the mean weight of `skip` over its blocks.
        skip_chosen: share of the experts' blocks whose heaviest candidate is `skip`.
        margin: per block, the heaviest weight minus the next.
        duplicate_experts: pairs of experts with the same heaviest candidates.
    """
    owners: dict[str, list[str]] = {}
    for block in choices:
        owners.setdefault(block.partition(".block.")[0], []).append(block)
    best = {block: max(weights, key=weights.__getitem__) for block, weights in choices.items()}
    experts = [owner for owner in owners if not owner.startswith("interaction.")]
    inside = [block for owner in experts for block in owners[owner]]
    twins = [pair for pair in combinations(experts, 2) if _same(*pair, owners, best)]
    return {
        "skip_share": {
            owner: float(np.mean([choices[b].get("skip", 0.0) for b in blocks]))
            for owner, blocks in owners.items()
        },
        "skip_chosen": float(np.mean([best[block] == "skip" for block in inside]))
        if inside
        else 0.0,
        "margin": {block: _margin(weights) for block, weights in choices.items()},
        "duplicate_experts": [list(pair) for pair in twins],
    }


def _same(
    one: str, other: str, owners: Mapping[str, Sequence[str]], best: Mapping[str, str]
) -> bool:
    return [best[block] for block in owners[one]] == [best[block] for block in owners[other]]


def _margin(weights: Mapping[str, float]) -> float:
    heaviest = sorted(weights.values(), reverse=True)
    return heaviest[0] - heaviest[1] if len(heaviest) > 1 else heaviest[0]


def gradient_conflict(net: Supernet, schema: Schema, batch: Batch) -> dict[str, float]:
    """Per pair of tasks, the cosine of their losses' gradients over the shared weights (towers and
    tables left out), on one batch.

    Below 0 the tasks pull apart; a task without labels in the batch has no gradient, and its pairs
    are left out.
    """
    own = {id(p) for p in net.towers.parameters()}
    shared = [p for p in net.weights() if id(p) not in own]
    with batch_statistics(net):
        outputs = net(batch.inputs)
        flat = []
        for t, task in enumerate(schema.tasks):
            weights = None if batch.weights is None else batch.weights[:, t : t + 1]
            loss = multi_task_loss([task], [outputs[t]], batch.labels[:, t : t + 1], weights).total
            grads = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
            pairs = zip(shared, grads, strict=True)
            flat.append(
                torch.cat(
                    [torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in pairs]
                )
            )
    cosines = {}
    for (i, a), (j, b) in combinations(enumerate(flat), 2):
        norm = float(a.norm() * b.norm())
        if norm > 0:
            cosines[f"{schema.tasks[i].name} / {schema.tasks[j].name}"] = float(a @ b) / norm
    return cosines


def hessian_eigenvalue(
    net: Supernet, schema: Schema, batch: Batch, *, scale: float = 1e-2
) -> float:
    """Dominant eigenvalue (largest in size) of the loss's Hessian over alpha on one batch, by power
    iteration (RobustDARTS).

    Products H v are central differences of alpha's gradient at alpha +- scale * v, ||v|| = 1.

    Args:
        net: the supernet.
        schema: the data set.
        batch: A rows.
        scale: of the difference; 1e-4 in float64.
    """
    alphas = net.alpha_parameters()
    rng = torch.Generator().manual_seed(0)
    vector = torch.cat(
        [torch.randn(a.shape, generator=rng, dtype=torch.float64) for a in alphas]
    ).to(alphas[0])
    value = 0.0
    with batch_statistics(net):
        for _ in range(_POWER_STEPS):
            vector = vector / vector.norm()
            up, down = (
                _alpha_gradient(net, schema, batch, alphas, sign * scale * vector)
                for sign in (1, -1)
            )
            product = (up - down) / (2 * scale)
            value = float(vector @ product)
            if not product.any():
                break
            vector = product
    return value


def _alpha_gradient(
    net: Supernet, schema: Schema, batch: Batch, alphas: Sequence[torch.nn.Parameter], step: Tensor
) -> Tensor:
    """Alpha's gradient at alpha + step; alpha is back to the bit after. Shape: (all alphas,)."""
    values = [alpha.detach().clone() for alpha in alphas]
    with torch.no_grad():
        for alpha, part in zip(alphas, torch.split(step, [a.numel() for a in alphas]), strict=True):
            alpha.add_(part)
    losses = multi_task_loss(schema.tasks, net(batch.inputs), batch.labels, batch.weights)
    grads = torch.autograd.grad(losses.total, list(alphas), allow_unused=True)
    with torch.no_grad():
        for alpha, value in zip(alphas, values, strict=True):
            alpha.copy_(value)
    return torch.cat(
        [torch.zeros_like(a) if g is None else g for a, g in zip(alphas, grads, strict=True)]
    )


@dataclass(frozen=True)
class CollapseRule:
    """When a search counts as collapsed.

    Args:
        skip_chosen: above this share of the experts' blocks whose heaviest candidate is `skip`.
        growth: the eigenvalue's mean over the last 3 epochs above this multiple of its mean over
            the 3 before.
    """

    skip_chosen: float = 0.5
    growth: float = 4 / 3

    def reason(self, lines: Sequence[Mapping[str, Any]]) -> str:
        """Why the search has collapsed, by its epochs so far; empty where it has not.

        Args:
            lines: per epoch `skip_chosen`, and `eigenvalue` where it was measured.
        """
        share = lines[-1].get("skip_chosen") or 0.0
        if share > self.skip_chosen:
            return (
                f"skip leads in {share:.0%} of the experts' blocks, more than "
                f"{self.skip_chosen:.0%}"
            )
        values = [line["eigenvalue"] for line in lines if line.get("eigenvalue") is not None]
        if len(values) >= 2 * WINDOW:
            late, early = (
                float(np.mean(values[-WINDOW:])),
                float(np.mean(values[-2 * WINDOW : -WINDOW])),
            )
            if early > 0 and late > self.growth * early:
                return (
                    f"the dominant eigenvalue over alpha grew from {early:.3g} to {late:.3g}, "
                    f"more than {self.growth:.2f} times"
                )
        return ""
