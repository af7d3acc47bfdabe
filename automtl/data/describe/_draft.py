"""A first draft of a data set's YAML, for a person to go through: every guess has its reason beside
it.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from automtl.data.access.remote import MARK
from automtl.data.describe._guess import Guess, guess_each
from automtl.data.describe._naming import is_time_of_something_else
from automtl.data.describe._profile import Profile, look
from automtl.data.describe._relations import related
from automtl.data.describe._shapes import FEW, is_whole
from automtl.data.describe._targets import but_for_slips, is_truth, known_words, positives
from automtl.data.prepare.rows import PER_SECOND
from automtl.data.prepare.split import Cuts, Times
from automtl.data.spec.sections import Split
from automtl.data.values.patterns import LIST_SEPARATOR
from automtl.errors import counted
from automtl.strict import printable

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
WIDEST = 72  # of an entry whose comment still begins where the others' do
_PLAIN = re.compile(r"[^\W\d][\w.\-/]*( [\w.\-/]+)*")
# what YAML 1.1 or a reader of it takes for no text
_WORDS = frozenset("true false yes no on off y n null nan inf".split())


def draft(path: str | Path, name: str | None = None, *, folder: Path | None = None) -> str:
    """The text of a first YAML for a table.

    Args:
        path: a file, a folder of files, or a pattern.
        name: of the data set; the file's by default.
        folder: the YAML's, which its paths are relative to; the working directory by default.

    Raises:
        DataError: there is no table, or it has no rows.
    """
    profile = look(path)
    guesses = related(guess_each(profile.columns))
    rows = f"{'' if profile.whole else 'the first '}{counted(profile.rows, 'row')}"
    lines = [
        f"# Drafted from {rows} of {Path(str(path)).name}: each line is a guess, check all.",
        f"name: {scalar(name or _name(path))}",
        'source: ""    # where the data come from, and their licence',
        *_files(profile, str(path), folder or Path()),
        *_csv(profile, guesses),
        "features:",
        *_features(profile, guesses),
        *_derived([guess for guess in guesses if guess.kind == "time"]),
        *_tasks([guess for guess in guesses if guess.kind == "label"]),
        *_split(profile, [guess for guess in guesses if guess.kind == "time"]),
    ]
    return "\n".join(map(printable, lines)) + "\n"


def scalar(value: object) -> str:
    """A value as YAML, plain where no reader can take it for anything else, and without invisible
    signs.
    """
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def entry(settings: Mapping[str, Any]) -> str:
    """Settings as YAML on one line."""
    return (
        "{" + ", ".join(f"{scalar(key)}: {_value(value)}" for key, value in settings.items()) + "}"
    )


def _value(value: object) -> str:
    return (
        "[" + ", ".join(map(scalar, value)) + "]"
        if isinstance(value, list | tuple)
        else scalar(value)
    )


def _aligned(lines: Sequence[tuple[str, str]]) -> list[str]:
    """Entries with their comments, these one below the other."""
    width = max((len(text) for text, _ in lines if len(text) <= WIDEST), default=0)
    return [f"{text:<{width}}    # {comment}" if comment else text for text, comment in lines]


def _name(path: str | Path) -> str:
    """A data set's name after a file's, or after the folder of a pattern."""
    last = next(
        (part for part in reversed(Path(str(path)).parts) if not set(part) & set("*?[")), "data"
    )
    word = "".join(
        sign if sign.isascii() and (sign.isalnum() or sign in "_-") else "_"
        for sign in last.partition(".")[0]
    )
    return word.lstrip("_-")[:64] or "data"


def _files(profile: Profile, given: str, folder: Path) -> list[str]:
    """The files, as they were given, but relative to the YAML's folder."""
    if not profile.others:
        return [f"files: {entry({'train': _relative(given, folder)})}"]
    train = [_relative(str(path), folder) for path in profile.paths]
    others = ", ".join(path.name for path in profile.others)[:200]
    return [
        f"files: {entry({'train': train})}    # other columns than these have {others}: side "
        "tables go to `joins`"
    ]


def _relative(path: str, folder: Path) -> str:
    """A path that leads from the folder to where it leads from here; an absolute one stays, unless
    it is within the folder.
    """
    if MARK in path:
        return path
    shown = os.path.relpath(path, folder)
    if Path(path).is_absolute() and shown.startswith(".."):
        return path
    # not so where `..` meets a link
    leads_there = os.path.realpath(folder / shown) == os.path.realpath(path)
    return shown if leads_there else str(Path(path).absolute())


def _csv(profile: Profile, guesses: Sequence[Guess]) -> list[str]:
    """How the files are written, where that is not plain."""
    if (layout := profile.layout) is None:
        return []
    nameless = [
        guess
        for given, guess in zip(layout.given, guesses, strict=False)
        if not given.strip() and guess.kind != "out"
    ]
    by_header = layout.header_serves and not nameless
    csv = layout.csv if by_header or layout.csv.columns else layout.by_names
    settings = csv.model_dump(exclude_defaults=True)
    if not settings:
        return []
    remarks = ["a guess of the encoding: its texts are no UTF-8"] * ("encoding" in settings)
    remarks += ["no header was seen: give the columns their names"] * bool(layout.csv.columns)
    remarks += ["in place of the header, which does not name each column once"] * (
        not by_header and not layout.csv.columns
    )
    return [f"csv: {entry(settings)}" + (f"    # {'; '.join(remarks)}" if remarks else "")]


def _features(profile: Profile, guesses: Sequence[Guess]) -> list[str]:
    nameless = (
        set()
        if profile.layout is None
        else {i for i, given in enumerate(profile.layout.given) if not given.strip()}
    )
    unseen = [guess for i, guess in enumerate(guesses) if i in nameless and guess.kind == "out"]
    lines = [f"  # a column without a name: {guess.reason}, left out" for guess in unseen]
    return lines + _aligned(
        [_feature(guess) for guess in guesses if guess.kind != "label" and guess not in unseen]
    )


def _feature(guess: Guess) -> tuple[str, str]:
    values, used = guess.values, guess.kind not in ("out", "time")
    settings = {"name": guess.name, "kind": guess.kind if used else _plain_kind(guess)}
    text = (
        f"  {'' if used and not guess.commented else '# '}- "
        f"{entry(settings | (dict(guess.settings) if used else {}))}"
    )
    facts = [
        f"{len(values.words):,} {'lists' if guess.kind in ('multi', 'sequence') else 'values'}",
        f"such as {_example(guess)}",
    ]
    facts = facts if len(values.words) > 1 else []
    facts += [f"{percent(values.missing)} missing"] if values.missing and len(values.words) else []
    reason = (
        "a time: split by it, or derive hour and weekday" if guess.kind == "time" else guess.reason
    )
    remark = f"left out: {reason}" if guess.kind == "out" else reason
    return text, "; ".join(filter(None, [remark, ", ".join(facts)]))


def _derived(times: Sequence[Guess]) -> list[str]:
    """How a column of times would become a feature, as a comment."""
    usable = [guess for guess in times if guess.settings["unit"] != "day" and _has_each(guess)]
    if not usable:
        return []
    time, unit = usable[0], usable[0].settings["unit"]
    moments = time.values.times
    days = moments is None or not (moments.to_numpy() % (86400 * PER_SECOND[unit])).any()
    what = "weekday" if days else "hour"
    column = {
        "name": what,
        "what": what,
        "column": time.name,
        **({} if unit == "date" else {"unit": unit}),
    }
    return [
        f"# derived: [{entry(column)}]    # a column made of {time.name}; as a feature it is "
        "listed above, too"
    ]


def _plain_kind(guess: Guess) -> str:
    return (
        "multi"
        if guess.values.is_list
        else "numeric"
        if guess.values.numbers is not None
        else "categorical"
    )


def _example(guess: Guess) -> str:
    """The most frequent value, cut to a readable length."""
    word = guess.values.example.strip(LIST_SEPARATOR).replace(LIST_SEPARATOR, ", ")
    cut = word if len(word) <= 30 else f"{word[:27]}..."
    return cut if guess.values.numbers is not None else repr(cut)


def _tasks(labels: Sequence[Guess]) -> list[str]:
    used = [label for label in labels if not label.commented]
    if not used:
        return [
            "tasks:    # NONE YET: name at least one column to predict, and take it out of the "
            "features",
            "  # - {name: click, label: is_click, kind: binary}    # or regression, or multiclass",
        ]
    lines = ["tasks:    # what to predict; kinds: binary (0 and 1), regression, multiclass"]
    named: list[str] = []
    rows = [_task(label, named) for label in labels]
    for line, label in zip(_aligned(rows), labels, strict=True):
        lines += [line, *([f"  # {label.advice}"] if label.advice else [])]
    return lines


def _task(label: Guess, named: list[str]) -> tuple[str, str]:
    word = re.sub(r"\W+", "_", label.name).strip("_") or "task"
    name = next(
        n for i in range(1, len(named) + 2) if (n := word if i == 1 else f"{word}_{i}") not in named
    )
    named.append(name)
    return (
        f"  {'# ' if label.commented else ''}- "
        f"{entry({'name': name, 'label': label.name, **label.settings})}",
        _label_facts(label),
    )


def _label_facts(label: Guess) -> str:
    values, settings = label.values, label.settings
    if settings["kind"] == "binary":
        facts = [
            f"{percent(float(np.nanmean(positives(values, settings))))} are "
            f"{settings.get('positive', '1')}"
        ]
        facts += (
            []
            if is_truth(values) or but_for_slips(values)
            else [
                f"which of {' and '.join(map(repr, sorted(known_words(values))))} is 1 is a guess"
            ]
        )
    elif settings["kind"] == "multiclass":
        facts = [
            f"{counted(len(known_words(values)), 'class', 'classes')}, such as {_example(label)}"
        ]
    else:
        numbers = values.numbers
        facts = [] if numbers is None else [f"{np.nanmin(numbers):g} to {np.nanmax(numbers):g}"]
        facts += ["or kind: multiclass"] if is_whole(values) and len(values.words) <= FEW else []
    if but_for_slips(values) == settings and len(known_words(values)) > 2:
        facts.append("MEND the few other values, or kind: multiclass")
    facts += [f"{percent(values.missing)} missing"] if values.missing else []
    return "; ".join([*facts, *filter(None, [label.reason])])


def _split(profile: Profile, times: Sequence[Guess]) -> list[str]:
    """The split: by time, if a column of times has no holes and leaves rows to every part."""
    random = {"kind": "random", **SHARES}
    usable = [
        guess for guess in times if _has_each(guess) and not is_time_of_something_else(guess.name)
    ]
    best = max(usable, key=lambda guess: len(guess.values.words), default=None)
    if best is None:
        return [f"split: {entry(random)}    # or by_user, or time, with `column`"]
    if profile.whole and not _fills_all_parts(best, Split(kind="time", column=best.name)):
        return [f"split: {entry(random)}    # {best.name} has too few times to split by"]
    forms = best.values.time_forms
    order = (
        [f"times: {entry({best.name: forms[0]})}    # day and month could be either: or {forms[1]}"]
        if len(forms) > 1
        else []
    )
    return [
        *order,
        f"split: {entry({'kind': 'time', 'column': best.name, **SHARES})}    # the latest rows "
        "judge; or kind: random",
    ]


def _has_each(guess: Guess) -> bool:
    """Whether each row has a time."""
    return (
        not guess.values.missing
        and guess.values.times is not None
        and not guess.values.times.null_count
    )


def _fills_all_parts(guess: Guess, split: Split) -> bool:
    times = guess.values.times
    assert times is not None, "a column of times has times"
    rows = Times([np.sort(times.to_numpy()[guess.values.codes])])
    return bool(Cuts.of(split, rows).sizes(rows).all())


def percent(share: float) -> str:
    """A share for people: 100%, 12.3%, 0.045%."""
    return f"{100 * share:.3g}%"
