"""The live bar: one line of progress and one of losses."""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text


class Bar(Progress):
    """A bar of one task with a line of losses below it."""

    losses = ""

    def get_renderable(self) -> RenderableType:
        """Both lines; the second where there is something to tell."""
        lines: list[RenderableType] = [self.make_tasks_table(self.tasks)]
        return Group(*lines, *([Text(self.losses, style="dim")] if self.losses else []))

    def show(self, place: str, share: float, *, losses: str, **fields: Any) -> None:
        """Draw anew.

        Args:
            place: where the command is, in words.
            share: of all that is done.
            losses: the second line.
            fields: rate, elapsed and left, in words.
        """
        self.losses = losses
        if not self.tasks:
            self.add_task(place, total=1.0, **fields)
        self.update(self.task_ids[0], completed=share, description=place, **fields)


def make_bar(console: Console) -> Bar:
    """A bar, not started yet."""
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[elapsed]} elapsed"),
        TextColumn("{task.fields[left]} left"),
        console=console,
        transient=True,
        expand=True,
        refresh_per_second=4,
    )
