"""The entrants of a race: the strategy's proposals, evenly drawn controls, hand-made rivals."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

from automtl.errors import ConfigError, counted
from automtl.models.cost import cost
from automtl.models.derived import build_model
from automtl.models.like_size import can_scale, like_size
from automtl.phases.run.alone import one_stage_networks
from automtl.phases.run.session import Session
from automtl.spaces.architecture import Architecture
from automtl.spaces.equivalence import form
from automtl.spaces.templates import changed
from automtl.strategies.encoding import MOST_DRAWS, SpaceEncoding
from automtl.strategies.ledger import price_of

Kind = Literal["proposal", "control", "rival", "variant"]
_CONTROLS = 978  # a stream of draws of their own


@dataclass(frozen=True)
class Entrant:
    """One architecture of a race.

    Args:
        kind: where it comes from; a variant is the winner with choices changed.
        name: for people.
        architecture: bound to the data.
        flops: of one row.
        parameters: embedding tables left out.
        seconds: of one forward pass over a row, on an idle machine's thread.
    """

    kind: Kind
    name: str
    architecture: Architecture
    flops: int
    parameters: int
    seconds: float

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that name what it computes."""
        return hashlib.sha256(self.architecture.identity().encode()).hexdigest()[:12]

    @property
    def price(self) -> tuple[int, int]:
        """The price that decides which of two is cheaper: FLOPs, then parameters."""
        return self.flops, self.parameters


def make_entrant(kind: Kind, name: str, architecture: Architecture, session: Session) -> Entrant:
    """An architecture with its price."""
    most = session.config.runtime.max_parameters
    net = build_model(
        architecture, session.schema, generator=session.dropout_generator(), max_parameters=most
    ).to(session.device)
    one_stage_networks(
        net, len(session.schema.tasks)
    )  # refuses what cannot be trained in one stage
    count, price = cost(net, session.schema), price_of(net, session.schema)
    return Entrant(
        kind, name, architecture, count.flops_per_row, count.other_parameters, price.seconds
    )


def check_race(session: Session) -> None:
    """Refuse a race that cannot be run, before there is a folder.

    Raises:
        ConfigError: a rival cannot be trained here at equal rows, or is named twice; or the rates
            would still be rising at the end of a training.
    """
    rivals(session)
    warmup, epochs = session.config.retrain.warmup_epochs, session.config.search.race_epochs
    if 0 < epochs <= warmup:
        rule = f"must be below search.race_epochs = {epochs:g}"
        raise ConfigError("retrain.warmup_epochs", rule, warmup, "lower it, or race longer")


def rivals(session: Session, flops: float | None = None) -> list[Entrant]:
    """The hand-made models of `search.rivals` with their prices, beyond the hard limits or not.

    Args:
        session: data and settings.
        flops: of a row, to which `search.scale_rivals` scales them; None: as they are.

    Raises:
        ConfigError: one cannot be trained here at equal rows, or is named twice.
    """
    return [
        make_entrant("rival", name, architecture, session)
        for name, architecture in rival_architectures(session, flops)
    ]


def rival_architectures(
    session: Session, flops: float | None = None
) -> list[tuple[str, Architecture]]:
    """The names of `search.rivals`, "NAME (scaled)" where one was, and their architectures, as the
    data and `architecture` shape them.

    Args:
        session: data and settings.
        flops: of a row, to which `search.scale_rivals` scales those that have hidden widths; None:
            as they are.

    Raises:
        ConfigError: one is no hand-made model, or is named twice.
    """
    s = session.config.search
    if len(set(s.rivals)) < len(s.rivals):
        raise ConfigError("search.rivals", "must name each model once", ", ".join(s.rivals))
    architectures = []
    for name in s.rivals:
        template = Architecture.load(name)
        if not template.is_template:
            rule = "must name hand-made models (templates)"
            raise ConfigError("search.rivals", rule, name, "see `automtl space list`")
        architecture = changed(template, session.config.architecture).bind(session.schema)
        if s.scale_rivals and flops is not None and can_scale(architecture):
            architecture, name = like_size(architecture, flops, session.schema), f"{name} (scaled)"
        architectures.append((name, architecture))
    return architectures


def entrants(
    proposals: Sequence[Architecture], encoding: SpaceEncoding, session: Session, seed: int
) -> list[Entrant]:
    """All who start; none is there twice.

    Args:
        proposals: what the strategy believes in, best first.
        encoding: from which controls are drawn evenly, within the hard limits.
        session: data and settings.
        seed: of the draws.
    """
    s, known = session.config.search, {form(p) for p in proposals}
    starters = [
        make_entrant("proposal", f"proposal {i + 1}", architecture, session)
        for i, architecture in enumerate(proposals)
    ]
    for number in range(MOST_DRAWS if s.race_controls else 0):
        rng = np.random.default_rng([seed, _CONTROLS, number])
        drawn = encoding.architecture(encoding.draw(rng))
        if form(drawn) in known:
            continue
        known.add(form(drawn))
        count = len(starters) - len(proposals) + 1
        starters.append(make_entrant("control", f"control {count}", drawn, session))
        if count == s.race_controls:
            break
    if len(starters) < (wanted := s.race_candidates + s.race_controls):
        session.reporter.say(
            f"the race has {counted(len(starters), 'candidate')}, not {wanted}: no more differ"
        )
    typical = median(entrant.flops for entrant in starters)
    return [*starters, *_within(rivals(session, typical), session)]


def _within(hand_made: Sequence[Entrant], session: Session) -> list[Entrant]:
    """The hand-made models that keep the hard limits; those that do not are said."""
    s, admitted = session.config.search, []
    for entrant in hand_made:
        reason = ""
        if s.max_flops is not None and entrant.flops > s.max_flops:
            reason = f"has {entrant.flops:,} FLOPs a row, search.max_flops is {s.max_flops:,}"
        elif s.max_params is not None and entrant.parameters > s.max_params:
            reason = f"has {entrant.parameters:,} parameters, search.max_params is {s.max_params:,}"
        elif s.max_latency_ms is not None:
            reason = "has no time measured part by part, as search.max_latency_ms needs it"
        if reason:
            session.reporter.say(f"{entrant.name} does not run in the race: it {reason}")
        else:
            admitted.append(entrant)
    return admitted
