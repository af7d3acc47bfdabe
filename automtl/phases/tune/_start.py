"""Starts a study, or takes part in one."""

from pathlib import Path

from automtl.config import RunConfig
from automtl.data.spec.dataset import load_dataset
from automtl.errors import ArtifactError, ConfigError
from automtl.phases.run.opening import training_session
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.resume import own_settings, unsaid_settings
from automtl.phases.run.run_data import snapshot_of
from automtl.phases.search.budget import check_idle, with_filled
from automtl.phases.tune._tuning import Tuning
from automtl.phases.tune.results import TuneResult
from automtl.phases.tune.storage import Storage
from automtl.ranks import need_one_process
from automtl.runs.run_dir import RunDir, one_phase


def tune(
    config: RunConfig,
    *,
    searched: str | None = None,
    out: Path | None = None,
    storage: str | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
) -> TuneResult:
    """Run trials until the study has as many as planned, or the time is over.

    Args:
        config: resolved settings; those of `tune` say what varies.
        searched: for a study of the sharing module, the run whose experts are shared.
        out: the run's folder; it must not exist. Default runs/<dataset>-tune-<n>.
        storage: a database's URL; default SQLite in the run's folder.
        resume: take part in the study at `out`, running or stopped.
        reporter: told how it goes on.

    Raises:
        AutoMTLError: see ``automtl.errors``. A trial's own failure is kept with the trial, and the
            study goes on; the machine's ends it.
    """
    need_one_process("tune")
    sharing = config.tune.over == "sharing"
    if sharing != (searched is not None):
        raise ConfigError(
            "tune.over",
            "sharing needs a searched run, budget a data set",
            config.tune.over,
            "name the other one",
        )
    own = snapshot_of(one_phase(Path(searched), "search")) if searched else None
    if resume:
        run = _joined(out)
        if run.tune.config.exists():
            config = with_filled(config, unsaid_settings(run.tune))
            config = own_settings(
                run.tune, config, sections=("seed", "space", "search", "sharing", "retrain", "tune")
            )
        own = snapshot_of(run.tune) if run.tune.manifest.exists() else own
    else:
        if searched is None:
            check_idle(config)
        run = RunDir.new(
            out, f"{(own.config if own else load_dataset(config.data.source)).name}-tune"
        )
    place = Storage.of(run.tune, storage, resume=resume)
    return Tuning(
        training_session(config, reporter, own, search=searched is None, retrain=True),
        run.tune,
        searched,
        place,
    ).run()


def _joined(out: Path | None) -> RunDir:
    """The run with the study to go on with."""
    run = RunDir.begun(out, "study")
    if not run.tune.path.is_dir():
        raise ArtifactError(
            run.path,
            "must hold a study to go on with",
            "none",
            "leave --resume out to begin one in another folder",
        )
    return run
