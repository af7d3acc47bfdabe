"""Selection by perturbation (DARTS-PT, Wang et al. 2021): a candidate is worth what its removal
costs, not its alpha.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from automtl.data.store.batches import Batches
from automtl.data.store.schema import Task
from automtl.models.supernet import Supernet
from automtl.strategies.ledger import Kind
from automtl.strategies.score import score


def perturbed(
    net: Supernet,
    batches: Batches,
    tasks: Sequence[Task],
    *,
    device: torch.device,
    seed: int,
    spend: Callable[[Kind, int], None] = lambda kind, rows: None,
) -> tuple[dict[str, dict[str, float]], int]:
    """Per choice block and candidate, the loss of the trained supernet on `batches` without it; and
    the rows read. The candidate without which it does worst is the one to take.

    Blocks are decided one after the other in an order drawn from `seed`; a decided one keeps its
    candidate alone while the others are tried. Tied blocks are decided together.

    # DEVIATION: the paper trains on for some epochs after each decision; we decide on the weights
    as they are.

    Args:
        net: the trained supernet; its blocks are mixed again after.
        batches: A rows.
        tasks: of the data set.
        device: where the net is.
        seed: of the order.
        spend: told of every scoring, as the net then stands.
    """
    groups: dict[int, list[str]] = {}
    for name, alpha in net.alphas.items():
        groups.setdefault(id(alpha), []).append(name)
    order = [list(groups.values())[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    removed: dict[str, dict[str, float]] = {}
    blocks, rows = net.blocks(), 0
    net.set_auxiliary_skip(0.0)
    try:
        for names in order:
            losses = _without_each(net, names, batches, tasks, device, spend)
            pick = int(np.argmax(losses)) if losses else 0
            for name in names:
                blocks[name].path = pick
            rows += len(losses) * batches.num_rows
            operations = (
                net.space.interaction_operations
                if names[0].startswith("interaction.")
                else net.space.expert_operations
            )
            by_name = dict(zip(map(str, operations), losses or [0.0], strict=True))
            removed |= dict.fromkeys(names, by_name)
    finally:
        net.mix_all()
    return removed, rows


def _without_each(
    net: Supernet,
    names: Sequence[str],
    batches: Batches,
    tasks: Sequence[Task],
    device: torch.device,
    spend: Callable[[Kind, int], None],
) -> list[float]:
    """The losses without each candidate of a group of blocks; none where there is one only."""
    blocks = [block for name, block in net.blocks().items() if name in names]
    alpha = blocks[0].alpha.detach()
    losses = []
    for without in range(len(alpha)) if len(alpha) > 1 else ():
        scores = alpha.clone()
        scores[without] = -torch.inf
        for block in blocks:
            block.shares = scores.softmax(0)
        spend("score", batches.num_rows)
        losses.append(score(net, batches, tasks, device=device, supernet=True))
    for block in blocks:
        block.shares = None
    return losses
