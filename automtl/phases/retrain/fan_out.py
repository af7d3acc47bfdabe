"""Seeds of a retrain side by side: each in a process of its own, by an engine's hands.

Every seed has a folder of its own, which is locked while it is at work and can be gone on with; so
what is left of any of them after a fault, or after a stop, is what one process leaves. How they go
on is read from their folders, which works wherever they run.
"""

import contextlib
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import Any

import torch

from automtl import files
from automtl.bounds import parse_json, read_lines
from automtl.config import RunConfig
from automtl.engines import Engine, shared_out
from automtl.errors import AutoMTLError, ConfigError, EnvironmentFault, Interrupted
from automtl.phases.retrain._afar import SAY_EVERY_S, Order, Outcome, of_seed, train
from automtl.phases.retrain._result import RetrainResult
from automtl.phases.retrain.plan import RetrainPlan
from automtl.phases.run.device import cores
from automtl.phases.run.opening import training_session
from automtl.phases.run.reporter import Reporter
from automtl.plugins import record
from automtl.strict import build


@dataclass(frozen=True)
class SideBySide:
    """The way in which seeds are trained side by side.

    Args:
        engine: who trains them.
        jobs: how many at a time.
    """

    engine: Engine
    jobs: int

    @property
    def here(self) -> bool:
        """Whether they are trained one after the other, in this process."""
        return self == ONE_BY_ONE


ONE_BY_ONE = SideBySide(Engine(), 1)


@dataclass(frozen=True)
class Trained:
    """The trained seeds.

    Args:
        results: in the order of the seeds; of those that ended.
        failures: of the others.
    """

    results: list[RetrainResult]
    failures: list[AutoMTLError]


def retrain_all(
    plan: RetrainPlan,
    seeds: Sequence[int],
    how: SideBySide,
    *,
    resume: bool,
    reporter: Reporter,
    grown: tuple[Path, str, Path | None] | None = None,
) -> Trained:
    """Train an architecture with several seeds side by side.

    Args:
        plan: what to train.
        seeds: of the models.
        how: by whom, and how many at a time.
        resume: go on with those that were begun, and hand over those that have ended.
        reporter: told how they go on.
        grown: an older retrain, the new data set and the folder of data, whose embeddings the fresh
            networks begin with (see `warm_start`).

    Raises:
        Interrupted: the process was asked to stop; each seed keeps its state.
        AutoMTLError: the data cannot be trained on.
    """
    configs = _placed(plan.seeded(seeds), how, reporter)
    # prepares the data once, and refuses what no seed can be trained on
    training_session(configs[0], reporter, plan.own, search=False, retrain=True)
    plugins = tuple(plugin["path"] for plugin in record() if plugin["path"])
    with files.scratch_folder(plan.run.path) as scratch:
        given = (resume, scratch, plugins, grown, Path.cwd(), tuple(sys.argv))
        orders = [Order(plan, config, *given) for config in configs]
        return _watched(orders, how, scratch, reporter)


def _watched(
    orders: Sequence[Order], how: SideBySide, scratch: Path, reporter: Reporter
) -> Trained:
    plan, watch = orders[0].plan, _Watch(orders, reporter)
    try:
        with (
            how.engine.opened(how.jobs, scratch, alone=True) as executor,
            contextlib.closing(
                shared_out(
                    executor,
                    train,
                    orders,
                    how.jobs,
                    look=watch.look,
                    stop=lambda: files.write_text(orders[0].stop, ""),
                )
            ) as ended,
        ):
            for number, future in ended:
                watch.ended(orders[number], _outcome(future))
    except (KeyboardInterrupt, Interrupted) as asked:
        number = asked.signal if isinstance(asked, Interrupted) else SIGINT
        message = "what each seed has done is kept"
        raise Interrupted(number, plan.run.path, message) from asked
    return watch.result()


def _placed(configs: list[RunConfig], how: SideBySide, reporter: Reporter) -> list[RunConfig]:
    """The settings with threads and a device for each."""
    first = configs[0].runtime
    changes: list[dict[str, Any]] = [{} for _ in configs]
    if how.engine.name == "local":
        if first.threads is None:
            jobs = min(how.jobs, len(configs))
            threads = max(1, cores() // jobs)
            reporter.say(f"{jobs} at a time, {threads} threads each (--threads N sets others)")
            changes = [{"threads": threads} for _ in configs]
        if first.device in ("auto", "cuda") and (count := torch.cuda.device_count()) > 1:
            changes = [{**c, "device": f"cuda:{i % count}"} for i, c in enumerate(changes)]
    return [
        build(
            RunConfig,
            {**dict(config), "runtime": config.runtime.model_copy(update=change)},
            "runtime",
        )
        for config, change in zip(configs, changes, strict=True)
    ]


def _outcome(future: "Future[Outcome]") -> Outcome | Exception:
    """The outcome of a seed; an exception where its process has died, or never began."""
    error = future.exception()
    if isinstance(error, Exception):
        return error
    if error is not None:
        raise error
    return future.result()


class _Watch:
    """Tells how several seeds go on, by what their processes write down."""

    def __init__(self, orders: Sequence[Order], reporter: Reporter) -> None:
        self._orders, self._reporter = orders, reporter
        self._failures: dict[int, AutoMTLError] = {}
        self._done: set[int] = set()
        self._read = dict.fromkeys((order.log for order in orders), 0)
        self._places: dict[int, str] = {}
        self._said, self._last_message = time.monotonic(), ""

    def look(self) -> None:
        """Pass on what was said since; now and then also where each is."""
        for order in self._orders:
            self._pass_on(order)
        now, over = time.monotonic(), len(self._done) + len(self._failures)
        if now - self._said < SAY_EVERY_S:
            return
        self._said = now
        places = "; ".join(f"seed {seed}: {place}" for seed, place in self._places.items())
        message = f"  {over} of {len(self._orders)} have ended; {places}"
        if places and message != self._last_message:
            self._last_message = message
            self._reporter.say(message)

    def _pass_on(self, order: Order) -> None:
        if not order.log.exists():
            return
        lines = read_lines(order.log)  # whole ones
        for line in lines[self._read[order.log] :]:
            note = parse_json(line)
            if place := note.get("at"):
                self._places[order.config.seed] = place
            else:
                self._reporter.say(f"seed {order.config.seed}: {note['say']}")
        self._read[order.log] = len(lines)

    def ended(self, order: Order, outcome: Outcome | Exception) -> None:
        """Tell how a seed ended."""
        seed = order.config.seed
        self._pass_on(order)
        self._places.pop(seed, None)
        if isinstance(outcome, Exception):
            outcome = Outcome(of_seed(seed, _lost(outcome)))
        if outcome.stopped:
            raise Interrupted(SIGINT)
        if outcome.error is not None:
            self._failures[seed] = outcome.error
            self._reporter.say(f"failed: {outcome.error}")
            return
        self._done.add(seed)
        result = _result(order)
        best = ", ".join(str(epoch + 1) for epoch in result.best_epochs)
        self._reporter.say(f"{result.headline()}, best epoch {best}")

    def result(self) -> Trained:
        """The results of all seeds."""
        seeds = {order.config.seed: order for order in self._orders}
        return Trained(
            [_result(order) for seed, order in seeds.items() if seed in self._done],
            [self._failures[seed] for seed in seeds if seed in self._failures],
        )


def _result(order: Order) -> RetrainResult:
    return RetrainResult.read(order.plan.run.retrain(order.plan.label, order.config.seed))


def _lost(error: Exception) -> AutoMTLError:
    """A process that ended, or never began, without a word."""
    if isinstance(error, AutoMTLError):
        return error
    fix = (
        "it may have been killed, or lack memory: lower --jobs, and go on with --resume; a script "
        'of your own needs `if __name__ == "__main__":` around the call'
    )
    got = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return EnvironmentFault("its process", "must end by itself", got, fix)


def side_by_side(jobs: int, engine: str) -> SideBySide:
    """Parse the options on how to train.

    Raises:
        ConfigError: they cannot be meant.
        EnvironmentFault: the engine is not installed.
    """
    if jobs < 1:
        raise ConfigError("jobs", "must be at least 1", jobs)
    return SideBySide(Engine.of(engine), jobs)
