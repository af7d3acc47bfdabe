"""The result of one training of a race: a line of race.jsonl."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from automtl.bounds import fitting, parse_json, read_lines
from automtl.training.checkpoint_state import Count, Number, State, parse

Stage = Literal["rung", "final", "check"]


class Result(State):
    """One training up to where it was judged.

    Attributes:
        stage: "rung" before the finals, "final" with a fresh seed, "check" of the winner's choices.
        rung: number of the rung, from 0; the highest for finals and checks.
        candidate: the entrant's id.
        name, kind: the entrant's.
        seed: number of the seed within the stage.
        rows: fit rows trained on.
        judged: fit rows after which it was judged, at its best pass; None where a number was not
            finite, and in files of version 0.2.0, which judged at the end.
        a, b: MTL-Loss on A and B rows there; None where a number was not finite.
        tasks: each task's own loss on B rows there, with the standard error over rows (or groups)
            of its difference from the base rates'; none where that is not known, and in files of
            version 0.2.0.
        error: what was not.
        flops, parameters: the entrant's.
    """

    stage: Stage
    rung: Count
    candidate: str
    name: str
    kind: Literal["proposal", "control", "rival", "variant"]
    seed: Count
    rows: Count
    judged: Count | None = None
    a: Number | None
    b: Number | None
    tasks: tuple[tuple[Number, Number], ...] = ()
    error: str = ""
    flops: Count
    parameters: Count

    @property
    def line(self) -> dict[str, Any]:
        """The result as a line of race.jsonl."""
        return self.model_dump(mode="json")


def read_results(path: Path) -> list[Result]:
    """The results that race.jsonl holds.

    Raises:
        AutoMTLError: a line is none.
    """
    with fitting(path):
        lines = [parse_json(line) for line in read_lines(path)]
    return [parse(Result, line, f"{path}, line {i}") for i, line in enumerate(lines, 1)]


def of_rung(results: Iterable[Result], rung: int) -> dict[str, Result]:
    """The results of a rung, by candidate."""
    return {r.candidate: r for r in results if r.stage == "rung" and r.rung == rung}


def losses(results: Iterable[Result], stage: Stage, candidate: str) -> list[float] | None:
    """A candidate's losses on B rows over the seeds of a stage; None where one is not finite."""
    values = [r.b for r in results if r.stage == stage and r.candidate == candidate]
    return None if None in values else [b for b in values if b is not None]


def by_a(results: Sequence[Result]) -> list[Result]:
    """The least loss on A rows first; those without one last."""
    return sorted(results, key=lambda r: (r.a is None, r.a or 0.0))
