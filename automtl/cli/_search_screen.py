"""The last screen of a search: what is decided, what was chosen, and the next command."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from automtl.cli._models import duration
from automtl.cli.console import say, say_command, show_decisions, table
from automtl.runs import decided
from automtl.runs.decided import MODEL
from automtl.spaces.decisions import EXPERTS_OF

if TYPE_CHECKING:
    from automtl.phases.search import SearchResult
    from automtl.spaces.architecture import Architecture

_MARKS = {"decided": "!", "tied": "~", "not decided": "?"}
_LEGEND = {"decided": "! decided", "tied": "~ tied with", "not decided": "? not decided against"}


def show(result: "SearchResult", *, full: bool) -> None:
    """The screen, or with `full` every decision with what it rests on; what is decided comes first
    in both.
    """
    ending = "time limit reached" if result.state == "time_limited" else "done"
    title = f"{decided.title(result.decisions)} architecture ({ending}{result.after})"
    plain = parts(result.architecture)
    if full:
        show_decisions(result.decisions, result.decided)
        table(title, ("", ""), plain)
    else:
        rows = choices(result.decisions, plain) if result.decisions else plain
        table(result.decided, ("", ""), rows)
        say("; ".join(filter(None, (title, legend(result.decisions)))))
    for line in result.remarks:
        say(line)
    if seconds := _seconds(result):
        say(f"took {duration(seconds)}; evidence: automtl status {result.run} --full")
    say_command("next", shlex.join(["automtl", "retrain", str(result.run)]))


def _seconds(result: "SearchResult") -> float | None:
    from automtl import files
    from automtl.runs.run_dir import RunDir

    path = RunDir(result.run).search.cost
    return float(files.read_json(path)["seconds"]) if path.exists() else None


def legend(decisions: Sequence[Mapping[str, Any]]) -> str:
    """The marks that stand beside some choices, in words; "" where none does."""
    used = decided.in_use(decisions)
    seen = [words for verdict, words in _LEGEND.items() if decided.count(used, verdict)]
    against = " the runner-up" if seen and seen != [_LEGEND["decided"]] else ""
    return ", ".join(seen) + against


def parts(architecture: "Architecture") -> list[tuple[str, str]]:
    """An architecture's parts: interaction, experts, and which task uses which."""
    rows = [("interaction", ", ".join(architecture.interaction) or "none")]
    rows += [
        (f"expert {i}", " -> ".join(expert.blocks)) for i, expert in enumerate(architecture.experts)
    ]
    tasks = architecture.tasks or ()
    rows += [
        (f"{task.name} uses experts", ", ".join(map(str, chosen)))
        for task, chosen in zip(tasks, architecture.chosen or (), strict=False)
    ]
    return rows


def choices(
    decisions: Sequence[Mapping[str, Any]], plain: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The choices in lines: an expert's blocks in one, each with a mark and its runner-up; and the
    parts in which there was no choice.
    """
    lines: dict[str, list[str]] = {}
    for decision in decisions:
        other = decision.get("runner_up")
        mark = "" if decision.get("reason") == "idle" else _MARKS[decision["verdict"]]
        taken = decision["taken"]
        whole = decision["choice"] == MODEL or decision["choice"].startswith(EXPERTS_OF)
        gap = " " if whole else ""
        words = f"{taken}{gap}{mark}" + (f"{gap}{other}" if mark in ("~", "?") and other else "")
        lines.setdefault(_line(decision["choice"]), []).append(words)
    rows = [
        (name, " -> ".join(words) if "expert" in name.split() else ", ".join(words))
        for name, words in lines.items()
    ]
    named = {name for name, _ in rows}
    return rows + [
        (name, words) for name, words in plain if name not in named and not _has(name, named)
    ]


def _has(name: str, named: set[str]) -> bool:
    """Whether a part is told under another name: of several levels, experts have longer ones."""
    return name.startswith("expert ") and any("expert " in other for other in named)


def _line(choice: str) -> str:
    """The line that a choice stands in."""
    if choice == MODEL:
        return "model"
    if choice.startswith(EXPERTS_OF):
        return f"{choice.removeprefix(EXPERTS_OF)} uses experts"
    name = decided.block_name(choice)
    return re.sub(r"(, block| (?=\d+$)).*", "", name) if "expert" in name else "interaction"
