"""Selection by perturbation (DARTS-PT, Wang et al. 2021): a candidate is worth what its removal
costs, not its alpha.
"""

from collections.abc import Sequence

import numpy as np
import torch

from automtl.data.store.batches import Batches
from automtl.data.store.schema import Task
from automtl.models.supernet import Supernet
from automtl.strategies.score import score


def perturbed(
    net: Supernet, batches: Batches, tasks: Sequence[Task], *, device: torch.device, seed: int
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
    """
    groups: dict[int, list[str]] = {}
    for name, alpha in net.alphas.items():
        groups.setdefault(id(alpha), []).append(name)
    order = [list(groups.values())[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    removed: dict[str, dict[str, float]] = {}
    rows = 0
    net.set_auxiliary_skip(0.0)
    try:
        for names in order:
            losses = _decide(net, names, batches, tasks, device)
            rows += len(losses) * batches.num_rows if len(losses) > 1 else 0
            operations = (
                net.space.interaction_operations
                if names[0].startswith("interaction.")
                else net.space.expert_operations
            )
            by_name = dict(zip(map(str, operations), losses, strict=True))
            removed |= dict.fromkeys(names, by_name)
    finally:
        net.mix_all()
    return removed, rows


def _decide(
    net: Supernet,
    names: Sequence[str],
    batches: Batches,
    tasks: Sequence[Task],
    device: torch.device,
) -> list[float]:
    """Try a group without each of its candidates and set it on the one that is missed most; the
    losses, 0 where there is nothing to try.
    """
    blocks = [block for name, block in net.blocks().items() if name in names]
    alpha = blocks[0].alpha.detach()
    losses = []
    for without in range(len(alpha)) if len(alpha) > 1 else ():
        kept = alpha.clone()
        kept[without] = -torch.inf
        for block in blocks:
            block.shares = kept.softmax(0)
        losses.append(score(net, batches, tasks, device=device, supernet=True))
    for block in blocks:
        block.path, block.shares = int(np.argmax(losses)) if losses else 0, None
    return losses or [0.0]
