"""Reporters: they are told how a phase goes on."""

from typing import Any, Protocol, runtime_checkable

from automtl.training.loop import StepEvent


class Reporter(Protocol):
    """Someone to tell how a phase goes on."""

    def say(self, text: str) -> None:
        """A line for people."""

    def step(self, event: StepEvent, epochs: int) -> None:
        """A finished step of a phase that plans `epochs` epochs."""

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """A finished epoch of a "search" or a "retrain": its line in metrics.jsonl."""


@runtime_checkable
class Stopping(Protocol):
    """A reporter that may ask a phase to stop."""

    def stops(self) -> bool:
        """Whether it asks for that; asked after each epoch, and forgotten then."""


@runtime_checkable
class Counting(Protocol):
    """A reporter that tells of several trainings together."""

    def training(self, number: int, count: int) -> None:
        """The training `number`, from 0, of `count` alike begins."""


class Silent:
    """A reporter that tells no one."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def step(self, event: StepEvent, epochs: int) -> None:
        """Show nothing."""

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """Show nothing."""
