"""What a search writes beside its architecture: what the search cost, and the time that the derived
model takes where time is limited.
"""

from dataclasses import asdict
from typing import Any

from automtl import files
from automtl.models.cost import cost
from automtl.models.derived import build_model
from automtl.models.latency import latency_us
from automtl.phases.run.session import Session
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture
from automtl.strategies.protocol import Strategy


def measured_latency(session: Session, architecture: Architecture) -> dict[str, Any]:
    """Where time is limited, what the whole model really takes beside the limit; parts were added
    up, so it may be more.
    """
    s = session.config.search
    if s.max_latency_ms is None:
        return {}
    net = build_model(
        architecture, session.schema, generator=session.noise(), max_parameters=None
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
