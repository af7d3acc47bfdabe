"""The report: one HTML file that holds everything it shows and asks nothing of any network."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from markupsafe import Markup

from automtl.errors import counted
from automtl.reports.drawing.embed import fill, source
from automtl.reports.drawing.text import clean
from automtl.reports.load import RunView
from automtl.reports.panels._panels import PANELS, Panel


@dataclass(frozen=True)
class _Filled:
    id: str
    title: str
    content: Markup


def report(runs: Sequence[RunView], panels: Sequence[Panel] = PANELS) -> str:
    """The report on runs, as the text of an HTML file.

    Args:
        runs: as ``load.load_run`` reads them, in any state.
        panels: what to show, in order; those without anything to show are left out.
    """
    script = source("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    names = ", ".join(dict.fromkeys(run.name for run in runs))
    data = ", ".join(
        dict.fromkeys(
            str(phase.data["name"])
            for run in runs
            for phase in run.everything
            if "name" in phase.data
        )
    )
    page = fill(
        "page.html",
        title=clean(names, 120),
        subtitle=clean(f"data: {data or 'unknown'} · {_phases(runs)}"),
        panels=[html for panel in panels if (html := _filled(panel, runs)) is not None],
        style=Markup(source("style.css")),  # noqa: S704 # nosec B704 # our own text
        script=Markup(script),  # noqa: S704 # nosec B704 # our own text
        script_hash=digest,
        version=_version(),
    )
    return str(page)


def _filled(panel: Panel, runs: Sequence[RunView]) -> _Filled | None:
    try:
        content = panel.make(runs)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # a run folder may hold anything: files of another version, edited ones; the rest of the
        # report still opens
        content = fill("broken.html", error=f"{type(error).__name__}: {error}")
    return None if content is None else _Filled(panel.id, panel.title, content)


def _phases(runs: Sequence[RunView]) -> str:
    searches = sum(run.search is not None for run in runs)
    retrains = sum(len(run.retrains) for run in runs)
    studies = sum(run.study is not None for run in runs)
    words = [
        (studies, "study", "studies"),
        (searches, "search", "searches"),
        (retrains, "trained model", "trained models"),
    ]
    return ", ".join(counted(n, one, many) for n, one, many in words if n)


def _version() -> str:
    try:
        return version("automtl")
    except PackageNotFoundError:
        return "(not installed)"
