"""Twelve varied architectures: 1 to 8 tasks, 1 to 12 experts, every sharing kind there is, made
from a seed.
"""

import numpy as np

from automtl.spaces.architecture import Architecture, Expert, Ranked, Sharing
from automtl.spaces.catalogue import SHARING
from automtl.spaces.signatures import FieldSignature, TaskSignature

NAMES = (
    "click",
    "buy",
    "like",
    "share_with_friends",
    "watch time",
    "follow",
    "long_play_over_30_seconds",
    "rating",
)
CANDIDATES = ("gate", "mlp(16)", "mlp(64)", "mlp(1024)", "conv1d(3)", "conv1d(7)", "skip")
INTERACTIONS = ("product(inner)", "cross(2)", "self_attention(8)", "mlp(128)", "skip")
SIZES = (
    (1, 1),
    (1, 4),
    (2, 4),
    (2, 8),
    (3, 4),
    (3, 8),
    (4, 8),
    (4, 12),
    (5, 6),
    (6, 9),
    (7, 12),
    (8, 12),
)


def weights(rng: np.random.Generator, names) -> dict[str, float]:
    drawn = rng.dirichlet(np.full(len(names), 4.0))
    return {str(name): float(w) for name, w in zip(names, drawn, strict=True)}


def searched(
    tasks: int,
    experts: int,
    *,
    blocks: int = 3,
    seed: int = 0,
    kind: str = "selected",
    fields: int = 9,
) -> Architecture:
    """An architecture as a search leaves it: choices with their weights, a ranking, c experts per
    task.
    """
    rng = np.random.default_rng([seed, tasks, experts])
    choices = {"interaction.0": weights(rng, INTERACTIONS)}
    choices |= {
        f"level0.pool.{e}.block.{b}": weights(rng, CANDIDATES)
        for e in range(experts)
        for b in range(blocks)
    }
    best = {block: max(w, key=w.__getitem__) for block, w in choices.items()}
    ranking, chosen = [], []
    for _ in range(tasks):
        order = sorted(weights(rng, range(experts)).items(), key=lambda item: -item[1])
        ranking.append(tuple(Ranked(expert=int(e), weight=w) for e, w in order))
        chosen.append(tuple(sorted(int(e) for e, _ in order[: -(-experts // 2)])))
    kinds = ("binary", "regression", "multiclass")
    return Architecture(
        name=f"{experts} experts, {tasks} tasks",
        tasks=tuple(
            TaskSignature(name=NAMES[t], kind=kinds[t % 3], classes=5 if t % 3 == 2 else 2)
            for t in range(tasks)
        ),
        fields=tuple(FieldSignature(name=f"field_{i}", kind="categorical") for i in range(fields)),
        interaction=(best["interaction.0"],),
        experts=tuple(
            Expert(blocks=tuple(best[f"level0.pool.{e}.block.{b}"] for b in range(blocks)))
            for e in range(experts)
        ),
        chosen=tuple(chosen),
        ranking=tuple(ranking),
        choices=choices,
        sharing=Sharing(kind=kind),
    )


def hand_made(tasks: int, experts: int, kind: str) -> Architecture:
    """Plain dense experts under a sharing kind, without any search."""
    signatures = tuple(TaskSignature(name=NAMES[t], kind="binary") for t in range(tasks))
    fields = tuple(FieldSignature(name=f"field_{i}", kind="numeric") for i in range(40))
    made = tuple(Expert(blocks=("dense(512)", "dense(256)")) for _ in range(experts))
    return Architecture(
        name=kind,
        tasks=signatures,
        fields=fields,
        projection=None,
        experts=made,
        sharing=Sharing(kind=kind),
    )


def varied() -> list[Architecture]:
    """At least twelve, with every kind of ``catalogue.SHARING`` over searched or hand-made
    experts.
    """
    kinds = list(SHARING)
    made = [searched(t, e, seed=i, blocks=1 + i % 4) for i, (t, e) in enumerate(SIZES)]
    made += [
        searched(1 + 3 * i % 8, 1 + 5 * i % 12, seed=50 + i, kind=kind)
        for i, kind in enumerate(kinds)
        if i % 2
    ]
    return made + [
        hand_made(1 + 5 * i % 8, 1 + 7 * i % 12, kind)
        for i, kind in enumerate(kinds)
        if i % 2 == 0 or kind == "aitm"
    ]
