"""Starts a retrain, or goes on with one."""

from collections.abc import Callable

from torch import nn

from automtl import files
from automtl.config import RunConfig
from automtl.data.store.snapshot import Snapshot
from automtl.phases.retrain._phase import RetrainPhase
from automtl.phases.retrain._result import RetrainResult
from automtl.phases.run.opening import training_session
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.resume import own_settings
from automtl.phases.run.run_data import snapshot_of
from automtl.phases.run.session import Session
from automtl.runs.run_dir import RunDir
from automtl.spaces.architecture import Architecture


def retrain(
    architecture: Architecture,
    config: RunConfig,
    *,
    run: RunDir,
    label: str,
    reporter: Reporter | None = None,
    carry: Callable[[nn.Module, Session], None] | None = None,
    resume: bool = False,
    own: Snapshot | None = None,
) -> RetrainResult:
    """Train an architecture from fresh weights on fit + alpha rows and keep the epoch that
    `retrain.monitor` judges best on validation.

    Args:
        architecture: a template or one bound to this data set.
        config: resolved settings; ``config.seed`` is the model's seed.
        run: the run's folder; the phase goes to retrain/<label>-s<seed> inside.
        label: the sharing kind or the architecture's name.
        reporter: told how it goes on.
        carry: sets weights of the fresh network, such as an older model's embeddings (see
            `phases/retrain/warm_start.py`).
        resume: go on with the same retrain where it was begun and interrupted; where it has ended,
            hand over its result.
        own: the data set as a searched run keeps it; default what its YAML says now, or of a
            resumed retrain its own.
    """
    folder = run.retrain(label, config.seed)
    if resume and folder.manifest.exists():
        config = own_settings(folder, config, sections=("seed", "sharing", "retrain"))
        own = snapshot_of(folder)
    session = training_session(config, reporter, own, search=False, retrain=True)
    session.ranks.same("folder", str(folder.path))
    bound = architecture.bind(session.schema)
    # refuses what cannot be made, before the folder appears
    phase = RetrainPhase(session, folder, bound)
    if not (resume and folder.path.exists()):
        files.make_folder(folder.path)
    if carry is not None:
        carry(phase.net, session)
    return phase.run()
