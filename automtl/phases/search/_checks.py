"""Checks of a search before its folder appears, and of its plan."""

from automtl.config import RunConfig
from automtl.data.store.snapshot import Snapshot
from automtl.models.supernet import check_supernet
from automtl.phases.race.entrants import check_race
from automtl.phases.run.opening import training_session
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.session import Session
from automtl.phases.search._filling import with_budget
from automtl.phases.search.budget import Budget, Filled, check_idle
from automtl.phases.search.context import settings_of
from automtl.spaces.space import SearchSpace
from automtl.training.balancing import check_balancing
from automtl.training.early_stopping import check_monitor


def checked_session(
    config: RunConfig, reporter: Reporter | None, own: Snapshot | None, budget: str | None
) -> tuple[Session, Filled | None]:
    """A session in which everything that can be refused has been, its budget turned into settings;
    and what that settled.

    Args:
        config: as `search` takes it; so are the others.
        reporter: see there.
        own: see there.
        budget: see there.

    Raises:
        AutoMTLError: something is refused.
    """
    space = config.space
    assert space is not None, "a search has a space"
    check_idle(config)
    limit = None if budget is None else Budget.parse(budget)
    session = training_session(config, reporter, own, search=True, retrain=False)
    check_search(session, space)
    filled: Filled | None = None
    if limit is not None:
        session, filled = with_budget(session, space, limit)
    if config.search.selection == "race":
        check_race(session)
    return session, filled


def check_search(session: Session, space: SearchSpace) -> None:
    """Refuse settings that do not fit the tasks, and a supernet that cannot be built.

    Raises:
        ConfigError: there are such.
    """
    config, tasks = session.config, session.schema.tasks
    check_balancing(
        settings_of(session).balancing, [task.name for task in tasks], where="search.balancing"
    )
    check_monitor(
        config.retrain.monitor,
        {task.name: task.kind for task in tasks},
        grouped=bool(session.schema.group),
    )
    check_supernet(
        space,
        session.schema,
        sharing=config.search.sharing,
        settings=config.sharing,
        generator=session.dropout_generator(),
        max_parameters=config.runtime.max_parameters,
    )
