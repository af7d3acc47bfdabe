"""Writes the result of a search: the architecture with its provenance, and the cost."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from automtl import files
from automtl.models.cost import cost
from automtl.models.derived import build_model
from automtl.models.latency import latency_us
from automtl.phases.race.race import Race
from automtl.phases.run.session import Session
from automtl.runs import decided
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture
from automtl.strategies.protocol import Strategy


def write_outcome(
    session: Session,
    folder: PhaseDir,
    strategy: Strategy,
    race: Race | None,
    ending: dict[str, Any],
    spent: Callable[[], dict[str, Any]],
) -> tuple[Architecture, dict[str, Any]]:
    """Derive the architecture and write it, and cost.json; the architecture, and what the manifest
    says of it.

    Args:
        session: data and settings.
        folder: of the search.
        strategy: derives where there was no race.
        race: decides where there was one.
        ending: how the search ended, for the provenance.
        spent: what it cost, the derivation included.
    """
    schema = session.schema
    race_summary: dict[str, Any] = {}
    beside: dict[str, Architecture] = {}
    if race is not None:
        derived, decisions, race_summary, beside = race.outcome()
    else:
        derived = strategy.derive()
        decisions = list(strategy.decisions(derived))
    origin = {
        "dataset": schema.name,
        "data_hash": schema.data_hash,
        "seed": session.config.seed,
    }
    for name, other in beside.items():
        # trained as the others, not by what its paper recommends
        other.evolve(provenance=origin, recommended={}).save(folder.beside(name))
    architecture = derived.evolve(
        provenance={
            **origin,
            **ending,
            **derived.provenance,
            **measured_latency(session, derived),
            "decisions": [decision.plain for decision in decisions],
            **({"race": race_summary} if race_summary else {}),
        }
    )
    architecture.save(folder.architecture)
    write_cost(folder, session, strategy, spent())
    outcome: dict[str, Any] = {"decisions": decided.decisions_of(architecture.provenance)}
    if race is not None:
        outcome["race"] = architecture.provenance["race"]
    return architecture, outcome


def measured_latency(session: Session, architecture: Architecture) -> dict[str, Any]:
    """The measured latency of the whole model beside the limit, where latency is limited; the limit
    is kept for the sum of the parts.
    """
    s = session.config.search
    if s.max_latency_ms is None:
        return {}
    net = build_model(
        architecture, session.schema, generator=session.dropout_generator(), max_parameters=None
    ).to(session.device)
    took = latency_us(net, session.schema, rows=s.latency_rows) / 1000
    if took > s.max_latency_ms:
        session.reporter.say(
            f"the derived model took {took:.3f} ms for {s.latency_rows} rows, the limit is "
            f"{s.max_latency_ms:.3f} ms: its parts add up to less than the whole, or the machine "
            "was busy"
        )
    return {"latency": {"limit_ms": s.max_latency_ms, "measured_ms": took, "rows": s.latency_rows}}


def write_cost(
    folder: PhaseDir, session: Session, strategy: Strategy, spent: dict[str, Any]
) -> None:
    """Write cost.json: what was spent, and what a row through the supernet costs."""
    net = strategy.supernet
    if net is not None:
        net.mix_all()
    whole = {} if net is None else {"supernet": asdict(cost(net, session.schema))}
    files.write_json(folder.cost, {**spent, "strategy": session.config.search.strategy, **whole})
