"""`automtl pareto`: the best architectures of a trained supernet at several costs."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from automtl.cli._options import AsJson, Device
from automtl.cli.console import print_json, say, say_command, table
from automtl.cli.progress import ConsoleReporter

_HEADS = {"flops": "FLOPs a row", "latency_us": "microseconds"}


def run(
    run: Annotated[Path, typer.Argument(help="A searched run's folder, with its last checkpoint.")],
    points: Annotated[
        int,
        typer.Option(
            "--points", help="Limits of the sweep; those that change nothing are left out."
        ),
    ] = 8,
    of: Annotated[
        str,
        typer.Option(
            "--of", help="Which cost is limited: flops, parameters or latency (measured here)."
        ),
    ] = "flops",
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Derive the best architectures at several costs from one trained supernet, a file for each.

    Example:
        automtl pareto runs/census_income-automtl_small-1 --points 8
    """
    from automtl.phases.finished.pareto import pareto
    from automtl.runs.run_dir import one_phase
    from automtl.strict import load_yaml

    with ConsoleReporter() as reporter:
        front = pareto(run, points=points, of=of, device=device or "auto", reporter=reporter)
    if as_json:
        print_json([{"file": str(p.path), "cost": p.cost, "score": p.score} for p in front])
        return
    names = list(front[0].cost)
    rows = [(p.path.name, *(f"{p.cost[n]:,}" for n in names), f"{p.score:.4f}") for p in front]
    table(
        f"best architectures within limits of {of}, by the supernet's own score (0 at most)",
        ("file", *(_HEADS.get(name, name) for name in names), "score"),
        rows,
    )
    say("score: sum of log softmax(alpha) and log softmax(beta); train the files to compare them")
    dataset = load_yaml(one_phase(run, "search").config)["data"]["source"]
    say_command(
        "next", shlex.join(["automtl", "retrain", str(front[0].path), "--data", str(dataset)])
    )
