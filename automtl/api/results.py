"""The result of a search."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd
from matplotlib.figure import Figure

from automtl.api._acting import acting
from automtl.api._pictures import history_of, written
from automtl.api._progress import Listening
from automtl.api._settings import flags_of
from automtl.api._training import retrained
from automtl.api._wording import in_python, speaks_python
from automtl.api.models import Models
from automtl.phases.retrain.fan_out import side_by_side
from automtl.phases.run.reporter import Reporter
from automtl.phases.search.state import SearchResult
from automtl.runs.run_dir import RunDir


class Search(SearchResult):
    """A search that has ended.

    >>> found.run.name, len(found.architecture.experts)
    ('mine', 4)
    >>> found.history[["epoch", "loss.total"]].shape
    (2, 2)
    >>> found.decisions[0]["verdict"]
    'not decided'
    """

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where it lies."""
        return (self.run,)

    @property
    def history(self) -> pd.DataFrame:
        """A row per epoch: losses, figures on the rows that judge, entropy; none where no epoch
        trained anything, as in a race over draws.
        """
        return history_of(RunDir(self.run).search)

    @property
    def decided(self) -> str:
        return in_python(super().decided)

    @property
    def remarks(self) -> list[str]:
        return [in_python(line) for line in super().remarks]

    @property
    def models(self) -> Models:
        """The run's finished retrains.

        Raises:
            ArtifactError: there are none.
        """
        return Models.of(self.run)

    @speaks_python
    def retrain(
        self,
        seeds: Sequence[int] = (0,),
        *,
        sharing: str | None = None,
        jobs: int = 1,
        engine: str = "local",
        resume: bool = False,
        verbose: bool | None = None,
        reporter: Reporter | None = None,
        callbacks: Sequence[Any] = (),
        **settings: Any,
    ) -> Models:
        """Train what was found from fresh weights, once per seed; see `automtl.retrain`.

        >>> found.retrain(seeds=[7], sharing="snr_trans").labels
        ['snr_trans-s7']
        """
        with Listening(verbose, reporter, callbacks) as listener:
            return Models.trained(
                retrained(
                    self.run,
                    None,
                    flags_of(settings),
                    sharing=sharing,
                    seeds=seeds,
                    out=None,
                    resume=resume,
                    reporter=listener,
                    how=side_by_side(jobs, engine),
                ),
                listener,
            )

    @speaks_python
    def plot(self, what: str = "architecture", path: str | Path | None = None) -> Figure:
        """A picture, as a matplotlib figure and, with a path, as a file (.png, .svg or .pdf).

        >>> len(found.plot("alphas", "alphas.png").axes) > 1
        True

        Args:
            what: "architecture" or "alphas".
            path: the file to write.
        """
        return written(super().plot(what), path)

    def __repr__(self) -> str:
        return f"Search {self.run}: {self.decided}; {self.state}{self.after}"


def acting_search(result: SearchResult) -> Search:
    """A search's result as one that acts."""
    return cast("Search", acting(Search, result))
