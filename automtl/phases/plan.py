"""What a search would do, before it does it: rows, steps, parameters, memory, rough time, reach of alpha."""

import time
from dataclasses import asdict, dataclass

from automtl.config import RunConfig
from automtl.models.cost import cost
from automtl.models.supernet import build_supernet
from automtl.phases.session import Reporter, open_session
from automtl.strategies.darts import Darts, DartsSettings
from automtl.training.loop import run_epoch

_TIMED_STEPS = 3


@dataclass(frozen=True)
class Plan:
    """A search's plan.

    Args:
        rows: per role, how many rows.
        steps: of the whole search.
        architectures: size of the space.
        parameters: of the supernet, tables included.
        table_parameters: of these, in embedding tables.
        memory_mb: parameters, their gradients and optimiser state, and activations of one step (measured floats, float32).
        step_s: seconds of one step, median of a few after a warm-up one.
        total_s: seconds of all steps, evaluation left out.
        alpha_reach: the furthest an alpha can move, steps times its rate.
    """

    rows: dict[str, int]
    steps: int
    architectures: int
    parameters: int
    table_parameters: int
    memory_mb: float
    step_s: float
    total_s: float
    alpha_reach: float


def plan_search(config: RunConfig, reporter: Reporter | None = None) -> Plan:
    """Plan a search by counting, and by timing a few steps on its own first rows; nothing is written."""
    session = open_session(config, reporter)
    space, s, schema = config.space, config.search, session.schema
    assert space is not None, "a search has a space"
    net = build_supernet(space, schema, sharing=s.sharing, settings=config.sharing, generator=session.noise()).to(session.device)
    count = cost(net, schema)
    fit = session.batches("fit", batch_size=s.batch_size, seed=session.seeds.fit)
    alpha = session.batches("alpha", batch_size=s.batch_size, seed=session.seeds.alpha)
    same = {name: getattr(s, name) for name in DartsSettings.__dataclass_fields__ if name != "sharing_settings"}
    strategy = Darts(net, schema, DartsSettings(**same, sharing_settings=config.sharing), autocast=session.autocast)
    strategy.begin_epoch(0)
    cycle, times, last = alpha.cycle(), [], time.perf_counter()
    for event in run_epoch(lambda _, batch: strategy.step(next(cycle).to(session.device), batch), fit, epoch=0, device=session.device):
        times.append(time.perf_counter() - last)
        last = time.perf_counter()
        if event.step == _TIMED_STEPS:
            break
    step = sorted(times[1:] or times)[len(times[1:] or times) // 2]
    steps = len(fit) * s.epochs
    activations = count.flops_per_row * s.batch_size // (2 * space.expert_dim)
    total = count.table_parameters + count.other_parameters
    return Plan(
        rows=session.store.summary["rows"],
        steps=steps,
        architectures=space.size(len(schema.tasks), s.sharing, dict(config.sharing)),
        parameters=total,
        table_parameters=count.table_parameters,
        memory_mb=(3 * total + activations) * 4 / 2**20,
        step_s=step,
        total_s=step * steps,
        alpha_reach=steps * s.alpha_lr,
    )


def as_rows(plan: Plan) -> list[tuple[str, str]]:
    """The plan as lines for people."""
    values = asdict(plan)
    rows = ", ".join(f"{k} {v:,}" for k, v in values.pop("rows").items())
    minutes = plan.total_s / 60
    return [
        ("rows", rows),
        ("steps", f"{plan.steps:,}"),
        ("architectures in the space", f"{plan.architectures:.3g}"),
        ("parameters", f"{plan.parameters:,} ({plan.table_parameters:,} in tables)"),
        ("memory", f"about {plan.memory_mb:,.0f} MB beside the program"),
        ("time", f"about {minutes:.1f} minutes ({plan.step_s:.2f} s a step here), evaluation left out"),
        ("reach of alpha", f"each alpha moves by at most about {plan.alpha_reach:.2f} (steps x search.alpha_lr)"),
    ]
