"""Opens a session: device, threads, ranks and prepared data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from automtl.config import RunConfig
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import DatasetConfig, load_dataset
from automtl.data.store import Store
from automtl.data.store.encoding import Encoding
from automtl.data.store.snapshot import Snapshot
from automtl.errors import DataError
from automtl.phases.run.device import set_up
from automtl.phases.run.joining import check_shares, come_together, of_rank
from automtl.phases.run.reporter import Reporter, Silent
from automtl.phases.run.run_data import tell_edits
from automtl.phases.run.session import Seeds, Session, data_dir_of
from automtl.ranks import place, world_size
from automtl.runs.loggers import Sinks


def open_session(
    config: RunConfig, reporter: Reporter | None = None, own: Snapshot | None = None
) -> Session:
    """Set device and threads and open the data.

    Args:
        config: the run's settings.
        reporter: told how it goes on.
        own: the data set as a run keeps it, in place of what its YAML says now; without, it is
            prepared where need be.
    """
    reporter = reporter or Silent()
    machine = set_up(of_rank(config.runtime))
    encoding: Encoding
    if own is not None:
        tell_edits(own, config.data.source, reporter.say)
        dataset, encoding = own.config, own
    else:
        dataset = load_dataset(config.data.source)
        encoding = _prepared(dataset, data_dir_of(config), reporter.say)
    # after the data is there: preparing it may outlast any timeout
    ranks = come_together(config, encoding, machine)
    reporter = reporter if ranks.first else Silent()
    sinks = Sinks(config.runtime.loggers if ranks.first else (), reporter.say)
    seeds = Seeds.of(config.seed)
    return Session(config, dataset, encoding, machine, seeds, reporter, sinks, ranks=ranks)


def _prepared(dataset: DatasetConfig, home: Path, say: Callable[[str], None]) -> Store:
    """The store of a data set, made where need be, but not by each of several machines."""
    machines = place()[1] < world_size()
    return prepare(dataset, data_dir=home, progress=say, make_anew=not machines)


def training_session(
    config: RunConfig,
    reporter: Reporter | None = None,
    own: Snapshot | None = None,
    *,
    search: bool,
    retrain: bool,
) -> Session:
    """Open a session of a phase that chooses by the MTL-Loss.

    Args:
        config: resolved settings.
        reporter: told how it goes on.
        own: see `open_session`.
        search: whether it searches: fit rows and both halves of the alpha rows must have labels of
            their own.
        retrain: whether it retrains: validation rows must.

    Raises:
        DataError: there are no rows to choose by, or a task has no label in them, so that their
            MTL-Loss is not defined.
    """
    check_shares(config, world_size(), search=search, retrain=retrain)
    session = open_session(config, reporter, own)
    size, whole = config.search.batch_size, config.runtime.eval_batch_size
    parts: list[tuple[str, str, np.ndarray | None, int]] = []
    if retrain:
        parts += [("validation rows", "validation", None, whole)]
    if search:
        parts += [
            ("fit rows", "train", session.index("fit"), size),
            ("A rows (the alpha rows that move alpha)", "train", session.index("a"), size),
            ("B rows (the alpha rows that decide)", "train", session.index("b"), whole),
        ]
        for role in config.search.scored_halves:
            scored = session.scored_index(role)
            if len(scored) < len(session.index(role)):
                rows = f"{role.upper()} rows that score (search.score_rows)"
                parts.append((rows, "train", scored, whole))
    for part, split, index, batch_size in parts:
        if index is not None and not len(index):
            raise _no_rows(session, part)
        _need_labels(session, part, session.labelled(split, index, batch_size))
    return session


def _no_rows(session: Session, rows: str) -> DataError:
    """Where a role of a search has no row at all, labels are not what lacks."""
    group, fix = session.schema.group, "bring more rows, or change split"
    if group:
        fix = (
            f"alpha rows are halved by whole groups of '{group}': name a column with more groups, "
            "or leave out group"
        )
    return DataError(f"{session.schema.name}: {rows}", "must be one row or more", "none", fix)


def _need_labels(session: Session, rows: str, labelled: np.ndarray) -> None:
    """Refuse rows to choose by in which a task has no label."""
    tasks = zip(session.schema.tasks, labelled, strict=True)
    if lacking := [f"'{task.name}'" for task, has_label in tasks if not has_label]:
        more = ", raise search.score_rows" if "score_rows" in rows else ""
        raise DataError(
            f"{session.schema.name}: {rows}",
            "must have a label, with a weight above 0, of every task: the MTL-Loss to choose by "
            "is not defined without",
            f"none of {', '.join(lacking)}",
            f"change split{more}, or leave out the task",
        )


def open_store(config: RunConfig, say: Callable[[str], None]) -> Store:
    """The prepared store of a config's data set; prepared now where it is not yet."""
    return prepare(load_dataset(config.data.source), data_dir=data_dir_of(config), progress=say)
