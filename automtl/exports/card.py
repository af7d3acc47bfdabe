"""The README of an export: how to score a row, and the model's card."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import IdFeature, Numeric
from automtl.data.store.schema import Schema
from automtl.errors import counted
from automtl.exports.formats import Format
from automtl.exports.network import output_name
from automtl.spaces.architecture import Architecture
from automtl.spaces.catalogue import SHARING
from automtl.strict import printable

UNITS = {
    "binary": "probability of 1",
    "multiclass": "one probability per class, in this order: ",
    "regression": "value in the label's unit",
}


@dataclass(frozen=True)
class Facts:
    """What a model card tells.

    Args:
        architecture: bound to the data set.
        schema: the data set.
        config: its settings.
        summary: rows and labels per split, as the store counted them.
        metrics: per split, per task, its figures.
        origin: how the model was made: seed, versions, hashes, dates.
        parity: the largest difference per output, over `rows` rows.
        rows: how many rows were compared.
        words: per field that owns a vocabulary, its first words.
        remarks: further sentences of what was done at export.
        warnings: what must be said of the model first.
    """

    architecture: Architecture
    schema: Schema
    config: DatasetConfig
    summary: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Mapping[str, Any]]]
    origin: Mapping[str, Any]
    parity: Mapping[str, float]
    rows: int
    words: Mapping[str, str]
    remarks: Sequence[str] = field(default_factory=tuple)
    warnings: Sequence[str] = field(default_factory=tuple)


def readme(facts: Facts, form: Format) -> str:
    """The whole README, in Markdown."""
    parts = [_title, _score, _inputs, _outputs, _quality, _data, _limits, _origin]
    return "\n\n".join(part(facts, form) for part in parts) + "\n"


def _title(facts: Facts, form: Format) -> str:
    arch = facts.architecture
    tasks = ", ".join(f"{_escaped(t.name)} ({t.kind})" for t in facts.schema.tasks)
    kind = f"`{arch.sharing.kind}` ({SHARING[arch.sharing.kind].source})"
    named = f"architecture `{_escaped(arch.name)}`, " if arch.name else ""
    return (
        f"# {_escaped(facts.schema.name)}: a multi-task model, {form.title}\n\n"
        f"It predicts {tasks} from "
        f"{counted(len({f.indicator_of or f.name for f in facts.schema.fields}), 'column')}; "
        f"{named}{counted(len(arch.experts), 'expert')} shared by {kind}; `architecture.json` "
        "has it whole."
        + "".join(f"\n\n**This model is {_escaped(warning, 3000)}.**" for warning in facts.warnings)
    )


def _score(facts: Facts, form: Format) -> str:
    row = printable(json.dumps(example_row(facts), ensure_ascii=False, indent=4), keep="\n")
    literal = (
        row.replace(": null", ": None").replace(": true", ": True").replace(": false", ": False")
    )
    derived = [
        f"`{_escaped(d.name)}` is the {d.what} of `{_escaped(d.column)}`"
        for d in facts.config.derived
        if d.name in example_row(facts)
    ]
    code = f"```python\nrow = {literal}\n\n{form.example}```"
    return "\n\n".join(
        ["## Score a row", "In this folder, as Python:", code, _needs(form), *derived]
    )


def _needs(form: Format) -> str:
    rows_of = "this folder" if form.title == "ONNX" else "the run that this was made from"
    return (
        f"It needs {form.runs_with} and numpy. `encode.py` makes the inputs of rows as people "
        "write them, as they were made at training; "
        "for another language, `features.json` says the same as data. `automtl predict` scores "
        f"whole files with {rows_of}."
    )


def example_row(facts: Facts) -> dict[str, Any]:
    """A made-up row: each column's first word, or mean."""
    fields = {field.name: field for field in facts.schema.fields}
    return {
        f.name: _middle(fields[f.name]) if isinstance(f, Numeric) else _word(f, facts)
        for f in facts.config.features
    }


def _middle(numeric: Any) -> float:
    """A number in the middle of the training rows'."""
    if numeric.quantiles:
        return float(numeric.quantiles[len(numeric.quantiles) // 2])
    return round(float(np.expm1(numeric.mean) if numeric.transform == "log1p" else numeric.mean), 3)


def _word(feature: IdFeature, facts: Facts) -> Any:
    word = facts.words.get(feature.share_embedding or feature.name, "a")
    return word if feature.kind == "categorical" else [word]


def _inputs(facts: Facts, form: Format) -> str:
    rows = []
    for one in facts.schema.fields:
        shape = {"categorical": "(B,) int64", "numeric": "(B,) float32"}.get(
            one.kind, "(B, L) int64, padded by 0"
        )
        origin = _made_of(one)
        rows.append((f"`{_escaped(one.name)}`", shape, origin))
    said = (
        "One per feature, by its name. B rows, at least one, L at least one; sizes may differ "
        "from call to call."
    )
    return f"## Inputs\n\n{said}\n\n" + _table(("input", "shape", "made of"), rows)


def _made_of(one: Any) -> str:
    if one.indicator_of:
        return f"1 where `{_escaped(one.indicator_of)}` is missing, else 0"
    if one.kind == "numeric":
        rank = {"log1p": "log(1 + x), ", "quantile": "normal score, ", "none": ""}[one.transform]
        return f"{rank}standardised by mean {one.mean:.6g} and deviation {one.std:.6g}; missing: 0"
    ids = (
        f"hashed to 1 to {one.hash_buckets}"
        if one.hash_buckets
        else f"id 1 to {one.vocabulary_size - 1} of its vocabulary"
    )
    zero = (
        "unknown or missing" if one.kind == "categorical" else "nothing; unknown ids are left out"
    )
    return f"{ids}; 0: {zero}"


def _outputs(facts: Facts, form: Format) -> str:
    rows = []
    for task in facts.schema.tasks:
        shape = f"(B, {task.classes})" if task.kind == "multiclass" else "(B,)"
        classes = (
            ", ".join(_escaped(name) for name in task.class_names)
            if task.kind == "multiclass"
            else ""
        )
        rows.append(
            (f"`{_escaped(output_name(task))}`", f"{shape} float32", UNITS[task.kind] + classes)
        )
    return "## Outputs\n\n" + _table(("output", "shape", "is"), rows)


def _quality(facts: Facts, form: Format) -> str:
    names = list(
        dict.fromkeys(
            metric for split in facts.metrics.values() for task in split.values() for metric in task
        )
    )
    rows = [
        (_escaped(task), split, *(_figure(figures.get(name, "")) for name in names))
        for split, tasks in facts.metrics.items()
        for task, figures in tasks.items()
    ]
    logs = [t.name for t in facts.schema.tasks if t.transform == "log1p"]
    unit = (
        f" RMSE and MAE of {', '.join(map(_escaped, logs))} are of log(1 + label)." if logs else ""
    )
    said = "Validation rows chose the epoch, so their figures flatter; test rows chose nothing."
    missing = (
        ""
        if "test" in facts.metrics
        else " The test rows have not been read: `automtl evaluate` reads them."
    )
    return f"## How good it is\n\n{said}{missing}{unit}\n\n" + _table(
        ("task", "rows of", *names), rows
    )


def _data(facts: Facts, form: Format) -> str:
    counted = facts.summary["rows"]
    counts = {
        "train": counted["fit"] + counted["alpha"],
        "validation": counted["validation"],
        "test": counted["test"],
    }
    rows = []
    for task in facts.schema.tasks:
        known = facts.summary["tasks"][task.name]
        for split in counts:
            positives = f"{known['positives'][split]:,}" if known["positives"] else ""
            rows.append(
                (
                    _escaped(task.name),
                    split,
                    f"{counts[split]:,}",
                    f"{known['labelled'][split]:,}",
                    positives,
                )
            )
    source = _escaped(facts.config.source) or "not said: the data set's YAML has no `source:`"
    return f"## Data\n\nSource and licence: {source}\n\n" + _table(
        ("task", "split", "rows", "labelled", "positives"), rows
    )


def _limits(facts: Facts, form: Format) -> str:
    lines = [
        "It knows rows like those it was trained on; on others (another time, market or "
        "audience) its figures above promise nothing.",
        "An id that training never met is the unknown id, 0, whichever it is; a missing number "
        "counts as the mean of the training rows.",
        "A column that has lost its meaning (another unit, another coding) is not noticed: "
        "watch the inputs' distributions.",
        f"Probabilities are {_corrected(facts)}; `calibration` above is predicted over observed "
        "positives.",
        "It was not examined for how it treats groups of people; `automtl evaluate --by COLUMN` "
        "does that where the column is kept.",
        "The vocabularies list the ids of the training rows: this folder is as confidential as "
        "those.",
        *form.limits,
    ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _corrected(facts: Facts) -> str:
    """What was done to probabilities after the training."""
    shares = [
        f"{_escaped(t.name)} ({t.negatives_kept:g} kept)"
        for t in facts.schema.tasks
        if t.negatives_kept < 1
    ]
    rest = "as trained, not recalibrated"
    return (
        f"corrected for the negatives that the log left out of {', '.join(shares)}, else {rest}"
        if shares
        else rest
    )


def _origin(facts: Facts, form: Format) -> str:
    lines = [f"- {name}: {_escaped(str(value))}" for name, value in facts.origin.items()]
    worst = ", ".join(f"{_escaped(name)} {value:.2g}" for name, value in facts.parity.items())
    lines += [f"- {remark}" for remark in facts.remarks]
    lines.append(
        f"- checked at export against the network itself on {facts.rows:,} rows, one of them of "
        "unseen ids and missing numbers; "
        f"largest difference (probabilities absolute, values relative): {worst}"
    )
    return (
        "## How it was made\n\n"
        + "\n".join(lines)
        + "\n\n`manifest.json` has the checksum of every file."
    )


def _figure(value: Any) -> str:
    return (
        "undefined"
        if value is None
        else value
        if isinstance(value, str)
        else f"{value:,}"
        if isinstance(value, int)
        else f"{value:.5f}"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(
        "| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)
    )


def _escaped(name: str, most: int = 300) -> str:
    """A user's text as one safe piece of Markdown: no control signs, no table bars, no code marks,
    no HTML.
    """
    shown = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in name[:most])
    return shown.replace("|", "/").replace("`", "'").replace("<", "‹").replace(">", "›").strip()


def first_words(vocabularies: Mapping[str, pa.Table]) -> dict[str, str]:
    """The first word of each vocabulary that has one."""
    return {name: table["word"][0].as_py() for name, table in vocabularies.items() if len(table)}
