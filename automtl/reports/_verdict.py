"""The report's verdict in sentences: which model is best, whether that is shown, and what is not
finished.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from automtl.reports._decisions import headlines
from automtl.reports.load import PhaseView, RunView
from automtl.reports.tables import Model, data_hash, models
from automtl.runs.constant import LOSS, above
from automtl.statistics import welch


@dataclass(frozen=True)
class Sentence:
    """One statement.

    Args:
        text: for people.
        tone: "main" for the verdict, "note" for what goes with it, "warning" for what a reader must
            know.
        command: what to do next, to copy; empty for nothing.
    """

    text: str
    tone: Literal["main", "note", "warning"] = "note"
    command: str = ""


def verdict(runs: Sequence[RunView]) -> list[Sentence]:
    """The verdict on runs: the comparison of their models, then the state of what is not
    finished.
    """
    trained = models(runs)
    groups: dict[str, list[Model]] = {}
    for model in trained:
        groups.setdefault(data_hash(model), []).append(model)
    said = [
        Sentence(f"{model.name} is {remark}.", "warning")
        for model in trained
        for remark in model.remarks
    ]
    said += [sentence for group in groups.values() for sentence in _compared(group)]
    if old := [model.name for model in trained if not model.beside_constant]:
        said.append(
            Sentence(
                "Not compared with the constant, their figures being of an older version: "
                f"{', '.join(old)}."
            )
        )
    if len(groups) > 1:
        text = (
            f"These runs are of {len(groups)} data sets or splits, which cannot be compared "
            "with each other."
        )
        said.insert(0, Sentence(text, "warning"))
    states = [sentence for run in runs for phase in run.phases for sentence in phase_state(phase)]
    states += [
        sentence for run in runs if run.study is not None for sentence in _study_state(run.study)
    ]
    if not trained:
        said = [*_supernets(runs), *_nothing_trained(runs), *said]
    searched = [
        sentence
        for headline, advice in headlines(runs)
        for sentence in (Sentence(headline, "main"), Sentence(advice))
        if sentence.text
    ]
    return [*searched, *said, *states]


def _compared(group: Sequence[Model]) -> list[Sentence]:
    """Sentences on models of the same rows, best first."""
    best = group[0]
    if best.loss is None:
        return [Sentence(f"{best.name} has no MTL-Loss to judge by.", "warning")]
    rows, data = best.split, best.phases[0].data.get("name", "the data")
    half = "" if best.loss.half is None else f" ± {best.loss.half:.4f}"
    figure = f"MTL-Loss {best.loss.mean:.4f}{half} ({_seeds(best)})"
    if len(group) == 1:
        said = [
            Sentence(f"{best.name} reaches {figure}, on the {rows} rows of {data}.", "main"),
            _alone(best),
        ]
    else:
        said = [
            Sentence(
                f"Best of {len(group)} models on the {rows} rows of {data}: {best.name}, with "
                f"{figure}.",
                "main",
            )
        ]
        said.append(_against(best, group[1]))
        if len(group) > 2:
            said.append(
                Sentence(
                    f"It was picked as the best of {len(group)} by these very rows, which "
                    "flatters it a little."
                )
            )
    by = [
        (model.name, phase.results["monitor"])
        for model in group
        for phase in model.phases[:1]
        if "monitor" in phase.results
    ]
    for name, monitor in by:
        if monitor != LOSS:
            said.append(
                Sentence(
                    f"The epoch of {name} was picked by validation {monitor}, not by MTL-Loss."
                )
            )
    if rows == "validation":
        where = shlex.join(
            dict.fromkeys(
                str(phase.folder.parent.parent) for model in group for phase in model.phases
            )
        )
        text = (
            "Validation rows chose the epoch too, so these figures flatter a little. Not all of "
            "these models have seen the test rows."
        )
        said.append(Sentence(text, "note", f"automtl evaluate {where}"))
    return said + _test_reads(group)


def _seeds(model: Model) -> str:
    n = len(model.phases)
    return "one seed" if n == 1 else f"{n} seeds"


def _alone(model: Model) -> Sentence:
    words = [
        "automtl",
        "retrain",
        "shared_bottom",
        "--data",
        str(model.phases[0].data.get("source", "DATASET")),
    ]
    return Sentence("There is no other model to compare it with.", "note", shlex.join(words))


def _against(best: Model, second: Model) -> Sentence:
    """The certainty of the first place."""
    assert best.loss is not None
    if second.loss is None:
        return Sentence(f"{second.name} has no MTL-Loss.")
    gap = second.loss.mean - best.loss.mean
    text = f"Next is {second.name} with {second.loss.mean:.4f}, {gap / best.loss.mean:.2%} higher."
    test = welch(second.loss.values, best.loss.values)
    if test is None:
        return Sentence(
            f"{text} One seed is not enough to tell them apart; train at least two of each."
        )
    words = f"95% interval of the difference {test.low:+.4f} to {test.high:+.4f}"
    shown = (
        "it holds 0, so no difference is shown"
        if test.low <= 0 <= test.high
        else "it leaves 0 out, so it is more than the chance of the seeds"
    )
    return Sentence(f"{text} {words}: {shown}.")


def _test_reads(group: Sequence[Model]) -> list[Sentence]:
    often = [
        phase
        for model in group
        for phase in model.phases
        if int(phase.manifest.get("test_reads") or 0) > 1
    ]
    if not often:
        return []
    most = max(int(phase.manifest["test_reads"]) for phase in often)
    return [
        Sentence(
            f"Test rows were read up to {most} times for {len(often)} of these models; choose "
            "nothing by them.",
            "warning",
        )
    ]


def _nothing_trained(runs: Sequence[RunView]) -> list[Sentence]:
    searches = [run.search for run in runs if run.search is not None]
    derived = [
        phase
        for phase in searches
        if phase.architecture is not None and phase.state in ("done", "time_limited")
    ]
    if derived:
        text = "An architecture is derived and not trained yet, so there is nothing to judge."
        return [
            Sentence(text, "main", f"automtl retrain {shlex.quote(str(phase.folder.parent))}")
            for phase in derived[:1]
        ]
    studied = [
        _studied(run.study)
        for run in runs
        if run.study is not None and run.study.results.get("named")
    ]
    return studied or [Sentence("No model is trained yet, so there is nothing to judge.", "main")]


def _supernets(runs: Sequence[RunView]) -> list[Sentence]:
    """For searches alone: the supernets that ended no better than the constant."""
    ends = [
        (run.name, run.search.lines[-1])
        for run in runs
        if run.search is not None and run.search.lines
    ]
    known = [(name, above(line)) for name, line in ends]
    return [
        Sentence(f"The supernet of {name} is {remark}.", "warning")
        for name, remark in known
        if remark
    ]


def _studied(study: PhaseView) -> Sentence:
    """Which trial of a study won, and which cheaper one is nearly as good."""
    trials, named = (
        {trial["number"]: trial for trial in study.results["trials"]},
        study.results["named"],
    )
    best, small = trials[named["best"]], trials[named.get("smallest", named["best"])]
    more, monitor = study.results.get("more_is_better", False), study.results.get("monitor", LOSS)
    text = (
        f"Of {len(trials)} trials number {best['number']} has the "
        f"{'highest' if more else 'lowest'} validation {monitor}"
    )
    text += f", {-best['loss'] if more else best['loss']:.4f}"
    if small is not best:
        share, gap = (
            small["cost"] / best["cost"],
            (small["loss"] - best["loss"]) / abs(best["loss"]),
        )
        figure = "at a loss" if monitor == LOSS else f"at a {monitor}"
        text += (
            f"; number {small['number']} costs {share:.0%} of it, {figure} {gap:.2%} "
            f"{'lower' if more else 'higher'}"
        )
    words = [
        "automtl",
        "search",
        str(study.data.get("source", "DATASET")),
        "--config",
        str(study.folder / "best.yaml"),
    ]
    return Sentence(
        f"{text}.", "main", shlex.join(words) if study.results["over"] == "budget" else ""
    )


def phase_state(phase: PhaseView) -> list[Sentence]:
    """The remark on a phase's end; none for one that is done."""
    name = f"{phase.run}: {phase.name}"
    done, planned = (
        len({line["epoch"] for line in phase.lines}),
        phase.manifest.get("planned_epochs", "?"),
    )
    words = [
        "automtl",
        "search",
        str(phase.data.get("source", "DATASET")),
        "--out",
        str(phase.folder.parent),
        "--resume",
    ]
    again = shlex.join(words) if phase.is_search else ""
    reached = f"after {done} of {planned} epochs"
    said = _remarks(phase)
    if phase.state == "running":
        text = (
            f"{name} is not finished: {done} of {planned} epochs are done. If no process works "
            "on it any more, it was killed."
        )
        said.append(Sentence(text, "warning", again))
    elif phase.state == "interrupted":
        said.append(Sentence(f"{name} was interrupted {reached}.", "warning", again))
    elif phase.state == "failed":
        said.append(
            Sentence(
                f"{name} failed {reached}: {phase.manifest.get('error', 'no reason kept')}",
                "warning",
            )
        )
    elif phase.state == "time_limited":
        said.append(
            Sentence(
                f"{name} reached its time limit {reached}; its architecture is derived from "
                "what there was then."
            )
        )
    elif phase.state != "done":
        said.append(
            Sentence(
                f"{name}: its manifest tells no state, so nothing is known of its end.", "warning"
            )
        )
    return said


def _remarks(phase: PhaseView) -> list[Sentence]:
    return [
        Sentence(f"{phase.run}: {phase.name}: {remark}.", "warning") for remark in phase.remarks
    ]


def _study_state(study: PhaseView) -> list[Sentence]:
    """Remarks on a study: what of it is damaged, and whether it goes on."""
    if study.state == "done":
        return _remarks(study)
    judged, planned = (
        len(study.results.get("trials", [])),
        study.manifest.get("planned_trials", "?"),
    )
    return [
        *_remarks(study),
        Sentence(
            f"{study.run}: {study.name} is {study.state}: {judged} of {planned} trials are judged.",
            "warning",
        ),
    ]
