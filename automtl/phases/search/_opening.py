"""The first screen of a search: data, space and run, a line each."""

from pathlib import Path

from automtl.errors import counted
from automtl.phases.run.session import Session
from automtl.phases.search.budget import passes
from automtl.runs.epoch_line import epochs_in_words
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.space import SearchSpace, rounded
from automtl.strategies.protocol import Strategy


def opening(
    session: Session,
    space: SearchSpace,
    strategy: Strategy,
    folder: PhaseDir,
    budget: str | None = None,
) -> tuple[str, str, str]:
    """Three lines: which data, which space searched how, and where."""
    schema, config = session.schema, session.config
    alpha = len(session.index("a")) + len(session.index("b"))
    rows = session.store.summary["rows"]
    fit = len(session.index("fit"))
    data = (
        f"data   {schema.name}: {counted(len(schema.fields), 'field')}, "
        f"{counted(len(schema.tasks), 'task')}; rows {fit:,} fit, {alpha:,} alpha, "
        f"{rows['validation']:,} validation"
    )
    size = space.size(len(schema.tasks), config.search.sharing, dict(config.sharing))
    s = config.search
    models = f"{s.race_candidates + s.race_controls} + {len(s.rivals)} models"
    most = "" if s.race_patience is None else "at most "
    length = passes(s.race_epochs)
    if s.race_epochs * fit < min(config.retrain.batch_size, fit):
        length = "1 step"  # less is not trained
    race = f"race of {models}, {most}{length}"
    how = f"{s.strategy}, {epochs_in_words(strategy.epochs, strategy.scoring)}"
    if not s.trains_supernet and s.selection == "race":
        how = race
    elif s.selection == "race":
        how += f", {race}"
    else:
        how += f", read by {s.selection}"
    nouns = "architecture" if size == 1 else "architectures"
    machine, limit = session.machine, config.runtime.time_limit_s
    device = machine["device"]
    if device == "cpu":
        device += f", {counted(machine['threads'], 'thread')}"
    if session.ranks.size > 1:
        device = f"{session.ranks.size} ranks of {device}"
    if machine["precision"] != "float32":
        device += f", {machine['precision']}"
    cost = "no time limit" if limit is None else f"at most {limit:,.0f} s"
    if budget is not None:
        cost = f"budget {budget}" if limit is None else f"budget {budget}, {cost}"
    if config.runtime.fast_dev_run:
        cost += ", --fast-dev-run"
    run: Path = folder.path.parent
    return (
        data,
        f"space  {space.name}: {rounded(size)} {nouns}; {how}",
        f"run    {run} on {device}, {cost}; settings: config.yaml",
    )
