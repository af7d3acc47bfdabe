"""Callbacks: a user's own code at the start, after each epoch and at the end of a search or of a
retrain. It may read and stop, not write.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from automtl.errors import ConfigError
from automtl.phases.run.reporter import Counting, Reporter, Stopping
from automtl.runs.epoch_line import trained
from automtl.training.loop import StepEvent

_HOOKS = ("on_start", "on_epoch_end", "on_end")
_NO_FIGURES = ("epoch", "decisions", "sharing")


class StopTraining(Exception):
    """Raised in a callback: what is in training ends with this epoch, as returning True ends it.

    >>> import automtl
    >>> def patient(epoch, figures):
    ...     if figures["validation.loss"] > 1:
    ...         raise automtl.StopTraining
    """


class Callback:
    """Base of callbacks, for those who like one; any object with some of its methods will do, and
    so will a function, which is an `on_epoch_end`.

    >>> import automtl
    >>> class Until(automtl.Callback):
    ...     def __init__(self, loss):
    ...         self.loss = loss
    ...
    ...     def on_epoch_end(self, epoch, figures):
    ...         return figures["validation.loss"] < self.loss
    >>> Until(0.5).on_epoch_end(0, {"validation.loss": 0.4})
    True
    """

    def on_start(self, phase: str) -> None:
        """A "search", or the "retrain" of one model, begins or goes on."""

    def on_epoch_end(self, epoch: int, figures: Mapping[str, Any]) -> bool | None:
        """An epoch has ended.

        Args:
            epoch: counted from 0.
            figures: as the columns of a result's `history`.

        Returns:
            True (or anything true) to stop: a search then derives from what there is, a retrain
            keeps its best epoch, as if its patience were at its end. A model that is trained in
            stages ends the stage.
        """

    def on_end(self, result: Any) -> None:
        """It has ended, with this result."""


def figures_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """The figures in a line of metrics.jsonl under one name each: `loss.click`,
    `validation.click.auc`, `validation.loss`.
    """
    flat: dict[str, Any] = {}
    for name, value in line.items():
        if name == "part":  # the tasks of the net in training
            flat[name] = ", ".join(value)
        elif name in _NO_FIGURES or isinstance(value, list | tuple):
            continue
        elif isinstance(value, Mapping):
            inside = {**value, **value.get("tasks", {})} if "tasks" in value else value
            below = figures_of({k: v for k, v in inside.items() if k != "tasks"})
            flat |= {f"{name}.{key}": figure for key, figure in below.items()}
        else:
            flat[name] = value
    return flat


class Calling:
    """A reporter that passes everything on, calls callbacks, and stops where one of them asks.

    Args:
        inner: told everything.
        callbacks: objects with some of the methods of `Callback`, or functions.

    Raises:
        ConfigError: one is neither.
    """

    def __init__(self, inner: Reporter, callbacks: Sequence[Any]) -> None:
        self._inner, self._callbacks = inner, tuple(callbacks)
        self._stops = False
        for callback in self._callbacks:
            if not callable(callback) and not any(hasattr(callback, hook) for hook in _HOOKS):
                rule = f"must be functions, or objects with one of {', '.join(_HOOKS)}"
                raise ConfigError("callbacks", rule, type(callback).__name__)

    @property
    def calls(self) -> bool:
        """Whether there are callbacks."""
        return bool(self._callbacks)

    def say(self, text: str) -> None:
        """A line for people."""
        self._inner.say(text)

    def training(self, number: int, count: int) -> None:
        """The training `number`, from 0, of `count` alike begins."""
        if isinstance(self._inner, Counting):
            self._inner.training(number, count)

    def step(self, event: StepEvent, epochs: int) -> None:
        """A finished step."""
        self._inner.step(event, epochs)

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """A finished epoch: every callback sees figures of its own; none is told of a draw that
        nothing trains.
        """
        self._inner.epoch(phase, line)
        if not trained(line):
            return
        for callback in self._callbacks:
            hook: Callable[..., Any] | None = getattr(callback, "on_epoch_end", None)
            if hook is None and not any(hasattr(callback, name) for name in _HOOKS):
                hook = callback
            if hook is None:
                continue
            try:
                asked = hook(line["epoch"], deepcopy(figures_of(line)))
            except StopTraining:
                asked = True
            self._stops = self._stops or bool(asked)

    def stops(self) -> bool:
        """Whether a callback, or the reporter itself, asks to stop; asked once an epoch."""
        stops, self._stops = self._stops, False
        return stops or (isinstance(self._inner, Stopping) and self._inner.stops())

    def start(self, phase: str) -> None:
        """Tell the callbacks that a phase begins."""
        self._stops = False
        for hook in self._hooks("on_start"):
            hook(phase)

    def end(self, result: Any) -> None:
        """Tell the callbacks how it ended."""
        for hook in self._hooks("on_end"):
            hook(result)

    def _hooks(self, name: str) -> list[Callable[..., Any]]:
        hooks = (getattr(callback, name, None) for callback in self._callbacks)
        return [hook for hook in hooks if hook is not None]
