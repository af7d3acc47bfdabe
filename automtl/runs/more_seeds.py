"""The command that trains a model with more seeds."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path


def more_seeds(command: str, home: str, seeds: Sequence[int], count: int) -> str:
    """The command that trains a model with so many seeds, those that it has left as they are; ""
    where no command trained it.

    >>> more_seeds("automtl retrain mmoe --data d.yaml", "runs/m", [0], 3)
    'automtl retrain mmoe --data d.yaml --out runs/m --seeds 0..2 --resume'

    Args:
        command: that trained it.
        home: the run's folder.
        seeds: that it has.
        count: of seeds that are wanted.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    if words[:2] != ["automtl", "retrain"] or not home:
        return ""
    words = re.sub(r" --seeds[= ]\S+| --resume\b", "", shlex.join(words)).split(" ")
    out = [] if any(w == "--out" or w.startswith("--out=") for w in words) else _out(home, words)
    upto = max(count - 1, *seeds, 0)
    return " ".join([*words, *out, "--seeds", f"0..{upto}", "--resume"])


def _out(home: str, words: Sequence[str]) -> list[str]:
    """A hand-made model's folder, where its command did not name it."""
    searched = any(Path(word) == Path(home) for word in words[2:])
    return [] if searched else ["--out", shlex.quote(home)]
