"""The report's verdict in sentences: which model is best, whether that is shown, and what is not
finished.
"""

import shlex
from collections.abc import Sequence

from automtl.errors import counted
from automtl.reports import study_remarks
from automtl.reports._comparison import compared, epoch_monitors
from automtl.reports._decisions import ended, headlines
from automtl.reports._sentence import Sentence
from automtl.reports.load import PhaseView, RunView
from automtl.reports.tables import Model, models, of_same_rows
from automtl.runs.constant import LOSS, above
from automtl.runs.epoch_line import trained
from automtl.runs.run_dir import PhaseDir


def verdict(runs: Sequence[RunView]) -> list[Sentence]:
    """The verdict on runs: the comparison of their models, then the state of what is not
    finished.
    """
    trained = models(runs)
    groups = of_same_rows(trained)
    said = [
        Sentence(f"{model.name} is {remark}.", "warning")
        for model in trained
        for remark in model.remarks
    ]
    said += [sentence for rows, group in groups for sentence in _compared(group, rows)]
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


def _compared(group: Sequence[Model], rows: str) -> list[Sentence]:
    """Sentences on models of the same rows, best first; `rows`: what these are called."""
    said = [*compared(group, rows), *epoch_monitors(group)]
    if group[0].loss is not None and group[0].split == "validation":
        folders = [str(PhaseDir(p.folder).run) for model in group for p in model.phases]
        where = shlex.join(dict.fromkeys(folders))
        text = (
            "Validation rows chose the epoch too, so these figures flatter a little. Not all of "
            "these models have seen the test rows."
        )
        said.append(Sentence(text, "note", f"automtl evaluate {where}"))
    return said + _test_reads(group)


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
            f"The test rows were read up to {most} times for {len(often)} of these models. Do not "
            "use these figures to pick a model.",
            "warning",
        )
    ]


def _nothing_trained(runs: Sequence[RunView]) -> list[Sentence]:
    if derived := ended(runs):
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
        f"Of {counted(len(trials), 'trial')} number {best['number']} has the "
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
    said = study_remarks.remarks(list(trials.values()), monitor=monitor, more_is_better=more)
    text = ". ".join([*(line[0].upper() + line[1:] for line in said), text])
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
        len({line["epoch"] for line in phase.lines if trained(line)}),
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
    raced = phase.lines and not done  # a race over draws has no epochs
    reached = "in its race" if raced else f"after {done} of {_planned(planned)}"
    said = _remarks(phase)
    if phase.state == "running":
        stands = "its race goes on" if raced else f"{done} of {_planned(planned)} are done"
        text = (
            f"{name} is not finished: {stands}. If no process works on it any more, it was killed."
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


def _planned(epochs: object) -> str:
    """How many epochs were planned, where the manifest tells."""
    return counted(epochs, "epoch") if isinstance(epochs, int) else "? epochs"


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
