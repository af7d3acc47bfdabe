"""The context of a search strategy, made from a run's settings and data."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from automtl import files
from automtl.errors import ArtifactError
from automtl.models.prices import Latencies
from automtl.models.supernet import Supernet, build_supernet
from automtl.phases.run.device import compile_net
from automtl.phases.run.session import Session
from automtl.runs.run_dir import PhaseDir, one_phase
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts_settings import DartsSettings
from automtl.strategies.pricing import measure
from automtl.strategies.protocol import Options, SearchContext, Strategy
from automtl.strategies.registry import STRATEGIES
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.step.guard import Guard


def make_context(
    session: Session,
    space: SearchSpace,
    generator: torch.Generator,
    *,
    guard: Guard | None = None,
    latencies: Latencies | None = None,
) -> SearchContext:
    """The context of a search.

    Args:
        session: data, device, seeds, settings.
        space: what is searched.
        generator: source of dropout, gate noise and samples.
        guard: looks for losses that are not finite; default one that stops.
        latencies: measured before; where the search limits time and there are none, they are
            measured.
    """
    config, seeds = session.config, session.seeds
    s = config.search

    def make_supernet() -> Supernet:
        net = build_supernet(
            space,
            session.schema,
            sharing=s.sharing,
            settings=config.sharing,
            seed=seeds.weights,
            generator=generator,
            max_parameters=config.runtime.max_parameters,
        )
        session.load_pretrained(net)
        net.to(session.device)
        if config.runtime.compile:
            compile_net(net)
        return net

    if latencies is None and s.max_latency_ms is not None:
        latencies = _measured(session, make_supernet())
    size = s.batch_size
    if "batch_size" in s.idle:  # nothing is trained on them; any that ranks can share
        size -= size % session.ranks.size
    return SearchContext(
        space=space,
        schema=session.schema,
        settings=settings_of(session, latencies),
        options=_options(session),
        make_supernet=make_supernet,
        fit=session.batches("fit", batch_size=size, seed=seeds.fit),
        alpha=session.batches("a", batch_size=size, seed=seeds.alpha),
        scored=session.scored("a"),
        generator=generator,
        device=session.device,
        seed=seeds.weights,
        autocast=session.autocast,
        load_pretrained=session.load_pretrained,
        guard=guard or Guard(),
        ranks=session.ranks,
    )


def make_strategy(session: Session, context: SearchContext) -> Strategy:
    """The strategy that the settings name."""
    strategy: Strategy = STRATEGIES[session.config.search.strategy](context)
    return strategy


def known_latencies(folder: PhaseDir) -> Latencies | None:
    """The times that a search which was begun in a folder chooses by; None where it has none."""
    if not folder.latencies.exists():
        return None
    return Latencies(**files.read_json(folder.latencies))


def keep_latencies(folder: PhaseDir, context: SearchContext) -> None:
    """Write the times that a search chooses by, since a resume must choose by the same."""
    if context.settings.latencies is not None:
        files.write_json(folder.latencies, asdict(context.settings.latencies))


def _measured(session: Session, net: Supernet) -> Latencies:
    """The time of each candidate; of several ranks all go by the first one's."""
    s, latencies = session.config.search, None
    if session.ranks.first:
        sharing: dict[str, Any] = {"sharing": s.sharing, "settings": session.config.sharing}
        latencies = asdict(measure(net, session.schema, **sharing, rows=s.latency_rows))
    return Latencies(**session.ranks.told(latencies))


def settings_of(session: Session, latencies: Latencies | None = None) -> DartsSettings:
    """The settings of training a supernet."""
    s = session.config.search
    return DartsSettings.of(
        s,
        sharing_settings=session.config.sharing,
        balancing=BalancingSettings(**s.balancing.given()),
        latencies=latencies,
    )


def _options(session: Session) -> Options:
    s = session.config.search
    same = {name: getattr(s, name) for name in Options.model_fields}
    if s.budget_run is not None:
        folder = one_phase(Path(s.budget_run), "search")
        cost = files.read_json(folder.cost)
        if not isinstance(cost, dict) or not cost.get("samples"):
            raise ArtifactError(folder.cost, "must tell the samples of a finished search", cost)
        same["budget_samples"] = int(cost["samples"])
    return Options(**same)
