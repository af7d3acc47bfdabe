"""One race in a search's folder: trainings one after the other, each judged and written down."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from automtl import files
from automtl.errors import NumericalError
from automtl.phases.race._judgement import Judgement, Outcome
from automtl.phases.race._parked import Parked
from automtl.phases.race._race_state import RaceState
from automtl.phases.race.course import Course, Job
from automtl.phases.race.entrants import entrants
from automtl.phases.race.judge import Judge, Look
from automtl.phases.race.results import Result, Stage, read_results
from automtl.phases.run.alone import Model
from automtl.phases.run.session import Session
from automtl.runs import checksums
from automtl.runs.run_dir import PhaseDir
from automtl.strategies.protocol import SearchContext, Strategy, make_encoding
from automtl.training.loop import StepEvent

_STAGES = {"rung": 0, "final": 1, "check": 2}


class Race:
    """Candidates trained alone.

    Args:
        session: data, device, settings.
        folder: of the search.
        strategy: whose search is over; what it believes in starts.
        context: the context it worked in.
        judge: A and B rows.
    """

    def __init__(
        self,
        session: Session,
        folder: PhaseDir,
        strategy: Strategy,
        context: SearchContext,
        judge: Judge,
    ) -> None:
        s = session.config.search
        self.session, self.folder = session, folder
        self.strategy, self.judge = strategy, judge
        self.parked, self.ledger = Parked(folder), context.ledger
        encoding = make_encoding(context, strategy.supernet)
        self.batch = session.config.retrain.batch_size
        fit = session.batches("fit", batch_size=self.batch, seed=0)
        self._per_epoch, self._fit_rows = len(fit), fit.num_rows
        steps = max(1, round(s.race_epochs * self._per_epoch))
        start = entrants(strategy.proposals(s.race_candidates), encoding, session, context.seed)
        self.course = Course(
            start,
            finalists=s.race_finalists,
            halving=s.race_halving,
            seeds=s.race_seeds,
            steps=steps,
        )
        self.results: list[Result] = []
        self._units = dict[tuple[Stage, str], np.ndarray]()
        self._judgement = Judgement(
            session, self.course, encoding, strategy, judge, seed=context.seed
        )
        self._job: Job | None = None
        self._model: Model | None = None
        self._best: Look | None = None  # of the model's training so far
        self._step = self._done = self._spared = 0

    # -- trainings

    def events(self) -> Iterator[StepEvent | None]:
        """Train what is left: an event after each step, and None after a training that is judged
        and written down. At each, `state_dict` tells what going on needs.
        """
        while (job := self._next()) is not None:
            try:
                yield from self._train(job)
                result = self._judged(job)
            except NumericalError as error:
                result = self._result(job, None, " ".join(str(error).split())[:300])
            self._finish(result)
            yield None

    def _next(self) -> Job | None:
        return self.course.next(self.results) or self._judgement.next_check(
            self.results, self._units
        )

    def _train(self, job: Job) -> Iterator[StepEvent]:
        model = self._model or self._fresh(job)
        self._job, self._model = job, model
        batches = self.session.batches("fit", batch_size=self.batch, seed=model.seeds.fit)
        steps, epochs = self._per_epoch, math.ceil(self.course.steps / self._per_epoch)
        for batch in batches.cycle(self._step):
            if self._step >= job.end or self._stale(job):
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
            if self._step == job.end or (self._step % steps == 0 and self._looks_often(job)):
                self._look(job)
            total = max(self.course.planned_steps - self._spared, self._done)
            yield StepEvent(0, self._done - 1, total, batch.step_size, losses, stage="race")
        self._spared += job.end - self._step

    def _looks_often(self, job: Job) -> bool:
        """Whether a training is judged after each pass, and the best one counts."""
        rung = job.stage == "rung" and self.course.halving
        return self.session.config.search.race_patience is not None and not rung

    def _stale(self, job: Job) -> bool:
        patience = self.session.config.search.race_patience
        if patience is None or self._best is None or not self._looks_often(job):
            return False
        return self._step - self._best.step >= patience * self._per_epoch

    def _look(self, job: Job) -> None:
        """Judge the model as it stands; the look with the least loss on B is kept."""
        assert self._model is not None
        self._model.look()
        ranks = self.session.ranks
        a, on_b = self.judge.loss_a(self._model.net), self.judge.on_b(self._model.net)
        a, b, *tasks = ranks.told([a, on_b.loss, *self.judge.tasks(on_b)])
        units = ranks.gathered(on_b.units if ranks.first else on_b.units[:0])[0]
        read = self.judge.a.num_rows + self.judge.b.num_rows
        self.ledger.add("score", read, job.entrant.flops, job.entrant.seconds)
        self.strategy.samples += read
        if self._best is None or b < self._best.b:
            pairs = tuple((loss, error) for loss, error in tasks)  # lists, from other processes
            self._best = Look(self._step, a, b, units, pairs)

    def _fresh(self, job: Job) -> Model:
        """The model of a job at its start, fresh or as the rung before left it."""
        words = [self.session.config.seed, _STAGES[job.stage], job.seed]
        seed = int(np.random.SeedSequence(words).generate_state(1)[0])
        model, self._step = Model(job.entrant.architecture, self.session, seed), job.start
        if job.start:
            self.parked.load(job.entrant.id, job.rung - 1, model)
        return model

    def _judged(self, job: Job) -> Result:
        assert self._model is not None
        if self._best is None:  # a rung without a step, or stopped by 0.2.0 before it was judged
            self._look(job)
        assert self._best is not None
        if job.stage == "rung":
            if job.rung + 1 < self.course.rungs:
                self.parked.save(job.entrant.id, job.rung, self._model)
                self.session.ranks.told(None)  # it is there for all of them
        else:
            key = (job.stage, job.entrant.id)
            self._units[key] = self._best.units + self._units.get(key, 0.0)
        return self._result(job, self._best, "")

    def _rows(self, step: int) -> int:
        full, rest = divmod(step, self._per_epoch)
        return full * self._fit_rows + min(rest * self.batch, self._fit_rows)

    def _result(self, job: Job, best: Look | None, error: str) -> Result:
        entrant = job.entrant
        return Result(
            stage=job.stage,
            rung=job.rung,
            candidate=entrant.id,
            name=entrant.name,
            kind=entrant.kind,
            seed=job.seed,
            rows=self._rows(self._step),
            judged=None if best is None else self._rows(best.step),
            a=None if best is None else best.a,
            b=None if best is None else best.b,
            tasks=() if best is None else best.tasks,
            error=error,
            flops=entrant.flops,
            parameters=entrant.parameters,
        )

    def _finish(self, result: Result) -> None:
        files.append_line(self.folder.race, result.line)
        self.results.append(result)
        self._job = self._model = self._best = None
        self._step = 0
        number = result.rung if result.stage == "rung" else result.seed
        place = f"{result.stage} {number + 1}" if number or result.stage != "rung" else "candidates"
        figures = "not finite" if result.b is None else f"A {result.a:.5f}, B {result.b:.5f}"
        earlier = result.judged not in (None, result.rows)
        best = f", best after {result.judged:,}" if earlier else ""
        self.session.reporter.say(
            f"race, {place}: {result.name} after {result.rows:,} rows{best}: {figures}"
        )
        self.session.trim()

    # -- what came of it

    @property
    def over(self) -> bool:
        """Whether nothing is left to train."""
        return self._next() is None

    @property
    def whole_rungs(self) -> int:
        """The number of whole rungs; at 0 the race has no result yet."""
        return self.course.whole_rungs(self.results)

    def outcome(self) -> Outcome:
        """The architecture, its decisions, and the race in plain words."""
        return self._judgement.outcome(self.results, self._units)

    # -- resume

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs beside the search's own."""
        model = None if self._model is None else self._model.state_dict()
        return {
            "entrants": [entrant.id for entrant in self.course.entrants],
            "halving": self.course.halving,
            "lines": len(self.results),
            "sum": checksums.of_lines(self.folder.race, len(self.results)),
            "units": {f"{s}:{c}": torch.from_numpy(u) for (s, c), u in self._units.items()},
            "step": self._step,
            "best": None if self._best is None else self._best.state,
            "candidate": None if self._job is None or model is None else self._job.entrant.id,
            "model": model,
        }

    def load_state_dict(self, state: Any) -> None:
        """Go on from a ``state_dict()``; later lines of race.jsonl are cut.

        Raises:
            AutoMTLError, RuntimeError: it is none of this race's.
        """
        parsed = RaceState.of(state, self.course)
        checksums.keep_lines(self.folder.race, parsed.lines, parsed.sum)
        self.results = read_results(self.folder.race)
        self._units = parsed.units_of(self.results, self.judge.units)
        job = self._next()
        of_older = state["model"] is not None and parsed.candidate is None
        if of_older and (job is None or job.stage == "check"):
            return  # older versions checked other copies: this training begins anew
        parsed.check_step(job)
        if state["model"] is not None and job is not None:
            model = self._fresh(job)
            model.load_state_dict(state["model"])
            self._job, self._model, self._step = job, model, parsed.step
            due = self._looks_often(job) and self._step >= self._per_epoch
            self._best = parsed.best_of(self.judge.units, due=due)
