"""A finished search opened again: what it worked with, and its trained supernet."""

from pathlib import Path

from torch import nn

from automtl.bounds import MAX_PARAMETERS
from automtl.errors import ArtifactError
from automtl.models.cost import flops_per_row
from automtl.models.derived import build_model
from automtl.models.storage import unpacked
from automtl.models.supernet import Supernet
from automtl.phases.run.opening import open_session
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.resume import begun_settings, need_same_data
from automtl.phases.run.run_data import snapshot_of
from automtl.phases.run.session import Session
from automtl.phases.search.context import make_material
from automtl.runs import checkpoint
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, one_phase
from automtl.spaces.architecture import Architecture
from automtl.strategies.protocol import Material
from automtl.training.checkpoint_state import take_net


def reopened(
    path: Path, *, device: str, reporter: Reporter, needs: tuple[str, ...]
) -> tuple[Material, Supernet, Session]:
    """The material of a searched run, its supernet as the last epoch left it, and the session that
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
    material = make_material(session, config.space, session.dropout_generator())
    net = material.make_supernet()
    state = checkpoint.load(last)
    with checkpoint.applying(
        last, "must hold the weights of the config beside it", "search again with this version"
    ):
        take_net(net, state["net"])
    return material, net, session


def session_of(folder: PhaseDir, device: str, reporter: Reporter) -> Session:
    """The session of a finished phase: its own settings and data, on this machine; no rows are
    looked for yet.

    Raises:
        ArtifactError: a file of the phase is damaged, or it keeps no data set of its own.
    """
    config, own = begun_settings(folder), snapshot_of(folder)
    stored = sum(path.stat().st_size for path in folder.path.glob("checkpoint/*.safetensors"))
    # a stranger's config may name any limit: a network that is here takes a bit per parameter
    most = max(MAX_PARAMETERS, 8 * stored)
    runtime = config.runtime.model_copy(
        update={"device": device, "threads": None, "max_parameters": most}
    )
    session = open_session(config.model_copy(update={"runtime": runtime}), reporter, own)
    need_same_data(Manifest.read(folder.manifest), session)
    return session


def load_net(folder: PhaseDir, session: Session) -> nn.Module:
    """The trained network of a retrain folder, on the session's device.

    Raises:
        ArtifactError: the checkpoint is torn, or of another architecture or version.
    """
    bound = Architecture.load(folder.architecture)
    net = build_model(
        bound,
        session.schema,
        generator=session.dropout_generator(),
        max_parameters=session.config.runtime.max_parameters,
    )
    path = folder.checkpoint("best")
    state = checkpoint.load(path)
    with checkpoint.applying(
        path, "must hold the weights of the architecture beside it", "retrain it with this version"
    ):
        take_net(net, unpacked(net, state["net"]))
        # one pass: a packed network takes its shapes from the file
        flops_per_row(net, session.schema)
    return net.to(session.device)
