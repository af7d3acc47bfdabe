"""The decisions of a search in words (see `spaces/decisions.py` for what they mean)."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from automtl.errors import counted

MODEL = "the model"  # the choice between a hand-made model and what was searched
RACE = "--set search.selection=race"
NO_BETTER = "the winner is not shown to be better than predicting the base rates"
ONE_UNIT = "one row, or one group, holds the labels of the B rows, so no two models can be compared"
_OLDER = {
    "no task uses this expert": "idle",
    "before the race was stopped": "stopped",
    "which of them, was not checked": "together",
    "was not checked (search.race_checks)": "unchecked",
}
VERDICTS = ("decided", "tied", "not decided")
UNKNOWN = "decisions unknown: an older version searched"
NO_CHOICE = "there is nothing to decide: the space has no choice"
IDLE = "there is nothing to decide: all choices are of experts that no task uses"
BETTER = "a changed copy of what was taken is shown to be better"
FEW_UNITS = 30  # below it the interval over rows or groups is wide for want of them
_MOST_SEEDS = 100  # that search.race_seeds takes
HEADER = ("choice", "taken", "runner-up", "verdict", "loss on B (95%, adjusted)", "rests on")


def decisions_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The decisions in a manifest or an architecture's provenance; [] where none are told, or what
    is there is none.
    """
    decisions = record.get("decisions")
    return [_told(d) for d in decisions if _whole(d)] if isinstance(decisions, list | tuple) else []


def sentence_and_advice(record: Mapping[str, Any]) -> tuple[str, str]:
    """What a search decided, in one sentence, and what would help to decide more ("" where nothing
    would), from its manifest or its architecture's provenance.
    """
    race = record.get("race")
    decisions, race = decisions_of(record), race if isinstance(race, Mapping) else {}
    if record.get("decisions") in ([], ()):
        return NO_CHOICE, ""
    said = headline(decisions, raced=bool(race), better="better" in race)
    return said, advice(decisions, race)


def _told(decision: Mapping[str, Any]) -> dict[str, Any]:
    """A decision with its reason, which older versions told in the evidence alone."""
    reasons = (reason for words, reason in _OLDER.items() if words in decision["evidence"])
    return {**decision, "reason": decision.get("reason", next(reasons, None))}


def _whole(decision: Any) -> bool:
    return (
        isinstance(decision, Mapping)
        and decision.get("verdict") in VERDICTS
        and all(isinstance(decision.get(name), str) for name in ("choice", "taken", "evidence"))
    )


def count(decisions: Sequence[Mapping[str, Any]], verdict: str) -> int:
    """The number of decisions with a verdict."""
    return sum(decision["verdict"] == verdict for decision in decisions)


def all_decided(decisions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there are choices, and every one that is in use is decided."""
    return bool(used := in_use(decisions)) and count(used, "decided") == len(used)


def in_use(decisions: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The choices on which something that is computed depends: there is nothing to decide at an
    expert that no task uses.
    """
    return [decision for decision in decisions if decision.get("reason") != "idle"]


def title(decisions: Sequence[Mapping[str, Any]]) -> str:
    """The title of an architecture: "found" only where every choice is decided."""
    if [decision["choice"] for decision in decisions] == [MODEL]:
        return "hand-made"
    return "found" if all_decided(decisions) else "searched"


def headline(decisions: Sequence[Mapping[str, Any]], raced: bool, *, better: bool = False) -> str:
    """The decision in one sentence, what a reader must know first. `raced`: whether candidates were
    trained alone; `better`: whether a changed copy is shown to be better.
    """
    told, decisions = len(decisions), in_use(decisions)
    if not (number := len(decisions)):
        return IDLE if told else UNKNOWN
    unused = f" ({told - number} more of experts that no task uses)" if told > number else ""
    decided, tied = count(decisions, "decided"), count(decisions, "tied")
    choices = f"{counted(number, 'choice')}{unused}"
    if decided == number:
        return f"decided: all of {choices}"
    first = [BETTER] if better else []
    if not decided and not tied:
        return f"nothing is decided, of {choices}: {BETTER if better else _why(decisions, raced)}"
    parts = [f"{decided} of {choices} decided"] if decided else [f"none of {choices} decided"]
    parts += [_listed(decisions, "decided")] if decided else []
    parts += [f"{tied} tied ({_pairs(decisions)})"] if tied else []
    rest = number - decided - tied
    return "; ".join([*first, *parts, *([f"{rest} not decided"] if rest else [])])


def _listed(decisions: Sequence[Mapping[str, Any]], verdict: str) -> str:
    return ", ".join(
        f"{block_name(d['choice'])}: {d['taken']}" for d in decisions if d["verdict"] == verdict
    )


def _pairs(decisions: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{block_name(d['choice'])}: {d['taken']}" + (f" ~ {other}" if other else "")
        for d, other in ((d, d.get("runner_up")) for d in decisions)
        if d["verdict"] == "tied"
    )


def _why(decisions: Sequence[Mapping[str, Any]], raced: bool) -> str:
    if any(isinstance(high := d.get("high"), int | float) and high < 0 for d in decisions):
        return "trainings show that another choice is better"
    if _any(decisions, "together", "only together"):
        return "some matter together, and none is shown to matter alone"
    if any(d.get("difference") is not None for d in decisions):
        return "the trainings show no difference"
    reasons = Counter(str(d["evidence"]) for d in decisions)
    if raced or len(reasons) == 1:
        return max(reasons, key=reasons.__getitem__)
    moving = sum(d.get("alpha") == "moving" for d in decisions)
    unknown = sum(d.get("alpha") == "unknown" for d in decisions)
    if not moving and not unknown:
        return "no candidate was trained alone"
    said = [f"alpha still moves in {moving}"] if moving else []
    it_moves = "it does" if moving else "alpha still moves"
    said += (
        [f"in {unknown} it is not known whether {it_moves}, after so few passes"] if unknown else []
    )
    return f"no candidate was trained alone, and {', '.join(said)}"


def advice(decisions: Sequence[Mapping[str, Any]], race: Mapping[str, Any]) -> str:
    """Advice that would help to decide more, from the race's outcome ({} where there was none); ""
    where nothing is open.
    """
    if not in_use(decisions) or all_decided(decisions):
        return ""
    if not race:
        restless = any(d.get("alpha") in ("moving", "unknown") for d in decisions)
        more = ", and for more epochs (search.epochs)" if restless else ""
        return f"to decide: search with {RACE}, which trains candidates alone{more}"
    if "finalists" not in race or _any(decisions, "stopped"):
        return "to decide: go on with the race, by --resume and a longer --time-limit"
    if _any(decisions, "one unit"):
        return "to decide: data of more rows or groups"
    take = "" if count(decisions, "decided") else _hand_made_instead(race)
    checks = "checks (search.race_checks), " if _any(decisions, "unchecked", "together") else ""
    tie = "a tie may be taken by its cost" if count(decisions, "tied") else ""
    said = f"to decide more: {checks}{_units(race)}, {_seeds(race)}or a smaller space"
    copy = "train search/better.json and compare it" if "better" in race else ""
    return "; ".join(filter(None, (said, take or tie, copy)))


def _units(race: Mapping[str, Any]) -> str:
    units = race.get("units")
    if isinstance(units, int | float) and units < FEW_UNITS and race.get("grouped"):
        return "more groups (data)"
    return "more rows (data, search.race_epochs)"


def _any(decisions: Sequence[Mapping[str, Any]], *reasons: str) -> bool:
    return any(d.get("reason") in reasons for d in decisions)


def _seeds(race: Mapping[str, Any]) -> str:
    """The advice on seeds: about how many would tell the winner from the runner-up, where that is
    what is open, or that no number that may be set would.
    """
    second = race.get("runner_up")
    plain = "seeds (search.race_seeds), "
    if not isinstance(second, Mapping) or not race.get("beats_constant"):
        return plain
    if second.get("apart") is not False or "seeds_needed" not in second:
        return plain
    needed, apart = second["seeds_needed"], "tell the winner from the runner-up"
    if isinstance(needed, int) and not isinstance(needed, bool) and needed <= _MOST_SEEDS:
        return f"seeds (search.race_seeds: about {needed} would {apart}), "
    return f"since {_MOST_SEEDS} seeds would not {apart}, "


def _hand_made_instead(race: Mapping[str, Any]) -> str:
    """The advice to take a hand-made model, where the race's winner was searched and is better than
    the base rates, but no hand-made one ran, or the best of them is not told apart from it.
    """
    if race.get("kind") == "rival" or not race.get("beats_constant"):
        return ""
    if not isinstance(rival := race.get("rival"), Mapping):
        return "no hand-made model ran beside: compare it with shared_bottom"
    if rival.get("apart") is not False:
        return ""
    name = rival.get("name")
    return f"or take {name}, not told apart from what was searched" if isinstance(name, str) else ""


def block_name(name: str) -> str:
    """A choice block as people say it: level0.pool.3.block.1 is expert 3, block 1."""
    words = re.sub(r"^level0\.pool\.(\d+)\.block\.(\d+)$", r"expert \1, block \2", name)
    words = re.sub(
        r"^level(\d+)\.([a-z]+)(\d*)\.(\d+)\.block\.(\d+)$",
        r"level \1, \2 \3 expert \4, block \5",
        words,
    )
    return re.sub(r"^interaction\.(\d+)$", r"interaction \1", words).replace("  ", " ")


def rows(decisions: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A table's rows, under `HEADER`."""
    return [
        (
            block_name(d["choice"]),
            d["taken"],
            str(d.get("runner_up") or "-"),
            d["verdict"],
            _interval(d),
            d["evidence"] + (f"; alpha {d['alpha']}" if d.get("alpha") else ""),
        )
        for d in decisions
    ]


def _interval(decision: Mapping[str, Any]) -> str:
    names = ("difference", "low", "high")
    figures = [f for name in names if isinstance(f := decision.get(name), int | float)]
    if len(figures) < len(names):
        return "not measured"
    difference, low, high = figures
    return f"{difference:+.5f} ({low:+.5f} to {high:+.5f})"
