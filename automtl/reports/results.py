"""What lets a result show itself: in Python, in a terminal that rich draws, in a notebook.

Libraries for pictures and tables are imported when something is asked for, so that a command that
trains does not wait for them.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from automtl.errors import counted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.table import Table

    from automtl.reports.load import RunView
    from automtl.spaces.architecture import Architecture


class SelfShowing(ABC):
    """Base of results: what belongs to a run and has an architecture can show itself."""

    if TYPE_CHECKING:
        architecture: Architecture

    @property
    @abstractmethod
    def home(self) -> Path:
        """The run's folder."""

    @abstractmethod
    def headline(self) -> str:
        """The result in one line."""

    def leaderboard(self) -> "pd.DataFrame":
        """The run's trained models as they stand now, best MTL-Loss first: seeds, rows judged on,
        mean and sd of every metric.

        Before any model is trained: the supernet on the search's B rows, as it ended.
        """
        from automtl.reports.tables import leaderboard, supernet_row

        view = self._view()
        table = leaderboard([view])
        return table if not table.empty else supernet_row(view)

    def plot(self, what: str = "architecture") -> "Figure":
        """A picture as a matplotlib figure.

        Args:
            what: "architecture", or for a searched run "alphas".

        Raises:
            ConfigError: another word, or no alphas in this run.
        """
        from automtl.errors import ConfigError
        from automtl.reports.charts import LEARNED, all_choices
        from automtl.reports.drawing import paint
        from automtl.reports.drawing.layout import draw

        if what == "architecture":
            return paint(draw(self.architecture))
        search = self._view().search
        if what != "alphas" or search is None or search.alphas.empty:
            raise ConfigError(
                "plot", "must be asked for architecture, or for alphas of a searched run", what
            )
        if not search.learned:
            raise ConfigError("plot", LEARNED, "drawn ones", "plot the architecture")
        return all_choices(search.alphas, f"alphas of {self.home.name}")

    def _view(self) -> "RunView":
        from automtl.reports.load import load_run

        return load_run(self.home)

    def __rich__(self) -> "Table":
        from rich.markup import escape
        from rich.table import Table

        frame = self.leaderboard()
        table = Table(title=escape(self.headline()), title_justify="left")
        for name in frame.columns:
            table.add_column(
                escape(str(name)),
                justify="left" if frame[name].dtype == "str" else "right",
                overflow="fold",
            )
        for row in frame.itertuples(index=False):
            table.add_row(*(escape(_cell(value)) for value in row))
        return table

    def _repr_html_(self) -> str:
        frame = self.leaderboard()
        rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
        return _page(self.headline(), self.architecture, [str(n) for n in frame.columns], rows)


def architecture_html(architecture: "Architecture") -> str:
    """An architecture as a notebook shows it: its name, and its picture."""
    kind, count = architecture.sharing.kind, len(architecture.experts)
    return _page(
        f"{architecture.name or 'architecture'}: {kind}, {counted(count, 'expert')}", architecture
    )


def _page(
    headline: str,
    architecture: "Architecture",
    names: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
) -> str:
    import base64

    from automtl.reports.drawing import paint, render
    from automtl.reports.drawing.embed import fill
    from automtl.reports.drawing.layout import draw

    svg = base64.b64encode(render(paint(draw(architecture)), Path("x.svg"))).decode()
    return str(fill("result.html", headline=headline, names=names, rows=rows, svg=svg))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.5f}"
    return "-" if value is None else str(value)
