"""One search in one folder: epochs of a strategy, recorded and checkpointed, and an architecture
derived at the end.
"""

import time
from dataclasses import asdict
from typing import Any

from automtl import files
from automtl.models.prices import Latencies
from automtl.phases.race.judge import Judge
from automtl.phases.race.race import Race, parked
from automtl.phases.run.checkpointer import Keeper
from automtl.phases.run.faults import clear_note, enough_memory, make_guard, mishaps
from automtl.phases.run.phase_folder import (
    append_epoch,
    charge_balancing,
    close_failed,
    holding,
    open_phase,
    training_losses,
)
from automtl.phases.run.resume import reopen
from automtl.phases.run.session import Session
from automtl.phases.search._collapse import Watch
from automtl.phases.search._judging import ROWS, judge, nothing_yet, refuse_older
from automtl.phases.search._outcome import measured_latency, write_cost
from automtl.phases.search._tables import alpha_table, beta_table
from automtl.phases.search.budget import Filled
from automtl.phases.search.context import make_material, scored
from automtl.phases.search.state import SearchResult, SearchState
from automtl.runs import checkpoint, decided
from automtl.runs.checkpoints import Slots
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.strategies.protocol import Strategy
from automtl.strategies.registry import STRATEGIES
from automtl.training.checkpoint_state import check, need, take_net
from automtl.training.loop import RunningLosses


class SearchPhase:
    """One search in one folder. `epoch` and `step` are the next to come; all that a stopped search
    needs is in ``state()``.

    Args:
        session: data, device, seeds.
        folder: the phase's folder; a search that was begun in it goes on.
        space: what is searched.
        budget: what it may cost, and what that settled; kept in the manifest.
    """

    def __init__(
        self,
        session: Session,
        folder: PhaseDir,
        space: SearchSpace,
        budget: Filled | None = None,
    ) -> None:
        self.session, self.folder, self.space, self._budget = session, folder, space, budget
        self.generator = session.noise()
        self.guard = make_guard(session.config.runtime, session.device)
        latencies = (
            Latencies(**files.read_json(folder.latencies)) if folder.latencies.exists() else None
        )
        self._size = ("search.batch_size", session.config.search.batch_size)
        with enough_memory(self._size, space, session.schema):
            material = make_material(
                session, space, self.generator, guard=self.guard, latencies=latencies
            )
            self.strategy: Strategy = STRATEGIES[session.config.search.strategy](material)
        self.material, self.ledger = material, material.ledger
        self.latencies = material.settings.latencies
        self.race: Race | None = None
        self.watch = Watch.of(session.config.search)
        self.epoch, self.step, self.running = 0, 0, RunningLosses()
        self.history: list[dict[str, Any]] = []
        self._before, self._started = 0.0, time.monotonic()
        self._balancing: dict[str, Any] = {}

    def run(self) -> SearchResult:
        """Search to the planned end, or to the time limit."""
        ranks = self.session.ranks
        with holding(self.folder, self.session, "search"):
            manifest = self._open()
            if manifest.values["state"] == "done":
                return SearchResult.read(self.folder)
            try:
                with mishaps(
                    self.folder,
                    self._size,
                    lambda: (self.epoch, self.step),
                    self.session.store,
                    self.space,
                ):
                    result = self._run(manifest)
                    ranks.told(None)  # what the first one wrote is there for all of them
                    return result
            except BaseException as error:
                close_failed(manifest, error)
                raise

    def _run(self, manifest: Manifest) -> SearchResult:
        with Keeper(self.folder, self.folder.path.parent, self.session, self.state) as keeper:
            state, stopped = "done", False
            while self.epoch < self.strategy.epochs and not self.watch.fired(self.history):
                if (self.epoch and not self.step and self._late()) or not self._epoch(keeper):
                    state = "time_limited"
                    break
                if self.session.asked_to_stop():
                    stopped = self.epoch < self.strategy.epochs
                    break
            if state == "time_limited" and (not self.epoch or self._races):
                raise nothing_yet(self.session, self.folder, self.epoch, self.step, self._races)
            done = len(self.history)
            if self.race is None and self.watch.fired(self.history):
                manifest.update(collapse=self._collapsed())
            if self._races:
                state = self._run_race(keeper)
        architecture = self._derive(state, done)
        clear_note(self.folder)
        outcome: dict[str, Any] = {"decisions": decided.of(architecture.provenance)}
        if self.race is not None:
            outcome["race"] = architecture.provenance["race"]
        if stopped:
            outcome["stopped_early"] = True
        manifest.finish(state, finished_epochs=done, **outcome)
        if state == "done":
            Slots(self.folder).clear(but_last=True)
            for path in parked(self.folder):
                files.remove_file(path)
        return SearchResult(self.folder.path.parent, architecture, state, done)

    def _open(self) -> Manifest:
        """A new manifest, or the begun search's, its state restored."""
        if not self.session.ranks.told(self.folder.manifest.exists()):
            if self.latencies is not None:  # a resume must choose by the same times
                files.write_json(self.folder.latencies, asdict(self.latencies))
            return open_phase(
                self.folder,
                self.session,
                phase="search",
                planned_epochs=self.strategy.epochs,
                finished_epochs=0,
                rows=ROWS,
                **({"budget": self._budget.record} if self._budget else {}),
            )
        refuse_older(self.folder)
        return reopen(self.folder, self.session, self._restore)

    def _epoch(self, keeper: Keeper) -> bool:
        """One epoch, or what is left of it, and its records; False where the time limit cut it."""
        for event in self.strategy.run_epoch(self.epoch, self.step):
            self.running.add(event.losses)
            self.step = event.step + 1
            keeper.stepped(event, self.strategy.epochs)
            if self._late() and self.step < event.steps:
                keeper.save()
                self.strategy.cut()
                return False
        self._record()
        self.epoch, self.step, self.running = self.epoch + 1, 0, RunningLosses()
        if self.watch.keeps(self.history):
            checkpoint.save(self.folder.checkpoint("best"), self.state())
        keeper.save()
        return True

    @property
    def _races(self) -> bool:
        return self.session.config.search.selection == "race"

    def _run_race(self, keeper: Keeper) -> str:
        """Run the race to its end, or to the time limit; how the search ends."""
        race = self.race = self.race or self._make_race()
        for event in race.events():
            if event is None:
                keeper.save()
            else:
                keeper.stepped(event, 1)
            if self._late() and not race.over:
                keeper.save()
                if not race.whole_rungs:
                    raise nothing_yet(self.session, self.folder, self.epoch, self.step, race=True)
                return "time_limited"
        return "done"

    def _make_race(self) -> Race:
        rows = self.session.config.search.score_rows
        judge = Judge(
            self.session, scored(self.session, rows, "a"), scored(self.session, rows, "b")
        )
        return Race(self.session, self.folder, self.strategy, self.material, judge)

    def _collapsed(self) -> dict[str, Any]:
        """Go back to the best epoch where that is asked for and there is one; what happened, for
        the manifest.
        """
        collapse = {
            "epoch": self.epoch - 1,
            "reason": self.watch.reason(self.history),
            "action": self.watch.action,
        }
        best = self.folder.checkpoint("best")
        if self.watch.action == "rollback" and best.exists():
            spent, history = {**self._spent(), "ledger": self.ledger.state()}, self.history
            with checkpoint.applying(best):
                self._restore(checkpoint.load(best))
            collapse["back_to_epoch"] = self.epoch - 1
            # what was spent stays spent, and epochs that were recorded stay recorded
            self._charge(spent)
            self.history = history
        return collapse

    def _record(self) -> None:
        """The epoch's line in metrics.jsonl, its alphas and betas."""
        epoch = self.epoch
        losses = training_losses(self.running, self.session.schema.tasks, epoch)
        # what decides anything must be the same to the bit on all ranks
        judged = self.session.ranks.told(judge(self.session, self.strategy))
        record = self.session.ranks.told(self.strategy.record())
        charge_balancing(self._balancing, record)
        if self.guard.skipped:
            record["skipped_batches"] = self.guard.skipped
        choices = record.pop("choices")
        loss = judged and judged["loss"]
        watched = {name: record.get(name) for name in ("expert_usage", "skip_chosen", "eigenvalue")}
        self.history.append({"epoch": epoch, "choices": choices, "b_loss": loss, **watched})
        if reason := self.watch.reason(self.history):
            record["collapse"] = reason
            self.session.reporter.say(f"epoch {epoch + 1}: the search may have collapsed: {reason}")
        append_epoch(
            self.folder,
            self.session,
            {"epoch": epoch, "loss": losses, "b": judged, **record},
        )
        files.write_table(self.folder.alphas, alpha_table(self.history))
        files.write_table(self.folder.betas, beta_table(self.history))
        figures = {
            "train loss": losses["total"],
            "MTL-Loss on B rows": loss,
            "mean alpha entropy": record["entropy"] if self.strategy.supernet is not None else None,
        }
        message = ", ".join(
            f"{name} {value:.5f}" for name, value in figures.items() if value is not None
        )
        if message:  # of a draw that nothing trains there is nothing to tell
            self.session.reporter.say(f"epoch {epoch + 1}/{self.strategy.epochs}: {message}")

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def _late(self) -> bool:
        limit = self.session.config.runtime.time_limit_s
        late = limit is not None and self._seconds() > limit
        return bool(self.session.ranks.agree(int(late))) if limit is not None else False

    def _spent(self) -> dict[str, Any]:
        balancing = {"balancing": self._balancing} if self._balancing else {}
        return {"seconds": self._seconds(), "samples": self.strategy.samples, **balancing}

    def state(self) -> dict[str, Any]:
        """All that going on from here needs."""
        self.guard.look()
        return {
            "guard": self.guard.state(),
            "net": None if self.strategy.supernet is None else self.strategy.supernet.state_dict(),
            "strategy": self.strategy.state_dict(),
            "noise": self.generator.get_state(),
            "epoch": self.epoch,
            "step": self.step,
            "running": self.running.state(),
            "metric_lines": len(self.history),
            "metric_sum": self.folder.metric_sum(len(self.history)),
            "history": self.history,
            "race": None if self.race is None else self.race.state(),
            "spent": {**self._spent(), "ledger": self.ledger.state()},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        """Go on from a ``state()``.

        Raises:
            AutoMTLError, RuntimeError: it is none of this search's.
        """
        parsed = check(SearchState, state, "search")
        parsed.check_net(self.strategy)
        if self.strategy.supernet is not None:
            take_net(self.strategy.supernet, state["net"])
        self.strategy.load_state_dict(state["strategy"])
        parsed.check_place(self.strategy)
        self.generator.set_state(state["noise"])
        self.epoch, self.step, self.history = state["epoch"], state["step"], state["history"]
        self.guard.load(state["guard"])
        self.running.load(
            state["running"], tasks=len(self.session.schema.tasks), device=self.session.device
        )
        self._charge(state["spent"])
        if parsed.race is None:
            files.cut_lines(self.folder.race, 0)  # written after the checkpoint
        else:
            need(self._races, "race", "must be there for a race only", "one")
            self.race = self._make_race()
            self.race.load(state["race"])

    def _charge(self, spent: dict[str, Any]) -> None:
        """Count on from what was spent."""
        self._before, self._started = spent["seconds"], time.monotonic()
        self.strategy.samples, self._balancing = spent["samples"], dict(spent.get("balancing", {}))
        self.ledger.load(spent["ledger"])

    def _derive(self, state: str, epochs: int) -> Architecture:
        schema, config = self.session.schema, self.session.config
        provenance = {
            "dataset": schema.name,
            "data_hash": schema.data_hash,
            "seed": config.seed,
            "finished_epochs": epochs,
            "state": state,
        }
        if self.race is not None:
            derived, decisions, raced = self.race.outcome()
        else:
            derived, raced = self.strategy.derive(), {}
            decisions = list(self.strategy.decisions(derived))
        architecture = derived.evolve(
            provenance={
                **provenance,
                **derived.provenance,
                **measured_latency(self.session, derived),
                "decisions": [decision.plain for decision in decisions],
                **({"race": raced} if raced else {}),
            }
        )
        architecture.save(self.folder.architecture)
        write_cost(
            self.folder, self.session, self.strategy, {**self._spent(), **self.ledger.figures()}
        )
        return architecture
