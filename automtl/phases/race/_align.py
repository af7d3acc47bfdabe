"""Choices of two architectures of a space, compared up to the order of experts."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from automtl.spaces.architecture import Architecture
from automtl.strategies.encoding import Genome, SpaceEncoding


def aligned(encoding: SpaceEncoding, first: Architecture, other: Architecture) -> dict[str, str]:
    """What `other` takes at each choice, its experts numbered as fits `first` best: an expert's
    number carries no meaning where all stand in one pool.
    """
    one, two = encoding.genome(first), encoding.genome(other)
    if not all(slot.owner == "pool" and slot.level == 0 for slot in encoding.slots):
        return encoding.taken(two)
    before = sum(name.startswith("interaction.") for name in encoding.names)
    blocks = encoding.space.num_blocks
    shape = (len(encoding.slots), blocks)
    ours, theirs = (np.array(g.picks[before:]).reshape(shape) for g in (one, two))
    likeness = (ours[:, None] == theirs[None]).sum(-1) + _uses(one, two, len(encoding.slots))
    order = linear_sum_assignment(-likeness)[1]  # my expert i is their order[i]
    places = np.argsort(order)
    chosen = two.chosen and tuple(
        tuple(sorted(int(places[e]) for e in experts)) for experts in two.chosen
    )
    picks = (*two.picks[:before], *(int(p) for p in theirs[order].reshape(-1)))
    return encoding.taken(Genome(picks, chosen))


def _uses(one: Genome, two: Genome, experts: int) -> np.ndarray:
    """The number of tasks that use, or leave, both of two experts. Shape: (experts, experts)."""
    if one.chosen is None or two.chosen is None:
        return np.zeros((experts, experts), int)
    ours, theirs = (
        np.array([[i in task for task in g.chosen or ()] for i in range(experts)])
        for g in (one, two)
    )
    same: np.ndarray = (ours[:, None] == theirs[None]).sum(-1)
    return same


def unused(encoding: SpaceEncoding, architecture: Architecture) -> set[str]:
    """The choices inside experts that no task takes: they have no part in what is computed."""
    if architecture.chosen is None:
        return set()
    used = {expert for experts in architecture.chosen for expert in experts}
    inside = {
        name
        for number, slot in enumerate(encoding.slots)
        if number not in used
        for name in encoding.names
        if name.startswith(f"{slot}.block.")
    }
    # tied blocks stand in several experts
    return {
        name
        for name, numbers in encoding.groups().items()
        if all(encoding.names[n] in inside for n in numbers)
    }
