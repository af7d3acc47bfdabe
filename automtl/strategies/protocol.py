"""A search strategy as the phase that runs it sees it, and the context that it is given."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from automtl.data.store.batches import Batches
from automtl.data.store.schema import Schema
from automtl.models.supernet import Supernet
from automtl.ranks import ALONE, Ranks
from automtl.spaces.architecture import Architecture, Sharing
from automtl.spaces.decisions import Decision
from automtl.spaces.space import SearchSpace
from automtl.spaces.strategies import StrategySettings
from automtl.strategies.darts_settings import DartsSettings, make_pricing
from automtl.strategies.decisions import Ground, undecided
from automtl.strategies.encoding import SpaceEncoding
from automtl.strategies.ledger import Ledger
from automtl.training.checkpoint_state import require
from automtl.training.loop import StepEvent
from automtl.training.step.guard import Guard


class Options(StrategySettings):
    """Settings of the strategies beside those of training a supernet.

    Args:
        selection: how an architecture is read from a trained supernet.
        gradient_conflict: record the cosines between the tasks' gradients, on one batch of alpha
            rows per epoch.
        hessian: record the dominant eigenvalue over alpha, likewise.
    """

    selection: Literal["argmax", "perturbation", "race"] = "argmax"
    gradient_conflict: bool = True
    hessian: bool = False


@dataclass(frozen=True)
class SearchContext:
    """Data, networks and settings that a strategy works with.

    Args:
        space: what is searched.
        schema: the data set.
        settings: of training a supernet; sharing kind and limits are there too.
        options: of the strategies.
        make_supernet: builds the supernet on its device, with fresh weights.
        fit: batches that train weights.
        alpha: batches of the A rows, which move alpha.
        scored: the A rows in order, by which architectures are compared inside the search.
        generator: source of dropout, gate noise and samples of architectures.
        device: where networks run.
        seed: of draws and fresh weights.
        autocast: makes the context of training's forward passes.
        load_pretrained: puts vectors learnt elsewhere into a network of fresh weights.
        guard: looks for losses that are not finite.
        ledger: where a strategy reports every use of rows.
        ranks: the processes that search together; each has its own rows of `fit` and `alpha`, and
            all those to score by.
    """

    space: SearchSpace
    schema: Schema
    settings: DartsSettings
    options: Options
    make_supernet: Callable[[], Supernet]
    fit: Batches
    alpha: Batches
    scored: Batches
    generator: torch.Generator
    device: torch.device
    seed: int
    autocast: Callable[[], AbstractContextManager[Any]]
    load_pretrained: Callable[[nn.Module], None]
    guard: Guard = field(default_factory=Guard)
    ledger: Ledger = field(default_factory=Ledger)
    ranks: Ranks = ALONE


def make_encoding(context: SearchContext, net: Supernet | None = None) -> SpaceEncoding:
    """The encoding of a search's space, which draws within the hard limits.

    Args:
        context: of the search.
        net: prices the candidates where there are limits; None for a fresh supernet.
    """
    settings = context.settings
    sharing = Sharing(kind=settings.sharing, settings=dict(settings.sharing_settings))
    limits = (settings.max_flops, settings.max_params, settings.max_latency_ms)
    limited = any(limit is not None for limit in limits)
    pricing = (
        make_pricing(net or context.make_supernet(), context.schema, settings) if limited else None
    )
    return SpaceEncoding(
        context.space, context.schema, sharing, within=pricing.within if pricing else None
    )


class Strategy:
    """A search strategy: epochs of work, each ended by a record and a checkpoint, and an
    architecture at the end.

    To write are `run_epoch`, `record`, `derive`, and the pair of `state_dict` and
    `load_state_dict` with `stands_at` where there is something to resume. The other methods are
    those of a strategy that trains no network and believes in one architecture.

    Args:
        context: data, space, settings.

    Attributes:
        epochs: planned.
        scoring: how many of these, the last ones, score architectures and train nothing.
        trains: whether an epoch trains anything; one that only draws is not counted.
        samples: rows that training and scoring have read so far.
        supernet: the network whose state must be kept; None where there is none.
    """

    epochs: int = 1
    scoring: int = 0
    trains: bool = True
    samples: int = 0
    supernet: Supernet | None = None

    def __init__(self, context: SearchContext) -> None:
        self.context = context

    def run_epoch(self, epoch: int, start: int = 0) -> Iterator[StepEvent]:
        """Do the work of an epoch from step `start` on, with an event after each step.

        At each event `state_dict` holds what going on after that step needs. An epoch may be left
        in the middle: then `cut` follows.
        """
        raise NotImplementedError

    def record(self) -> dict[str, Any]:
        """Plain data: "choices" per block and "expert_usage" per task always, and what else the
        strategy records.
        """
        raise NotImplementedError

    def derive(self) -> Architecture:
        """The discrete architecture that the strategy believes in so far."""
        raise NotImplementedError

    def cut(self) -> None:
        """Bring deferred updates up to date, so that the network can be evaluated; training does
        not go on after it.
        """

    def evaluated(self) -> nn.Module | None:
        """The network whose loss on the B rows is the epoch's; None where there is none."""
        return None

    def proposals(self, count: int) -> list[Architecture]:
        """At most so many architectures that the strategy believes in, what `derive` gives first;
        no two equal up to the order of experts, and the same at each call.
        """
        return [self.derive()][:count]

    def decisions(self, architecture: Architecture) -> tuple[Decision, ...]:
        """Of every choice of what `derive` gave, what it rests on; "not decided", as no strategy
        trains its candidates alone and often enough.
        """
        encoding = make_encoding(self.context)
        return undecided(encoding, architecture, lambda *_: Ground(None, "not recorded"))

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs beside the supernet's own state: tensors and JSON
        values.
        """
        return {}

    def load_state_dict(self, state: Any) -> None:
        """Go on from ``state_dict()``.

        Raises:
            AutoMTLError: it is none of this strategy's; see ``training/checkpoint_state.py``.
        """
        require(state == {}, "strategy", "must be empty", str(state)[:80])

    def stands_at(self, epoch: int, step: int) -> bool:
        """Whether what was loaded can be the state before that step, both counted from 0 and the
        first of the next epoch included.
        """
        return step == 0
