"""The rank phase: whether a supernet ranks architectures as training them by themselves does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from automtl.data.store.batches import Batches
from automtl.errors import ConfigError
from automtl.phases.finished._reopen import reopened
from automtl.phases.finished.rank_order import agreement
from automtl.phases.run.reporter import Reporter, Silent
from automtl.spaces.architecture import Architecture
from automtl.strategies.protocol import SearchContext, make_encoding
from automtl.strategies.score import score
from automtl.strategies.standalone import StandAlone

RANKED = ("darts", "snas", "gdas", "evolution")  # strategies that leave a supernet
MOST = 10_000  # samples; drawn before the first is scored


@dataclass(frozen=True)
class Ranking:
    """Supernet scores on alpha rows beside stand-alone scores on validation rows, which the search
    never chose by.

    On the same rows both would share these rows' luck, and agree by that alone.

    Args:
        supernet: per sample, the supernet's loss on its path, on alpha rows.
        alone: per sample, its own loss after a brief training, on validation rows.
        tau: Kendall's tau-b; None where one side is constant.
        interval: its 95% interval, see `rank_order.py`.
        p: that unrelated orders agree or disagree as much, two-sided; exact for at most 100
            samples.
        regret: stand-alone loss of the supernet's first choice minus the best of all; 0 is perfect.
        rows: how many rows each side was scored on, alpha and validation.
        samples_read: rows trained on and scored.
        architectures: what was sampled.
    """

    supernet: tuple[float, ...]
    alone: tuple[float, ...]
    tau: float | None
    interval: tuple[float, float] | None
    p: float | None
    regret: float
    rows: tuple[int, int]
    samples_read: int
    architectures: tuple[dict[str, Any], ...]


def rank(
    path: Path,
    *,
    samples: int = 12,
    epochs: int = 1,
    seed: int = 0,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Ranking:
    """Sample architectures, score each on the supernet's shared weights and, trained by itself, on
    the validation rows.

    Args:
        path: a searched run.
        samples: how many architectures.
        epochs: of each brief training, over the fit rows.
        seed: of the draws and the fresh weights.
        device: where to run.
        reporter: told of every sample.

    Raises:
        ArtifactError: the run holds no supernet.
        ConfigError: fewer than two samples.
    """
    if not 2 <= samples <= MOST:
        raise ConfigError("--samples", f"must be at least 2 and at most {MOST:,}", samples)
    reporter = reporter or Silent()
    context, net, session = reopened(path, device=device, reporter=reporter, needs=RANKED)
    validation = session.in_order("validation")
    encoding = make_encoding(context)
    shared, alone = list[float](), list[float]()
    samples_read = 0
    genomes = [encoding.draw(np.random.default_rng([seed, i])) for i in range(samples)]
    for number, genome in enumerate(genomes):
        encoding.set(net, genome)
        shared.append(_loss(net, context.scored, context, supernet=True))
        architecture = encoding.architecture(genome)
        model = StandAlone(architecture, context, seed=seed, lr=context.options.random_lr)
        for event in model.train(context.fit.cycle(), epoch=0, steps=epochs * len(context.fit)):
            samples_read += event.rows
        alone.append(_loss(model.net, validation, context, supernet=False))
        samples_read += context.scored.num_rows + validation.num_rows
        reporter.say(
            f"sample {number + 1}/{samples}: supernet {shared[-1]:.5f}, alone {alone[-1]:.5f}"
        )
    orders = agreement(shared, alone)
    return Ranking(
        tuple(shared),
        tuple(alone),
        tau=None if orders is None else orders.tau,
        interval=None if orders is None else orders.interval,
        p=None if orders is None else orders.p,
        regret=regret(shared, alone),
        rows=(context.scored.num_rows, validation.num_rows),
        samples_read=samples_read,
        architectures=tuple(_choices(encoding.architecture(genome)) for genome in genomes),
    )


def _loss(net: nn.Module, batches: Batches, context: SearchContext, *, supernet: bool) -> float:
    tasks, device = context.schema.tasks, context.device
    return score(net, batches, tasks, device=device, supernet=supernet)


def _choices(architecture: Architecture) -> dict[str, Any]:
    return architecture.model_dump(mode="json", include={"interaction", "experts", "chosen"})


def regret(supernet: Sequence[float], alone: Sequence[float]) -> float:
    """Stand-alone loss of the supernet's favourite, minus the least stand-alone loss."""
    return float(alone[int(np.argmin(supernet))] - min(alone))
