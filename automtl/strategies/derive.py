"""From weighed choices to a discrete architecture (AutoMTL, Algorithm 1, lines 10 to 12)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from automtl.data.store.schema import Schema
from automtl.models.supernet import Supernet
from automtl.spaces.architecture import Architecture, Expert, Ranked, Sharing
from automtl.spaces.kinds import Slot
from automtl.spaces.operations import Operation
from automtl.spaces.signatures import FieldSignature, TaskSignature
from automtl.spaces.space import SearchSpace


def choice_weights(net: Supernet) -> dict[str, dict[str, float]]:
    """Per choice block, softmax(alpha) by operation."""
    weights = {}
    for name, alpha in net.alphas.items():
        operations = _candidates(net.space, name)
        values = alpha.detach().double().softmax(0).tolist()
        weights[name] = {str(o): value for o, value in zip(operations, values, strict=True)}
    return weights


def _candidates(space: SearchSpace, block: str) -> tuple[Operation, ...]:
    return (
        space.interaction_operations
        if block.startswith("interaction.")
        else space.expert_operations
    )


def entropy(weights: Tensor) -> Tensor:
    """Entropy in nats over the last axis, 0 ln 0 = 0."""
    terms: Tensor = torch.special.xlogy(weights, weights)
    return -terms.sum(-1)


def derive(
    net: Supernet,
    schema: Schema,
    *,
    sharing: str,
    settings: Mapping[str, Any],
    best: Mapping[str, str] | None = None,
    chosen: tuple[tuple[int, ...], ...] | None = None,
) -> Architecture:
    """Per choice block the argmax of alpha; per task the c experts with the largest beta.

    The whole ranking, the softmax weights and so the margins travel along, so that c can be changed
    later. A sharing kind without beta ranks its experts by mean gate weight, by which another kind
    then takes them; it chooses none.

    Args:
        net: the searched supernet.
        schema: the data set.
        sharing: the sharing kind that stood in it.
        settings: of the sharing kind.
        best: per block the operation, where another rule than argmax chose it.
        chosen: per task the experts, likewise.
    """
    choices = choice_weights(net)
    if best is None:
        best = {block: max(weights, key=weights.__getitem__) for block, weights in choices.items()}
    ranking = rank_experts(net)
    if chosen is None and ranking and net.beta_parameters():
        count = net.space.chosen(len(schema.tasks))
        chosen = tuple(tuple(sorted(r.expert for r in task[:count])) for task in ranking)
    kind = Sharing(kind=sharing, settings=dict(settings))
    return assemble(
        net.space,
        schema,
        net.slots,
        best=best,
        sharing=kind,
        chosen=chosen,
        ranking=ranking,
        choices=choices,
    )


def assemble(
    space: SearchSpace,
    schema: Schema,
    slots: Sequence[Slot],
    *,
    best: Mapping[str, str],
    sharing: Sharing,
    chosen: tuple[tuple[int, ...], ...] | None,
    ranking: tuple[tuple[Ranked, ...], ...] | None,
    choices: dict[str, dict[str, float]],
) -> Architecture:
    """The architecture of one operation per choice block, bound to a data set.

    Args:
        space: where the blocks are.
        schema: the data set.
        slots: of the sharing module.
        best: per block its operation.
        sharing: kind and settings.
        chosen: per task its experts.
        ranking: per task all experts.
        choices: per block the weights of all its operations.
    """
    return Architecture(
        name=space.name,
        tasks=tuple(
            TaskSignature(name=t.name, kind=t.kind, classes=t.classes) for t in schema.tasks
        ),
        fields=tuple(FieldSignature(name=f.name, kind=f.kind) for f in schema.fields),
        embedding_dim=space.embedding_dim,
        numeric=space.numeric,
        interaction=tuple(best[f"interaction.{i}"] for i in range(space.num_interaction_blocks)),
        projection=space.expert_dim,
        experts=tuple(_expert(slots, slot, best, space.num_blocks) for slot in slots),
        chosen=chosen,
        sharing=sharing,
        towers=space.towers,
        dropout=space.dropout,
        batch_norm=space.batch_norm,
        ranking=ranking,
        choices=choices,
    )


def _expert(slots: Sequence[Slot], slot: Slot, best: Mapping[str, str], num_blocks: int) -> Expert:
    """The expert of a slot; where a kind has more units than one pool, it is bound to its place."""
    blocks = tuple(best[f"{slot}.block.{j}"] for j in range(num_blocks))
    if all(s.owner == "pool" and s.level == 0 for s in slots):
        return Expert(blocks=blocks)
    if isinstance(slot.owner, int):
        return Expert(blocks=blocks, level=slot.level, owner="task", task=slot.owner)
    return Expert(
        blocks=blocks, level=slot.level, owner="pool" if slot.owner == "pool" else "shared"
    )


def rank_experts(net: Supernet) -> tuple[tuple[Ranked, ...], ...] | None:
    """Per task all experts, largest weight first: softmax(beta), else the mean gate weight; None
    where there is neither.
    """
    betas = net.beta_parameters()
    weights = betas[0].detach().double().softmax(1) if betas else net.sharing.slot_weights()
    if weights is None:
        return None
    ranking = []
    for row in weights.tolist():
        order = sorted(range(len(row)), key=lambda i: (-row[i], i))
        ranking.append(tuple(Ranked(expert=i, weight=row[i]) for i in order))
    return tuple(ranking)
