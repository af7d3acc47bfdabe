"""`automtl space`: how large a search space is, and what it offers."""

from typing import Annotated

import typer

from automtl.cli._options import AsJson
from automtl.cli.console import print_json, table
from automtl.errors import counted


def run(
    space: Annotated[str, typer.Argument(help="A shipped space's name, or a space file.")],
    tasks: Annotated[
        int,
        typer.Option(
            "--tasks", min=1, max=64, help="Number of tasks, for the expert selection's part."
        ),
    ] = 2,
    as_json: AsJson = False,
) -> None:
    """Show a search space: its candidates and how many architectures it holds.

    Example:
        automtl space automtl --tasks 2
    """
    from automtl.spaces.space import SearchSpace, rounded

    loaded = SearchSpace.load(space)
    size, paper = loaded.size(tasks), loaded.paper_size(tasks)
    if as_json:
        print_json(
            {
                **loaded.model_dump(mode="json"),
                "tasks": tasks,
                "size": rounded(size, 6),
                "paper_size": rounded(paper, 6),
            }
        )
        return
    rows = [
        (
            f"interaction ({counted(len(loaded.interaction), 'candidate')} x "
            f"{counted(loaded.num_interaction_blocks, 'block')})",
            ", ".join(loaded.interaction),
        ),
        (f"expert ({counted(len(loaded.expert), 'candidate')})", ", ".join(loaded.expert)),
        (
            "experts x blocks",
            f"{loaded.num_experts} x {loaded.num_blocks}, width {loaded.expert_dim}, widths of "
            f"mlp {loaded.widths}",
        ),
        (
            "experts each task keeps",
            f"{loaded.chosen(tasks)} of {loaded.num_experts} for {counted(tasks, 'task')}",
        ),
        ("towers", " -> ".join(map(str, loaded.towers))),
        ("architectures, |I|^i * |B|^(n*N) * C(N,c)^T", rounded(size)),
        ("as the paper counts, (|I|-1) * (|B|-1)^(n*N) * C(N,c) * T", rounded(paper)),
    ]
    table(f"search space {loaded.name}: {loaded.source}", ("what", "value"), rows)
