"""A finished search opened again: what it worked with, and its trained supernet."""

from pathlib import Path

from automtl.errors import ArtifactError
from automtl.models.supernet import Supernet
from automtl.phases.evaluate import session_of
from automtl.phases.resuming import held_settings
from automtl.phases.search_material import make_material
from automtl.phases.session import Reporter
from automtl.runs import checkpoint
from automtl.runs.run_dir import one_phase
from automtl.strategies.protocol import Material
from automtl.training.states import take_net


def reopened(
    path: Path, *, device: str, reporter: Reporter, needs: tuple[str, ...]
) -> tuple[Material, Supernet]:
    """The material of a searched run and its supernet as the last epoch left it.

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
    config = held_settings(folder)
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
    material = make_material(session, config.space, session.noise())
    net = material.make_supernet()
    held = checkpoint.load(last)
    with checkpoint.applying(
        last, "must hold the weights of the config beside it", "search again with this version"
    ):
        take_net(net, held["net"])
    return material, net
