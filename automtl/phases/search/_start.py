"""Starts a search, or goes on with one (see `_phase.py`)."""

from pathlib import Path

from automtl import files
from automtl.config import RunConfig
from automtl.data.store.snapshot import Snapshot
from automtl.phases.run.opening import training_session
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.run_data import snapshot_of
from automtl.phases.search._checks import checked_session
from automtl.phases.search._opening import opening
from automtl.phases.search._phase import SearchPhase
from automtl.phases.search.resume import begun_run
from automtl.phases.search.state import SearchResult
from automtl.runs.run_dir import RunDir


def search(
    config: RunConfig,
    *,
    out: Path | None = None,
    reporter: Reporter | None = None,
    resume: bool = False,
    own: Snapshot | None = None,
    budget: str | None = None,
    announce: bool = True,
) -> SearchResult:
    """Search a space on a data set and derive an architecture.

    Args:
        config: resolved settings, with a space.
        out: the run's folder; it must not exist. Default runs/<dataset>-<space>-<n>.
        reporter: told how it goes on.
        resume: go on with the interrupted run at `out`; see ``resumed`` for its settings.
        own: the data set as another phase keeps it; default what its YAML says now, or of a resumed
            run its own.
        budget: what the search and its race may cost, such as 10m, 5e6rows or 2e13flops; it settles
            what the settings leave open. A resumed run goes on by what it settled at the start.
        announce: tell the reporter first what is searched.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    assert config.space is not None, "a search has a space"
    if resume:
        assert out is not None, "a run to resume has a folder"
        folder = RunDir(begun_run(out)).search
        own = snapshot_of(folder) if folder.manifest.exists() else own
        session = training_session(config, reporter, own, search=True, retrain=False)
        return SearchPhase(session, folder).run()
    session, filled = checked_session(config, reporter, own, budget)
    name, ranks = f"{session.schema.name}-{config.space.name}", session.ranks
    run = RunDir(Path(ranks.told(str(RunDir.new(out, name).path) if ranks.first else None)))
    phase = SearchPhase(session, run.search, filled)
    if announce:
        for line in opening(session, config.space, phase.strategy, run.search, budget):
            session.reporter.say(line)
    files.make_folder(run.search.path)
    return phase.run()
