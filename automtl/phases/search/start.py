"""The search: what a run needs before its phase begins or goes on (see `_phase.py`)."""

from pathlib import Path

from automtl import files
from automtl.config import RunConfig
from automtl.config_layers import Recommendation
from automtl.data.store.snapshot import Snapshot
from automtl.errors import ConfigError
from automtl.models.supernet import check_supernet
from automtl.phases.race.entrants import check_race
from automtl.phases.run.resume import need_plugins, own_settings
from automtl.phases.run.run_data import kept_advice, snapshot_of
from automtl.phases.run.session import Reporter, training_session
from automtl.phases.search._filling import with_budget
from automtl.phases.search._opening import opening
from automtl.phases.search._phase import SearchPhase
from automtl.phases.search.budget import Budget, Filled, check_idle, with_filled
from automtl.phases.search.context import settings_of
from automtl.phases.search.state import SearchResult
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir, find_phase
from automtl.training.balancing import check_balancing
from automtl.training.early_stopping import check_monitor


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
        folder = RunDir(_begun(out)).search
        own = snapshot_of(folder) if folder.manifest.exists() else own
        return SearchPhase(
            training_session(config, reporter, own, search=True, retrain=False),
            folder,
            config.space,
        ).run()
    check_idle(config)
    limit = None if budget is None else Budget.parse(budget)
    session = training_session(config, reporter, own, search=True, retrain=False)
    # everything that can be refused is refused before the folder appears
    names = [task.name for task in session.schema.tasks]
    check_balancing(settings_of(session).balancing, names, where="search.balancing")
    check_monitor(
        config.retrain.monitor,
        {t.name: t.kind for t in session.schema.tasks},
        grouped=bool(session.schema.group),
    )
    check_supernet(
        config.space,
        session.schema,
        sharing=config.search.sharing,
        settings=config.sharing,
        generator=session.noise(),
        max_parameters=config.runtime.max_parameters,
    )
    filled: Filled | None = None
    if limit is not None:
        session, filled = with_budget(session, config.space, limit)
    if config.search.selection == "race":
        check_race(session)
    name, ranks = f"{session.schema.name}-{config.space.name}", session.ranks
    run = RunDir(Path(ranks.told(str(RunDir.new(out, name).path) if ranks.first else None)))
    phase = SearchPhase(session, run.search, config.space, budget=filled)
    if announce:
        for line in opening(session, config.space, phase.strategy, run.search, budget):
            session.reporter.say(line)
    files.make_folder(run.search.path)
    return phase.run()


def _begun(out: Path) -> Path:
    """The folder of a run whose search was begun, be it that nothing of it was written yet."""
    return out if RunDir(out).search.path.is_dir() else find_phase(out, "search")[0].path.parent


def advice_of(out: Path | None) -> list[Recommendation] | None:
    """What the data set of a run to go on with recommended as it was begun; None where it had not
    begun.

    A run is refused without its plugins before its space is looked up, which may need them.

    Raises:
        ConfigError: no run is named.
        ArtifactError: a plugin is not loaded, or changed since.
    """
    if out is None:
        raise ConfigError("--resume", "needs --out", "none", "name the run's folder there")
    folder = RunDir(_begun(out)).search
    need_plugins(folder)
    return kept_advice(folder)


def resumed(out: Path, config: RunConfig, *, given: bool, budget: str | None = None) -> RunConfig:
    """The settings that an interrupted run goes on with: its own, and the machine's of today.

    Args:
        out: the run's folder.
        config: what the command line says now.
        given: whether it says anything about the search itself.
        budget: as the command line says it now; None says nothing.

    Raises:
        ConfigError: it asks for other data, another search or another budget than the run's.
    """
    folder = RunDir(_begun(out)).search
    if not folder.manifest.exists():  # killed before it was written
        return config
    recorded = Manifest.read(folder.manifest).values.get("budget") or {}
    if budget is not None and budget.strip() != recorded.get("given"):
        rule = f"must be as in {folder.manifest}"
        was = recorded.get("given", "none")
        raise ConfigError("--resume: budget", rule, f"{budget} (was {was})", "leave it out")
    config = with_filled(config, recorded.get("filled", {}))
    return own_settings(
        folder, config, sections=("seed", "space", "search", "sharing") if given else ()
    )
