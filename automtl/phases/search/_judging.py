"""Judges an epoch of a search on B rows, the half of the alpha rows that trains no alpha."""

from typing import Any

from automtl.data.store.slices import groups
from automtl.errors import ArtifactError, NoResult
from automtl.phases.run.session import Session
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from automtl.strategies.protocol import Strategy
from automtl.training.metrics.evaluation import evaluate

ROWS = {"weights": "fit", "alpha": "A", "judged": "B"}


def judge(session: Session, strategy: Strategy) -> dict[str, Any] | None:
    """Evaluate a strategy on B rows: metrics, and the MTL-Loss beside the constant's; None where
    there is nothing to evaluate.
    """
    net = strategy.evaluated()
    if net is None:
        return None
    batches = session.rows_in_order("train", session.index("b"))
    predictions = session.predict(net, batches)
    users = groups(session.store, "train", predictions.rows)
    judged = evaluate(predictions, session.schema.tasks, groups=users)
    return {**judged.line, "beside_constant": judged.constant and judged.constant["total"]}


def refuse_older(folder: PhaseDir) -> None:
    """Refuse to go on with a search of a version that moved alpha on all alpha rows and judged on
    validation rows: its first epochs and its last would not be one search.

    Raises:
        ArtifactError: it is one, and it has not ended.
    """
    manifest = Manifest.read(folder.manifest)
    if manifest.values.get("rows") != ROWS and manifest.values["state"] != "done":
        raise ArtifactError(
            folder.manifest,
            "must be of a search whose A rows move alpha and whose B rows decide",
            f"one begun by {manifest.maker}, before alpha rows were halved",
            "start anew in another folder; `automtl show` and `report` work",
        )


def nothing_yet(session: Session, folder: PhaseDir, what: str, done: str) -> NoResult:
    """At the time limit before an epoch is over, or before a race has trained all its candidates:
    what would be derived is the draw that the search began with, or what no training speaks for.

    Args:
        session: data and settings.
        folder: of the search.
        what: must be finished first.
        done: how far the search came, in words.
    """
    limit = session.config.runtime.time_limit_s
    return NoResult(
        folder.path.parent,
        f"a search must finish {what} within --time-limit",
        f"{limit:g} s, over {done}; what was done is kept",
        "go on with --resume and a longer limit",
    )
