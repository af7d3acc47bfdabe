"""The Pareto phase: from one trained supernet, the best architecture under each limit of a sweep.

Each point is the optimum of the hard-limit problem (`strategies/_constrained.py`), so no other
architecture of the space has both a higher score and less cost up to that limit. The score is the
search's own belief, sum of log softmax(alpha) and log softmax(beta): it says which architecture to
try at a cost, not how well it will do; retrain the points to see that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automtl import files
from automtl.errors import ConfigError
from automtl.models.prices import Latencies
from automtl.models.supernet import Supernet
from automtl.phases.finished._reopen import reopened
from automtl.phases.run.reporter import Reporter, Silent
from automtl.runs.run_dir import PhaseDir, one_phase
from automtl.spaces.architecture import Architecture
from automtl.strategies.derive import derive
from automtl.strategies.pricing import Limits, Pricing, measure
from automtl.strategies.protocol import SearchContext

SWEPT = ("darts", "snas", "gdas")  # strategies whose alphas weigh the candidates
MOST = 10_000  # points
TIMED_ROWS = 1024  # of the batch whose latency is measured
OF = {"flops": "flops", "parameters": "parameters", "latency": "latency_us"}


@dataclass(frozen=True)
class Point:
    """One point of the front.

    Args:
        path: of its architecture file.
        cost: FLOPs per row, parameters beside the tables, and microseconds where they were
            measured.
        score: sum of log softmax(alpha) and log softmax(beta).
        architecture: what to retrain.
    """

    path: Path
    cost: dict[str, int]
    score: float
    architecture: Architecture


def pareto(
    path: Path,
    *,
    points: int = 8,
    of: str = "flops",
    device: str = "auto",
    reporter: Reporter | None = None,
) -> list[Point]:
    """Sweep limits from the cheapest model to the unconstrained one, and keep what differs,
    cheapest first.

    Args:
        path: a searched run.
        points: limits of the sweep, evenly spaced.
        of: "flops", "parameters" or "latency".
        device: where to run.
        reporter: told how it goes on.

    Raises:
        ArtifactError: the run holds no supernet whose alphas were trained.
        ConfigError: fewer than two points, or another cost.
    """
    if not 2 <= points <= MOST:
        raise ConfigError("--points", f"must be at least 2 and at most {MOST:,}", points)
    if of not in OF:
        raise ConfigError("--of", f"must be one of {', '.join(OF)}", of)
    folder = one_phase(path, "search")
    context, net, _ = reopened(path, device=device, reporter=reporter or Silent(), needs=SWEPT)
    pricing = _pricing(context, net, timed=of == "latency")
    front = [_saved(folder, architecture, of) for architecture in sweep(pricing, OF[of], points)]
    files.write_json(
        folder.front, {"of": of, "points": [_record(folder, point) for point in front]}
    )
    return front


def _pricing(m: SearchContext, net: Supernet, *, timed: bool) -> Pricing:
    s = m.settings
    common: dict[str, Any] = {"sharing": s.sharing, "settings": s.sharing_settings}
    latencies: Latencies | None = (
        measure(net, m.schema, rows=TIMED_ROWS, **common) if timed else None
    )
    return Pricing(net, m.schema, limits=Limits(), latencies=latencies, **common)


def sweep(pricing: Pricing, cost: str, points: int) -> list[Architecture]:
    """The best architectures within evenly spaced limits of one cost, each once, cheapest first.

    Args:
        pricing: the costs of a trained supernet's candidates.
        cost: one of `COSTS`.
        points: how many limits.
    """
    free = pricing.cost(derive(pricing.net, pricing.schema, **pricing.common))[cost]
    front: list[Architecture] = []
    for limit in np.linspace(pricing.least(cost), free, points).round().astype(int):
        best = pricing.best_within(Limits(**{cost: int(limit)}))
        if best is not None and best not in front:
            front.append(best)
    return front


def _saved(folder: PhaseDir, architecture: Architecture, of: str) -> Point:
    """A point with its architecture in a file, which `automtl retrain` takes."""
    within = architecture.provenance["within_limits"]
    path = folder.front.parent / f"{of}-{within['cost'][OF[of]]}.json"
    origin = (
        Architecture.load(folder.architecture).provenance if folder.architecture.exists() else {}
    )
    architecture = architecture.evolve(provenance={**origin, **architecture.provenance})
    architecture.save(path)
    return Point(path, within["cost"], within["score"], architecture)


def _record(folder: PhaseDir, point: Point) -> dict[str, Any]:
    architecture = point.architecture
    parts = {
        "interaction": list(architecture.interaction),
        "experts": [list(architecture.experts[i].blocks) for i in _used(architecture)],
    }
    return {
        "file": point.path.name,
        "cost": point.cost,
        "score": point.score,
        **parts,
    }


def _used(architecture: Architecture) -> Sequence[int]:
    return (
        sorted({i for task in architecture.chosen for i in task})
        if architecture.chosen is not None
        else range(len(architecture.experts))
    )
