"""One seed of a retrain in a process of its own, which may run on another machine."""

import contextlib
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from automtl import files
from automtl.config import RunConfig
from automtl.engines import orphaned
from automtl.errors import AutoMTLError, Interrupted
from automtl.phases.retrain._start import retrain
from automtl.phases.retrain.plan import RetrainPlan
from automtl.phases.retrain.warm_start import open_older_model
from automtl.phases.run.reporter import Silent
from automtl.plugins import load_plugin
from automtl.training.loop import StepEvent

SAY_EVERY_S = 30.0
_LOOK_EVERY_S = 1.0
_ALONE = Lock()  # a worker of Dask's may have several threads; torch's settings are the process's


@dataclass(frozen=True)
class Order:
    """One seed to be trained, as another process is told."""

    plan: RetrainPlan
    config: RunConfig
    resume: bool
    scratch: Path
    plugins: tuple[str, ...]
    grown: tuple[Path, str, Path | None] | None  # what an older model carries over
    here: Path  # where paths begin
    words: tuple[str, ...]  # of the command, as its manifests tell it

    @property
    def log(self) -> Path:
        """The log of its process, a line for each message."""
        return self.scratch / f"seed-{self.config.seed}.jsonl"

    @property
    def stop(self) -> Path:
        """There as soon as all are to stop."""
        return self.scratch / "stop"

    @property
    def over(self) -> bool:
        """Whether all are to stop; also where whoever asked for them is gone."""
        return orphaned() or self.stop.exists() or not self.scratch.exists()


@dataclass(frozen=True)
class Outcome:
    """The end of one seed's training."""

    error: AutoMTLError | None = None
    stopped: bool = False


class _Afar(Silent):
    """Writes down what it is told, and stops its phase where it is asked to."""

    def __init__(self, order: Order) -> None:
        self._order, self._looked = order, time.monotonic()
        self._said = self._looked

    def say(self, text: str) -> None:
        self._note(say=text)

    def _note(self, **values: str) -> None:
        if self._order.scratch.exists():
            files.append_line(self._order.log, values)

    def step(self, event: StepEvent, epochs: int) -> None:
        now = time.monotonic()
        if now - self._looked > _LOOK_EVERY_S:
            self._looked = now
            if self._order.over:
                raise KeyboardInterrupt
        if now - self._said > SAY_EVERY_S:
            self._said = now
            stage = f"{event.stage}, " if event.stage else ""
            place = f"{stage}epoch {event.epoch + 1}, step {event.step + 1} of {event.steps}"
            self._note(at=place)


def train(order: Order) -> Outcome:
    """Train one seed; runs in another process, which knows nothing yet."""
    with _ALONE, contextlib.chdir(order.here):
        sys.argv, own = list(order.words), sys.argv
        try:
            return _trained(order, _Afar(order))
        finally:
            sys.argv = own


def _trained(order: Order, reporter: _Afar) -> Outcome:
    plan, seed = order.plan, order.config.seed
    carry = None
    try:
        if order.over:
            return Outcome(stopped=True)
        for path in order.plugins:
            load_plugin(path)
        if order.grown is not None:
            run, data, data_dir = order.grown
            carry = open_older_model(run, data, data_dir=data_dir).carry
        given: dict[str, Any] = {"run": plan.run, "label": plan.label, "own": plan.own}
        given |= {"carry": carry, "resume": order.resume}
        retrain(plan.architecture, order.config, reporter=reporter, **given)
    except (KeyboardInterrupt, Interrupted):
        return Outcome(stopped=True)
    except AutoMTLError as error:
        return Outcome(of_seed(seed, error))
    except Exception:  # told by the parent, as its own would be
        reporter.say(traceback.format_exc())
        fault = AutoMTLError(f"seed {seed}", "must end", "a fault of automtl itself, told above")
        return Outcome(fault)
    return Outcome()


def of_seed(seed: int, error: AutoMTLError) -> AutoMTLError:
    """An error with the seed that it is of."""
    return type(error)(f"seed {seed}: {error.where}", error.rule, error.got, error.fix)
