"""Opens results on disk."""

from pathlib import Path

from automtl.api._wording import speaks_python
from automtl.api.models import Model, Models
from automtl.api.results import Search, acting_search
from automtl.data.access.paths import home
from automtl.errors import ConfigError
from automtl.phases.search.state import SearchResult
from automtl.runs.run_dir import RunDir, find_phase


@speaks_python
def open(path: str | Path) -> Search | Models | Model:  # noqa: A001 # automtl.open, as PIL's
    """What lies in a folder: the search of a searched run (its `models` are the trained ones), the
    models of a hand-made one, the model of a retrain folder.

    >>> automtl.open("runs/mine").models[0].label
    'selected-s0'
    >>> automtl.open("runs/mine/retrain/selected-s0").seed
    0

    Args:
        path: a run's folder, or a phase's inside.

    Raises:
        ArtifactError: nothing finished is there.
    """
    folder = Path(home(path))
    if (folder / "manifest.json").exists():
        if folder.name == "search":
            return acting_search(SearchResult.read(find_phase(folder, "search")[0]))
        if folder.name == "tune":
            raise ConfigError(folder, "must be a search or a retrain", "a study")
        return Models.of(folder)[0]
    if folder.is_dir() and RunDir(folder).search.manifest.exists():
        return acting_search(SearchResult.read(find_phase(folder, "search")[0]))
    return Models.of(folder)
