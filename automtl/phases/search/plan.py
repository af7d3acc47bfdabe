"""The plan of a search: rows, steps, parameters, memory, rough time, and how far alpha can move."""

import time
from dataclasses import asdict, dataclass

import numpy as np

from automtl.config import RunConfig
from automtl.errors import counted
from automtl.models.cost import cost
from automtl.models.memory import step_bytes
from automtl.phases.race.course import Schedule
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.session import Session
from automtl.phases.search._checks import checked_session
from automtl.phases.search.context import make_context, make_strategy
from automtl.spaces.space import rounded
from automtl.strategies.protocol import Strategy

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
        memory_mb: the network and what a step needs beside it (see ``models/memory.py``), float32;
            with the longest lists in a batch.
        longest_lists: per field of lists, ids of the longest one, to which its batch's are padded.
        step_s: seconds of one step, median of a few after a warm-up one.
        total_s: seconds of all steps, evaluation left out.
        alpha_reach: the furthest an alpha can move, steps times its rate.
        race_steps: of single models after the search, at most; 0 without a race.
        budget: what was settled by it, in words; empty without one.
    """

    rows: dict[str, int]
    steps: int
    architectures: int
    parameters: int
    table_parameters: int
    memory_mb: float
    longest_lists: dict[str, int]
    step_s: float
    total_s: float
    alpha_reach: float
    race_steps: int
    budget: str


def plan_search(
    config: RunConfig, reporter: Reporter | None = None, *, budget: str | None = None
) -> Plan:
    """Plan a search by counting, and by timing a few steps on its own first rows; nothing is
    written.

    Args:
        config: resolved settings, with a space.
        reporter: told how it goes on.
        budget: as `search` takes it.

    Raises:
        AutoMTLError: the search itself would be refused.
    """
    session, filled = checked_session(config, reporter, None, budget)
    config, schema = session.config, session.schema
    space, s = config.space, config.search
    assert space is not None, "a search has a space"
    context = make_context(session, space, session.dropout_generator())
    strategy = make_strategy(session, context)
    net = strategy.supernet or context.make_supernet()
    count = cost(net, schema)
    longest = {
        field.name: int(np.diff(lists.offsets).max(initial=0))
        for field, lists in zip(schema.lists, session.store.rows("train").lists, strict=True)
    }
    steps, step = _timed(strategy)
    total = count.table_parameters + count.other_parameters
    return Plan(
        rows=session.store.summary["rows"],
        steps=steps,
        architectures=space.size(len(schema.tasks), s.sharing, dict(config.sharing)),
        parameters=total,
        table_parameters=count.table_parameters,
        memory_mb=(
            4 * total + step_bytes(net, schema, batch=s.batch_size, longest=list(longest.values()))
        )
        / 2**20,
        longest_lists=longest,
        step_s=step,
        total_s=step * steps,
        alpha_reach=steps * s.alpha_lr,
        race_steps=_race_steps(session) if s.selection == "race" else 0,
        budget="" if filled is None else filled.words,
    )


def _race_steps(session: Session) -> int:
    """The most steps that all trainings of a race take."""
    s, retrain = session.config.search, session.config.retrain
    batches = session.batches("fit", batch_size=retrain.batch_size, seed=0)
    whole = max(1, round(s.race_epochs * len(batches)))
    schedule = Schedule(s.starters, s.race_finalists, s.race_halving)
    return schedule.planned_steps(s.race_seeds, whole) + s.checked * s.race_seeds * whole


def _timed(strategy: Strategy) -> tuple[int, float]:
    """Steps of all epochs, and the seconds of one, the median of a few after the first."""
    times, steps = list[float](), 0
    last = time.perf_counter()
    for event in strategy.run_epoch(0):
        times.append(time.perf_counter() - last)
        last, steps = time.perf_counter(), event.steps * strategy.epochs
        if event.step == _TIMED_STEPS:
            break
    later = sorted(times[1:] or times)
    return steps, later[len(later) // 2] if later else 0.0


def as_rows(plan: Plan) -> list[tuple[str, str]]:
    """The plan as lines for people."""
    values = asdict(plan)
    rows = ", ".join(f"{k} {v:,}" for k, v in values.pop("rows").items())
    minutes = plan.total_s / 60
    race = f"at most {counted(plan.race_steps, 'step')} of single models"
    race += ", not in the time above" if plan.steps else ""
    longest = [f"{name} {ids:,}" for name, ids in plan.longest_lists.items()]
    lists = (
        f", with the longest list of each field in one batch (ids: {', '.join(longest)}; "
        "max_length cuts them)"
        if longest
        else ""
    )
    trained = [
        ("parameters", f"{plan.parameters:,} ({plan.table_parameters:,} in tables)"),
        ("memory", f"about {plan.memory_mb:,.0f} MB beside the program{lists}"),
        (
            "time",
            f"about {minutes:.1f} minutes ({plan.step_s:.2f} s a step here), evaluation left out",
        ),
        (
            "reach of alpha",
            f"each alpha moves by at most about {plan.alpha_reach:.2f} (steps x search.alpha_lr)",
        ),
    ]
    return [
        ("rows", rows),
        ("steps", f"{plan.steps:,}" if plan.steps else "none before the race"),
        ("architectures in the space", rounded(plan.architectures)),
        *(trained if plan.steps else []),
        *([("race", race)] if plan.race_steps else []),
        *([("budget", plan.budget)] if plan.budget else []),
    ]
