"""One race in a search's folder: trainings one after the other, each judged and written down, and
what they decide.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from automtl import files
from automtl.errors import NumericalError
from automtl.phases.race._answer import answer
from automtl.phases.race._checks import Checks
from automtl.phases.race._compare import Key, Table
from automtl.phases.race._finals import finals
from automtl.phases.race._verdicts import MODEL, Grounds
from automtl.phases.race.course import Course, Job
from automtl.phases.race.entrants import Entrant, entrants
from automtl.phases.race.judge import Judge
from automtl.phases.race.results import Result, read_results
from automtl.phases.run.alone import Model
from automtl.phases.run.session import Session
from automtl.runs import checkpoint, checksums
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture
from automtl.spaces.decisions import Decision
from automtl.strategies.encoding import Genes
from automtl.strategies.protocol import Material, Strategy, make_genes
from automtl.training.checkpoint_state import Count, State, check, need
from automtl.training.loop import StepEvent

_STAGES = {"rung": 0, "final": 1, "check": 2}


class _RaceState(State):
    """Of a race; the model in training looks at its own."""

    entrants: tuple[str, ...]
    lines: Count
    sum: str
    units: dict[str, torch.Tensor]
    step: Count
    model: Any


class Race:
    """Candidates trained alone.

    Args:
        session: data, device, settings.
        folder: of the search.
        strategy: whose search is over; what it believes in starts.
        material: what it worked with.
        judge: A and B rows.
    """

    def __init__(
        self,
        session: Session,
        folder: PhaseDir,
        strategy: Strategy,
        material: Material,
        judge: Judge,
    ) -> None:
        s = session.config.search
        self.session, self.folder, self.strategy, self.judge = session, folder, strategy, judge
        self.ledger = material.ledger
        self.genes: Genes = make_genes(material, strategy.supernet)
        self.batch = session.config.retrain.batch_size
        self._per_epoch = len(session.batches("fit", batch_size=self.batch, seed=0))
        steps = max(1, round(s.race_epochs * self._per_epoch))
        start = entrants(strategy.proposals(s.race_candidates), self.genes, session, material.seed)
        self.course = Course(start, finalists=s.race_finalists, seeds=s.race_seeds, steps=steps)
        self.results: list[Result] = []
        self._units: dict[Key, np.ndarray] = {}
        self._job: Job | None = None
        self._model: Model | None = None
        self._step = self._done = 0
        self._checks: Checks | None = None

    # -- trainings

    def events(self) -> Iterator[StepEvent | None]:
        """Train what is left: an event after each step, and None after a training that is judged
        and written down. At each, `state` tells what going on needs.
        """
        while (job := self._next()) is not None:
            try:
                yield from self._train(job)
                result = self._judged(job)
            except NumericalError as error:
                result = self._result(job, None, None, " ".join(str(error).split())[:300])
            self._keep(job, result)
            yield None

    def _next(self) -> Job | None:
        job = self.course.next(self.results)
        if job is not None:
            return job
        s = self.session.config.search
        _, entrant = self._checks_of().look(self._table(), s.race_seeds)
        if entrant is None:
            return None
        seed = sum(r.stage == "check" and r.candidate == entrant.id for r in self.results)
        return Job("check", self.course.rungs, entrant, seed, 0, self.course.steps)

    def _train(self, job: Job) -> Iterator[StepEvent]:
        model = self._model or self._fresh(job)
        self._job, self._model = job, model
        batches = self.session.batches("fit", batch_size=self.batch, seed=model.seeds.fit)
        steps, epochs = self._per_epoch, math.ceil(self.course.steps / self._per_epoch)
        for batch in batches.cycle(self._step):
            if self._step >= job.end:
                break
            losses = model.step(
                batch.to(self.session.device),
                epoch=self._step // steps,
                step=self._step % steps,
                steps=steps,
                epochs=epochs,
            )
            self._step, self._done = self._step + 1, self._done + 1
            entrant = job.entrant
            self.ledger.add("train", batch.step_size, entrant.flops, entrant.seconds)
            self.strategy.samples += batch.step_size
            total = max(self.course.planned_steps, self._done)
            yield StepEvent(0, self._done - 1, total, batch.step_size, losses, stage="race")
        model.look()

    def _fresh(self, job: Job) -> Model:
        """The model of a job at its start, fresh or as the rung before left it."""
        words = [self.session.config.seed, _STAGES[job.stage], job.seed]
        seed = int(np.random.SeedSequence(words).generate_state(1)[0])
        model, self._step = Model(job.entrant.architecture, self.session, seed), job.start
        if job.start:
            path = self._parked(job.entrant, job.rung - 1)
            with checkpoint.applying(path):
                model.load_state_dict(checkpoint.load(path))
        return model

    def _parked(self, entrant: Entrant, rung: int) -> Any:
        return self.folder.checkpoint(f"race-{entrant.id}-{rung}")

    def _judged(self, job: Job) -> Result:
        assert self._model is not None
        a, b = self.judge.loss_a(self._model.net), self.judge.on_b(self._model.net)
        ranks = self.session.ranks
        a, loss = ranks.told([a, b.loss])
        read = self.judge.a.num_rows + self.judge.b.num_rows
        self.ledger.add("score", read, job.entrant.flops, job.entrant.seconds)
        self.strategy.samples += read
        if job.stage == "rung":
            if job.rung + 1 < self.course.rungs:
                checkpoint.save(self._parked(job.entrant, job.rung), self._model.state_dict())
                ranks.told(None)  # it is there for all of them
        else:
            key: Key = (job.stage, job.entrant.id)
            units = ranks.gathered(b.units if ranks.first else b.units[:0])[0]
            self._units[key] = units + self._units.get(key, 0.0)
        return self._result(job, a, loss, "")

    def _result(self, job: Job, a: float | None, b: float | None, error: str) -> Result:
        full, rest = divmod(job.end, self._per_epoch)
        batches = self.session.batches("fit", batch_size=self.batch, seed=0)
        rows = full * batches.num_rows + min(rest * self.batch, batches.num_rows)
        entrant = job.entrant
        return Result(
            stage=job.stage,
            rung=job.rung,
            candidate=entrant.id,
            name=entrant.name,
            kind=entrant.kind,
            seed=job.seed,
            rows=rows,
            a=a,
            b=b,
            error=error,
            flops=entrant.flops,
            parameters=entrant.parameters,
        )

    def _keep(self, job: Job, result: Result) -> None:
        files.append_line(self.folder.race, result.line)
        self.results.append(result)
        self._job = self._model = None
        self._step = 0
        figures = "not finite" if result.b is None else f"A {result.a:.5f}, B {result.b:.5f}"
        self.session.reporter.say(
            f"race, {job.stage} {job.rung + 1 if job.stage == 'rung' else job.seed + 1}: "
            f"{result.name} after {result.rows:,} rows: {figures}"
        )
        self.session.trim()

    # -- what came of it

    @property
    def over(self) -> bool:
        """Whether nothing is left to train."""
        return self._next() is None

    @property
    def whole_rungs(self) -> int:
        """How many rungs are whole; at 0 there is nothing to hand over."""
        return self.course.whole_rungs(self.results)

    def outcome(self) -> tuple[Architecture, list[Decision], dict[str, Any]]:
        """The architecture, its decisions, and the race in plain words; of a race that was stopped,
        who leads on A rows, and no decision.
        """
        if self.course.next(self.results) is not None:
            leader = self.course.leader(self.results)
            words = f"the race was stopped after {self.whole_rungs} rungs: {leader.name} led on A"
            summary = {"winner": leader.name, "kind": leader.kind, "words": [words]}
            return leader.architecture, self._stopped(leader, words), summary
        table, s = self._table(), self.session.config.search
        grounds = self._grounds(table)
        judged, _ = self._checks_of().look(table, s.race_seeds)
        summary = answer(
            grounds.finals, table, self.results, self.course.rungs, grounds.beats_constant
        )
        winner = grounds.finals.winner
        return winner.architecture, grounds.decisions(judged), summary

    def _stopped(self, leader: Entrant, words: str) -> list[Decision]:
        if leader.kind == "rival":
            return [Decision(MODEL, leader.name, None, "not decided", words)]
        believed = self.strategy.decisions(leader.architecture)
        return [
            Decision(d.choice, d.taken, d.runner_up, "not decided", words, alpha=d.alpha)
            for d in believed
        ]

    def _table(self) -> Table:
        return Table(self.results, self._units)

    def _grounds(self, table: Table) -> Grounds:
        done = [r for r in self.results if r.stage != "check"]
        final = Table(done, {key: u for key, u in self._units.items() if key[0] == "final"})
        there = self.course.in_finals(done)
        if not there or not final.losses:
            fix = "lower retrain.lr, or look at the rows"
            raise NumericalError("race", "a candidate's losses must be finite", "none", fix)
        outcome = finals(there, final)
        believed = (
            ()
            if outcome.winner.kind == "rival"
            else self.strategy.decisions(outcome.winner.architecture)
        )
        constant = self.judge.constant
        beats = constant is not None and final.beats(
            ("final", outcome.winner.id), constant, among=len(there)
        )
        seeds = self.session.config.search.race_seeds
        return Grounds(outcome, believed, self.genes, beats, seeds)

    def _checks_of(self) -> Checks:
        """The checks of the winner; the finals settle them."""
        if self._checks is None:
            grounds = self._grounds(self._table())
            most = self.session.config.search.race_checks
            winner = grounds.finals.winner
            self._checks = Checks(winner, grounds.agreed(), self.genes, self.session, most)
        return self._checks

    # -- resume

    def state(self) -> dict[str, Any]:
        """All that an exact resume needs beside the search's own."""
        model = None if self._model is None else self._model.state_dict()
        return {
            "entrants": [entrant.id for entrant in self.course.entrants],
            "lines": len(self.results),
            "sum": checksums.of_lines(self.folder.race, len(self.results)),
            "units": {f"{s}:{c}": torch.from_numpy(u) for (s, c), u in self._units.items()},
            "step": self._step,
            "model": model,
        }

    def load(self, state: Any) -> None:
        """Go on from a ``state()``; later lines of race.jsonl are cut.

        Raises:
            AutoMTLError, RuntimeError: it is none of this race's.
        """
        parsed = check(_RaceState, state, "race")
        need(
            list(parsed.entrants) == [entrant.id for entrant in self.course.entrants],
            "race.entrants",
            "must be those that the search proposes",
            ", ".join(parsed.entrants)[:200],
        )
        checksums.keep_lines(self.folder.race, parsed.lines, parsed.sum)
        self.results = read_results(self.folder.race)
        self._units = _keys(parsed.units, self.judge.units)
        judged = {(r.stage, r.candidate) for r in self.results if r.stage != "rung" and not r.error}
        need(
            self._units.keys() == judged,
            "race.units",
            "must be there for every candidate of the finals and the checks",
            ", ".join(parsed.units)[:200] or "none",
        )
        job = self._next()
        need(
            parsed.model is None or (job is not None and job.start <= parsed.step <= job.end),
            "race.step",
            "must be one of the training that comes next",
            parsed.step,
        )
        if state["model"] is not None and job is not None:
            model = self._fresh(job)
            model.load_state_dict(state["model"])
            self._model, self._step = model, parsed.step


def _keys(units: dict[str, torch.Tensor], count: int) -> dict[Key, np.ndarray]:
    """What every unit adds, by stage and candidate.

    Raises:
        ArtifactError: it is of other rows.
    """
    by_key: dict[Key, np.ndarray] = {}
    for name, values in units.items():
        stage, _, candidate = name.partition(":")
        legal = values.dtype == torch.float64 and values.shape == (count,)
        need(
            legal and stage in ("final", "check") and bool(values.isfinite().all()),
            f"race.units.{name}",
            f"must be {count} finite numbers of a final or a check",
            f"{tuple(values.shape)} {values.dtype}, from {values.min():g} to {values.max():g}"
            if values.numel()
            else "none",
        )
        by_key["final" if stage == "final" else "check", candidate] = values.numpy()
    return by_key


def parked(folder: PhaseDir) -> Sequence[Any]:
    """The weights that waited for their next rung."""
    return sorted(folder.checkpoint("last").parent.glob("race-*.safetensors"))
