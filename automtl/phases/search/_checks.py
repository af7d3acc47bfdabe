"""Checks of a search before its folder appears."""

from automtl.models.supernet import check_supernet
from automtl.phases.run.session import Session
from automtl.phases.search.context import settings_of
from automtl.spaces.space import SearchSpace
from automtl.training.balancing import check_balancing
from automtl.training.early_stopping import check_monitor


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
