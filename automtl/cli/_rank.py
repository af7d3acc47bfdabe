"""`automtl rank`: does the supernet rank architectures as training them alone does."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from automtl.cli._options import AsJson, Device
from automtl.cli.console import print_json, say, table
from automtl.cli.progress import ConsoleReporter


def run(
    run: Annotated[Path, typer.Argument(help="A searched run's folder, with its last checkpoint.")],
    samples: Annotated[
        int, typer.Option("--samples", help="Architectures sampled from the space.")
    ] = 12,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, help="Epochs of each brief training.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed (samples, weights).")] = 0,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Check whether a supernet ranks architectures as training them alone does.

    Sampled architectures are trained briefly and scored on the validation rows; the supernet scores
    them on alpha rows.

    Example:
        automtl rank runs/census_income-automtl_small-1 --samples 12
    """
    from automtl.phases.finished.rank import rank
    from automtl.phases.finished.rank_order import MOST_EXACT

    with ConsoleReporter() as reporter:
        ranking = rank(
            run,
            samples=samples,
            epochs=epochs,
            seed=seed,
            device=device or "auto",
            reporter=reporter,
        )
    if as_json:
        print_json(asdict(ranking))
        return
    rows = [
        (str(i), f"{a:.5f}", f"{b:.5f}")
        for i, (a, b) in enumerate(zip(ranking.supernet, ranking.alone, strict=True))
    ]
    scored = f"{ranking.rows[0]:,} alpha rows, alone on {ranking.rows[1]:,} validation rows"
    table(f"MTL-Loss: supernet on {scored}", ("sample", "supernet", "alone"), rows)
    tau = "undefined"
    if ranking.tau is not None and ranking.interval is not None:
        low, high = ranking.interval
        tau = (
            f"{ranking.tau:+.2f} (95% {low:+.2f} .. {high:+.2f}, "
            f"{'exact ' if samples <= MOST_EXACT else ''}p = {ranking.p:.3g})"
        )
    say(f"Kendall's tau {tau}, top-1 regret {ranking.regret:.5f}")
    if ranking.interval is not None and ranking.interval[0] <= 0 <= ranking.interval[1]:
        say(
            "its interval holds 0: with so few samples the supernet is not shown to order "
            "architectures as training them does"
        )
