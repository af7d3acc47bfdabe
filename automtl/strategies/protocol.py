"""A search strategy as the phase that runs it sees it, and the context that it is given."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import nn

from automtl.data.store.batches import Batches
from automtl.data.store.schema import Schema
from automtl.models.supernet import Supernet
from automtl.ranks import ALONE, Ranks
from automtl.spaces.architecture import Architecture, Sharing
from automtl.spaces.decisions import Decision
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts_settings import DartsSettings, make_pricing
from automtl.strategies.encoding import SpaceEncoding
from automtl.strategies.ledger import Ledger
from automtl.training.loop import StepEvent
from automtl.training.step.guard import Guard


@dataclass(frozen=True)
class Options:
    """Settings of the strategies beside those of training a supernet.

    Args:
        second_order: `darts` differentiates through one step of weights and beta (Eq. 4).
        hvp: its Hessian-vector product, by autograd or by finite differences.
        hvp_scale: the finite difference's eps is this over the norm of the direction.
        temperature: `snas` and `gdas`, in the first epoch.
        final_temperature: and in the last.
        draws: `random_search`, architectures tried.
        budget_samples: `random_search`, rows trained and scored in all; None for what `darts` would
            train on.
        random_lr: `random_search`, Adam rate of the draws.
        population: `evolution`, architectures alive.
        tournament: `evolution`, how many of them compete to be the parent.
        generations: `evolution`, how often as many children as the population are made.
        selection: how an architecture is read from a trained supernet.
        gradient_conflict: record the cosines between the tasks' gradients, on one batch of alpha
            rows per epoch.
        hessian: record the dominant eigenvalue over alpha, likewise.
    """

    second_order: bool = False
    hvp: Literal["exact", "finite"] = "exact"
    hvp_scale: float = 0.01
    temperature: float = 5.0
    final_temperature: float = 0.5
    draws: int = 8
    budget_samples: int | None = None
    random_lr: float = 1e-3
    population: int = 24
    tournament: int = 6
    generations: int = 4
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
        start: gives a network of fresh weights what it starts from, such as vectors learnt
            elsewhere.
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
    start: Callable[[nn.Module], None]
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


class Strategy(Protocol):
    """A search strategy: epochs of work, each ended by a record and a checkpoint, and an
    architecture at the end.

    Attributes:
        epochs: planned.
        samples: rows that training and scoring have read so far.
    """

    epochs: int
    samples: int

    @property
    def supernet(self) -> Supernet | None:
        """The network whose state must be kept, for strategies that have one."""

    def run_epoch(self, epoch: int, start: int = 0) -> Iterator[StepEvent]:
        """Do the work of an epoch from step `start` on, with an event after each step.

        At each event `state_dict` tells what going on after that step needs. An epoch may be left
        in the middle: then `cut` follows.
        """

    def cut(self) -> None:
        """Bring deferred updates up to date, so that the network can be evaluated; training does
        not go on after it.
        """

    def evaluated(self) -> nn.Module | None:
        """The network whose loss on the B rows is the epoch's; None where there is none."""

    def record(self) -> dict[str, Any]:
        """Plain data: "choices" per block and "expert_usage" per task always, and what else the
        strategy tells.
        """

    def derive(self) -> Architecture:
        """The discrete architecture that the strategy believes in so far."""

    def proposals(self, count: int) -> list[Architecture]:
        """At most so many architectures that the strategy believes in, what `derive` gives first;
        no two equal up to the order of experts, and the same at each call.
        """

    def decisions(self, architecture: Architecture) -> tuple[Decision, ...]:
        """Of every choice of what `derive` gave, what it rests on; "not decided", as no strategy
        trains its candidates alone and often enough.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs beside the supernet's own state: tensors and JSON
        values.
        """

    def load_state_dict(self, state: Any) -> None:
        """Go on from ``state_dict()``.

        Raises:
            AutoMTLError: it is none of this strategy's; see ``training/checkpoint_state.py``.
        """

    def stands_at(self, epoch: int, step: int) -> bool:
        """Whether what was loaded can be the state before that step, both counted from 0 and the
        first of the next epoch included.
        """
