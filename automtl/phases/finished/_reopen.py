"""A finished search opened again: what it worked with, and its trained supernet."""

from pathlib import Path

from automtl.errors import ArtifactError
from automtl.models.supernet import Supernet
from automtl.phases.finished.open import session_of
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.resume import begun_settings
from automtl.phases.run.session import Session
from automtl.phases.search.context import make_context
from automtl.runs import checkpoint
from automtl.runs.run_dir import one_phase
from automtl.strategies.protocol import SearchContext
from automtl.training.checkpoint_state import load_net_state


def reopened(
    path: Path, *, device: str, reporter: Reporter, needs: tuple[str, ...]
) -> tuple[SearchContext, Supernet, Session]:
    """The context of a searched run, its supernet as the last epoch left it, and the session that
    both are of.

    Args:
        path: the run, or its search folder.
        device: where to run.
        reporter: told how it goes on.
        needs: strategies that leave what the caller reads.

    Raises:
        ArtifactError: the run is of another strategy, or its checkpoint is gone, or of another
            config or version.
    """
    folder = one_phase(path, "search")
    session = session_of(folder, device, reporter)
    config = begun_settings(folder)
    assert config.space is not None, "a search has a space"
    if config.search.strategy not in needs:
        raise ArtifactError(
            folder.path, f"must be a search by one of {', '.join(needs)}", config.search.strategy
        )
    last = folder.checkpoint("last")
    if not last.exists():
        raise ArtifactError(
            last,
            "must hold a trained supernet",
            "none",
            "search again, or take a run that was not cleaned",
        )
    context = make_context(session, config.space, session.dropout_generator())
    net = context.make_supernet()
    state = checkpoint.load(last)
    with checkpoint.applying(
        last, "must hold the weights of the config beside it", "search again with this version"
    ):
        load_net_state(net, state["net"])
    return context, net, session
