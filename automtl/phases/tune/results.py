"""The results of a study: its trials, the best one, the smallest budget that is nearly as good, the
front of loss and cost and its knee.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from automtl import files
from automtl.config import RunConfig
from automtl.config_tune import Value
from automtl.errors import NoResult
from automtl.phases.tune._ranges import KIND, trial_settings
from automtl.phases.tune._study import SUMS
from automtl.reports.study_remarks import constant_of, remarks
from automtl.runs.run_dir import PhaseDir
from automtl.strict import printable, to_yaml
from automtl.training.early_stopping import Monitor

_ENDED = {"fail": "failed"}
_SECTIONS = ("space", "search", "retrain")


@dataclass(frozen=True)
class Finding:
    """One ended trial.

    Args:
        number: from 0; trial 0 has the run's own settings.
        state: "complete", "pruned" or "fail".
        values: name -> value.
        loss: mean validation MTL-Loss over the retrain seeds, or what is monitored in its place,
            negative where more of it is better; None where it did not complete.
        cost: FLOPs of the search (samples times FLOPs per row); of a study of sharing modules, the
            model's FLOPs per row.
        facts: seconds, samples, losses per seed, the constant's in the same sign, or the error.
        steps: intermediate validation losses by step.
    """

    number: int
    state: str
    values: Mapping[str, Value]
    loss: float | None
    cost: float | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[int, float] = field(default_factory=dict)


def findings(trials: Sequence[FrozenTrial]) -> list[Finding]:
    """The ended trials, by number."""
    ended = [trial for trial in trials if trial.state.is_finished()]
    return [
        Finding(
            number=trial.number,
            state=trial.state.name.lower(),
            values=dict(trial.params),
            loss=trial.values[0] if trial.state == TrialState.COMPLETE else None,
            cost=trial.user_attrs.get("cost"),
            facts={
                name: value
                for name, value in trial.user_attrs.items()
                if name not in ("cost", *SUMS)
            },
            steps=dict(trial.intermediate_values),
        )
        for trial in ended
    ]


def front(ended: Sequence[Finding]) -> list[Finding]:
    """Complete trials that no other beats in loss and cost both, by cost."""
    complete = sorted(
        (f for f in ended if f.loss is not None and f.cost is not None),
        key=lambda f: (f.cost, f.loss, f.number),
    )
    unbeaten: list[Finding] = []
    for finding in complete:
        if not unbeaten or finding.loss < unbeaten[-1].loss:  # type: ignore[operator]
            unbeaten.append(finding)
    return unbeaten


def knee(points: Sequence[Finding]) -> Finding | None:
    """The point of a front that is furthest below the line between its ends, both axes scaled to
    [0, 1]; None for fewer than three.
    """
    if len(points) < 3:
        return None
    xy = np.array([[p.cost, p.loss] for p in points], dtype=np.float64)
    scaled = (xy - xy.min(axis=0)) / np.ptp(xy, axis=0)
    return points[int(np.argmin(scaled.sum(axis=1)))]  # the line runs from (0, 1) to (1, 0)


def smallest(ended: Sequence[Finding], within: float) -> Finding | None:
    """The cheapest trial whose loss is at most the best's times (1 + within)."""
    points = front(ended)
    if not points:
        return None
    best = min(p.loss for p in points if p.loss is not None)
    return next(p for p in points if p.loss is not None and p.loss <= best + within * abs(best))


def write_results(
    folder: Path,
    config: RunConfig,
    ended: Sequence[Finding],
) -> dict[str, int]:
    """results.json, and a ready --config file for each trial that has a name: best, smallest, knee;
    name -> number.
    """
    points = front(ended)
    complete = [f for f in ended if f.loss is not None]
    named = {
        "best": min(complete, key=lambda f: (f.loss, f.number), default=None),
        "smallest": smallest(ended, config.tune.within),
        "knee": knee(points) if config.tune.objective == "loss_and_cost" else None,
    }
    chosen = {name: finding for name, finding in named.items() if finding is not None}
    monitor = Monitor.of(config.retrain.monitor)
    said = "".join(f"# {line}.\n" for line in study_lines(ended, monitor))
    for name, finding in chosen.items():
        text = _config_text(config, finding, trial_settings(config, finding.values))
        files.write_text(folder / f"{name}.yaml", said + text)
    numbers = {name: finding.number for name, finding in chosen.items()}
    summary: dict[str, Any] = {
        "objective": config.tune.objective,
        "over": config.tune.over,
        "within": config.tune.within,
    }
    summary |= {"monitor": monitor.name, "more_is_better": monitor.more_is_better}
    files.write_json(
        folder / "results.json",
        {**summary, "named": numbers, "front": [p.number for p in points], "trials": _plain(ended)},
    )
    return numbers


def study_lines(ended: Sequence[Finding], monitor: Monitor) -> list[str]:
    """What must be said before a trial is called the best; see `reports/study_remarks.py`."""
    return remarks(_plain(ended), monitor=monitor.name, more_is_better=monitor.more_is_better)


def _plain(ended: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {**asdict(f), "steps": {str(step): value for step, value in f.steps.items()}} for f in ended
    ]


def _config_text(config: RunConfig, finding: Finding, settings: RunConfig) -> str:
    """The settings as a file for --config, with the command that takes it."""
    kind = finding.values.get(KIND)
    command = (
        f"automtl retrain RUN --sharing {kind}"
        if kind is not None
        else f"automtl search {config.data.source}"
    )
    plain = settings.model_dump(mode="json")
    sections = {name: plain[name] for name in (("retrain",) if kind is not None else _SECTIONS)}
    monitor = Monitor.of(config.retrain.monitor)
    value = f"validation {monitor.name} {monitor.shown(finding.loss or 0.0):.5f}"
    head = f"# Trial {finding.number}: {value}, cost {finding.cost:.4g} FLOPs.\n"
    return f"{head}# {printable(command)} --config THIS_FILE\n" + to_yaml(sections)


@dataclass(frozen=True)
class TuneResult:
    """A study as this process leaves it.

    Args:
        folder: its phase folder.
        findings: one per ended trial that is complete, pruned or failed.
        state: "done", "time_limited", or "running" where other processes still have trials.
        named: "best" and, where there are any, "smallest" and "knee" -> number of the trial.
        monitor: what trials are judged by.
    """

    folder: PhaseDir
    findings: Sequence[Finding]
    state: str
    named: Mapping[str, int]
    monitor: Monitor

    @property
    def constant(self) -> float | None:
        """The constant's loss on the validation rows, signed as those of the findings."""
        return constant_of(_plain(self.findings))

    @property
    def remarks(self) -> list[str]:
        """What must be said before a trial is called the best."""
        return study_lines(self.findings, self.monitor)

    def need_one(self) -> None:
        """Refuse a study in which no trial ended well, unless other processes are still at work in
        it.

        Raises:
            NoResult: none is complete.
        """
        if self.named or self.state == "running":
            return
        ended = Counter(_ENDED.get(finding.state, finding.state) for finding in self.findings)
        got = ", ".join(f"{count} {state}" for state, count in ended.items())
        first = next((finding for finding in self.findings if finding.state == "fail"), None)
        fix = "start anew with other settings"
        if self.state == "time_limited":
            fix = "go on with --resume and a longer --time-limit"
        if first is not None:
            error = first.facts.get("error", "failed")
            fix = f"trial {first.number}: {error}; mend that, and start anew"
        raise NoResult(
            self.folder.path,
            "must have a complete trial, to name the best",
            got or "none that has ended",
            fix,
        )
