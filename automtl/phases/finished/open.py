"""A finished phase opened again: its session, and a retrain's trained network."""

from torch import nn

from automtl.bounds import MAX_PARAMETERS
from automtl.models.cost import flops_per_row
from automtl.models.derived import build_model
from automtl.models.storage import unpacked
from automtl.phases.run.opening import open_session
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.resume import begun_settings, need_same_data
from automtl.phases.run.run_data import snapshot_of
from automtl.phases.run.session import Session
from automtl.runs import checkpoint
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture
from automtl.training.checkpoint_state import load_net_state


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
        load_net_state(net, unpacked(net, state["net"]))
        # one pass: a packed network takes its shapes from the file
        flops_per_row(net, session.schema)
    return net.to(session.device)
