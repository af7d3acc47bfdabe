"""A first draft of a data set's YAML, for a person to go through: every guess has its reason beside it."""

import json
from pathlib import Path

from automtl.data.profile import AFTERWARDS, Column, Profile, look, separator_of
from automtl.data.sources import is_delimited, open_table
from automtl.data.words import as_text
from automtl.strict import printable

COMMENT = "    # "


def draft(path: Path, name: str | None = None) -> str:
    """The text of a first YAML for a table.

    Args:
        path: a CSV or Parquet file.
        name: of the data set; the file's by default.

    Raises:
        DataError: it is no table, or has no rows.
    """
    profile = look(path)
    labels = [column for column in profile.columns if column.kind == "label"]
    times = [column for column in profile.columns if column.kind == "time"]
    lines = [
        f"# Drafted from the first {profile.rows:,} rows of {path.name}: every line is a guess, to be checked.",
        f"name: {json.dumps(name or _name(path))}",
        'source: ""    # where the data come from, and their licence',
        f"files: {{train: {json.dumps(str(path.absolute()))}}}",
        *_csv(profile),
        "features:",
        *(_feature(column, profile) for column in profile.columns if column.kind != "label"),
        "tasks:    # what to predict; kinds: binary (0 and 1), regression, multiclass",
        *([_task(label) for label in labels] or ["  # - {name: click, label: is_click}    # no column looked like a label: name one"]),
        *_split(times),
    ]
    return "\n".join(map(printable, lines)) + "\n"


def _name(path: Path) -> str:
    word = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_-") else "_" for sign in path.name.partition(".")[0])
    return word.lstrip("_-")[:64] or "data"


def _csv(profile: Profile) -> list[str]:
    given = {} if profile.csv.delimiter == "," else {"delimiter": profile.csv.delimiter}
    if profile.csv.columns:
        return [f"csv: {json.dumps({**given, 'columns': list(profile.csv.columns)})}    # no header was seen: give the columns their names"]
    return [f"csv: {json.dumps(given)}"] if given else []


def _feature(column: Column, profile: Profile) -> str:
    entry = {"name": column.name, "kind": column.kind if column.kind in ("numeric", "multi") else "categorical"}
    if column.kind == "multi" and is_delimited(profile.path):
        entry["separator"] = _separator(column, profile)
    facts = [f"{column.distinct:,} values" if column.distinct else "lists", f"for example {column.example!r}"]
    facts += [f"{column.missing:.1%} missing"] if column.missing else []
    line = f"  - {json.dumps(entry, ensure_ascii=False)}{COMMENT}{', '.join(facts)}"
    reason = {"constant": "one value only: nothing to learn", "time": "a time: split by it, or derive hour and weekday"}.get(column.kind)
    if column.leaks:
        told = ", ".join(f"{label} (AUC {auc:.3f})" for label, auc in column.leaks)
        reason = f"LEAK? it alone tells {told}: known before the outcome?"
    elif reason is None and AFTERWARDS.search(column.name):
        reason = "LEAK? by its name it is known only after the outcome, or counts outcomes"
    return line if reason is None else f"  # {line.strip()}; {reason}"


def _separator(column: Column, profile: Profile) -> str:
    for batch in open_table(profile.path, profile.csv):
        words = [word for word in as_text(batch.column(column.name)).dictionary.to_pylist() if word.strip()]
        if sign := separator_of(words):
            return sign
    return ","


def _task(label: Column) -> str:
    binary = label.words == ("0", "1")
    entry = {"name": label.name, "label": label.name, "kind": "binary" if binary else "multiclass"}
    told = [f"{name} (AUC {auc:.3f})" for name, auc in label.leaks]
    note = f"its values are {' and '.join(map(repr, label.words))}" + (f"; goes with {', '.join(told)}" if told else "")
    return f"  - {json.dumps(entry, ensure_ascii=False)}{COMMENT}{note}"


def _split(times: list[Column]) -> list[str]:
    random = "split: {kind: random, train: 0.8, validation: 0.1, test: 0.1}"
    if not times:
        return [f"{random}{COMMENT}or by_user, or time, with `column`"]
    by_time = {"kind": "time", "column": times[0].name, "train": 0.8, "validation": 0.1, "test": 0.1}
    return [f"split: {json.dumps(by_time)}{COMMENT}the latest rows judge; or: {random.removeprefix('split: ')}"]
