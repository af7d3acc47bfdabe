"""`automtl pareto`: the best architectures of a trained supernet at several costs."""

from pathlib import Path
from typing import Annotated

import typer

from automtl.cli._options import AsJson, Device
from automtl.cli.console import print_json, say, table
from automtl.cli.progress import ConsoleReporter


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
    """Derive the best architecture under each limit of a sweep, from one trained supernet; a file
    for each.

    Example: automtl pareto runs/census_income-automtl_small-1 --points 8
    """
    from automtl.phases.finished.pareto import pareto

    with ConsoleReporter() as reporter:
        front = pareto(run, points=points, of=of, device=device or "auto", reporter=reporter)
    if as_json:
        print_json(
            [
                {"file": str(p.path), "cost": p.cost, "score": p.score, "exact": p.exact}
                for p in front
            ]
        )
        return
    names = list(front[0].cost)
    rows = [
        (
            p.path.name,
            *(f"{p.cost[n]:,}" for n in names),
            f"{p.score:.4f}",
            "yes" if p.exact else "not proven",
        )
        for p in front
    ]
    table(
        "sum of log softmax(alpha) and log softmax(beta), at each cost the highest",
        ("file", *names, "score", "best"),
        rows,
    )
    say(f"next: automtl retrain {front[0].path.parent}/FILE --data DATASET")
