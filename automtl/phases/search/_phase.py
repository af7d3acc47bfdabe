"""The search phase: epochs of a strategy, recorded and checkpointed, then the race, then a derived
architecture.
"""

from typing import Any, Literal

from automtl.phases.run.checkpointer import Checkpointer
from automtl.phases.run.faults import clear_note, enough_memory, make_guard
from automtl.phases.run.phase import Stopwatch, run_phase
from automtl.phases.run.session import Session
from automtl.phases.search import context
from automtl.phases.search._epoch_log import EpochLog
from automtl.phases.search._judging import ROWS, nothing_yet, refuse_older
from automtl.phases.search._outcome import write_outcome
from automtl.phases.search._race_stage import RaceStage
from automtl.phases.search.budget import Filled
from automtl.phases.search.state import SearchResult, SearchState
from automtl.runs import checkpoint
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from automtl.training.loop import RunningLosses


class SearchPhase:
    """One search in one folder. `epoch` and `step` are the next to come; all that a stopped search
    needs is in ``state_dict()``.

    Args:
        session: data, device, seeds, and settings with the space to search.
        folder: the phase's folder; a search that was begun in it goes on.
        budget: what it may cost, and what that settled; kept in the manifest.
    """

    kind: Literal["search"] = "search"

    def __init__(self, session: Session, folder: PhaseDir, budget: Filled | None = None) -> None:
        space = session.config.space
        assert space is not None, "a search has a space"
        self.session, self.folder = session, folder
        self.model = space
        self._budget = budget
        self.batch_size = ("search.batch_size", session.config.search.batch_size)
        self.generator = session.dropout_generator()
        self.guard = make_guard(session.config.runtime, session.device)
        with enough_memory(self.batch_size, space, session.schema):
            self.context = context.make_context(
                session,
                space,
                self.generator,
                guard=self.guard,
                latencies=context.known_latencies(folder),
            )
            self.strategy = context.make_strategy(session, self.context)
        self.ledger = self.context.ledger
        self.log = EpochLog(session, folder, self.strategy, self.guard)
        self.stage = RaceStage(session, folder, self.strategy, self.context)
        self.epoch, self.step = 0, 0
        self.running = RunningLosses()
        self._stopwatch = Stopwatch()

    def run(self) -> SearchResult:
        """Search to the planned end, or to the time limit."""
        return run_phase(self)

    def ended(self) -> SearchResult:
        """The result of a search that has ended before."""
        return SearchResult.read(self.folder)

    def place(self) -> tuple[int, int]:
        """Epoch and step as they stand."""
        return self.epoch, self.step

    def work(self, manifest: Manifest, checkpointer: Checkpointer) -> SearchResult:
        """Search, race and write down what came of it."""
        with checkpointer:
            state, stopped = self._epochs(checkpointer)
            if state == "time_limited" and (not self.epoch or self.stage.wanted):
                raise self._nothing_yet()
            epochs = len(self.log.history) if self.strategy.trains else 0
            if self.stage.race is None and self.log.collapsed:
                manifest.update(collapse=self._collapsed())
            if self.stage.wanted and not (race := self.stage.run(checkpointer, self._late)).over:
                if not race.whole_rungs:
                    raise self._nothing_yet()
                state = "time_limited"
        architecture, outcome = write_outcome(
            self.session,
            self.folder,
            self.strategy,
            self.stage.race,
            {"finished_epochs": epochs, "state": state},
            lambda: {**self._spent(), **self.ledger.figures()},
        )
        clear_note(self.folder)
        if stopped:
            outcome["stopped_early"] = True
        manifest.finish(state, finished_epochs=epochs, **outcome)
        if state == "done":
            checkpointer.clear(but_last=True)
            self.stage.clear()
        scoring = max(0, epochs - self.strategy.epochs + self.strategy.scoring)
        return SearchResult(self.folder.run, architecture, state, epochs, scoring)

    def _epochs(self, checkpointer: Checkpointer) -> tuple[str, bool]:
        """Run the epochs that are left; "done" or "time_limited", and whether someone asked to
        stop before the last one.
        """
        while self.epoch < self.strategy.epochs and not self.log.collapsed:
            between = self.epoch and not self.step
            if (between and self._late()) or not self._epoch(checkpointer):
                return "time_limited", False
            if self.session.asked_to_stop():
                return "done", self.epoch < self.strategy.epochs
        return "done", False

    def _epoch(self, checkpointer: Checkpointer) -> bool:
        """One epoch, or what is left of it, and its records; False where the time limit cut it."""
        for event in self.strategy.run_epoch(self.epoch, self.step):
            assert event.losses is not None, "a step of a training"
            self.running.add(event.losses)
            self.step = event.step + 1
            checkpointer.stepped(event, self.strategy.epochs)
            if self._late() and self.step < event.steps:
                checkpointer.save()
                self.strategy.cut()
                return False
        self.log.record(self.epoch, self.running)
        self.epoch, self.step = self.epoch + 1, 0
        self.running = RunningLosses()
        if self.log.watch.keeps(self.log.history):
            checkpoint.save(self.folder.checkpoint("best"), self.state_dict())
        checkpointer.save()
        return True

    def _nothing_yet(self) -> Exception:
        if not self.stage.wanted:
            place = f"at step {self.step} of the first"
            return nothing_yet(self.session, self.folder, "an epoch", place)
        what = "a first training of each candidate of its race"
        return nothing_yet(self.session, self.folder, what, f"after {self.stage.reached()}")

    def _collapsed(self) -> dict[str, Any]:
        """Go back to the best epoch where that is asked for and there is one; what happened, for
        the manifest.
        """
        watch, history = self.log.watch, self.log.history
        collapse = {
            "epoch": self.epoch - 1,
            "reason": watch.reason(history),
            "action": watch.action,
        }
        best = self.folder.checkpoint("best")
        if watch.action == "rollback" and best.exists():
            spent = {**self._spent(), "ledger": self.ledger.state_dict()}
            with checkpoint.applying(best):
                self.load_state_dict(checkpoint.load(best))
            collapse["back_to_epoch"] = self.epoch - 1
            # what was spent stays spent, and epochs that were recorded stay recorded
            self._charge(spent)
            self.log.history = history
        return collapse

    def _seconds(self) -> float:
        return self._stopwatch.seconds

    def _late(self) -> bool:
        limit = self.session.config.runtime.time_limit_s
        late = limit is not None and self._seconds() > limit
        return bool(self.session.ranks.agree(int(late))) if limit is not None else False

    def _spent(self) -> dict[str, Any]:
        balancing = {"balancing": self.log.balancing} if self.log.balancing else {}
        return {"seconds": self._seconds(), "samples": self.strategy.samples, **balancing}

    def _charge(self, spent: dict[str, Any]) -> None:
        """Count on from what was spent."""
        self._stopwatch.restart(spent["seconds"])
        self.strategy.samples = spent["samples"]
        self.log.balancing = dict(spent.get("balancing", {}))
        self.ledger.load_state_dict(spent["ledger"])

    # -- resume

    def begin(self) -> dict[str, Any]:
        """Write the measured times, by which a resume must choose too; the manifest's values."""
        context.keep_latencies(self.folder, self.context)
        return {
            "planned_epochs": self.strategy.epochs,
            "finished_epochs": 0,
            "rows": ROWS,
            **({"budget": self._budget.record} if self._budget else {}),
        }

    def check_begun(self) -> None:
        """Refuse a search of a version with other roles of rows."""
        refuse_older(self.folder)

    def state_dict(self) -> dict[str, Any]:
        """All that going on from here needs."""
        self.guard.look()
        history = self.log.history
        return {
            "guard": self.guard.state_dict(),
            "net": None if self.strategy.supernet is None else self.strategy.supernet.state_dict(),
            "strategy": self.strategy.state_dict(),
            "noise": self.generator.get_state(),
            "epoch": self.epoch,
            "step": self.step,
            "running": self.running.state_dict(),
            "metric_lines": len(history),
            "metric_sum": self.folder.metric_sum(len(history)),
            "history": history,
            "race": self.stage.state_dict(),
            "spent": {**self._spent(), "ledger": self.ledger.state_dict()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a ``state_dict()``.

        Raises:
            AutoMTLError, RuntimeError: it is none of this search's.
        """
        SearchState.load_strategy(state, self.strategy)
        self.generator.set_state(state["noise"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.log.history = state["history"]
        self.guard.load_state_dict(state["guard"])
        self.running.load_state_dict(
            state["running"], tasks=len(self.session.schema.tasks), device=self.session.device
        )
        self._charge(state["spent"])
        self.stage.load_state_dict(state["race"])
