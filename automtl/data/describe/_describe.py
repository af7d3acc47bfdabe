"""What is in a prepared data set, as plain data for people and machines."""

from typing import Any

from automtl.data.prepare.remarks import remarks
from automtl.data.prepare.split import PARTS
from automtl.data.store import Store
from automtl.data.store.schema import SPLITS, Field, Task


def describe(store: Store) -> dict[str, Any]:
    """Rows per split, fields, tasks and hashes; from the store's own records, so that no row is
    read.

    A field's `missing_share` is the share of training rows without a value or with an id too rare
    to be known, `unknown_share` that of each split's rows without an id that the training rows
    have; `missing_words` says which words for a missing value a column has, and in how many rows. A
    task's `label_share` and `positive_rate` (binary, of the labelled rows) are per split, None
    where there is nothing to divide by; its `rates` are per part, and `p` says how likely chance
    alone makes them differ as much, None where there are too few to tell. `copies` counts the rows
    that are exact copies of others, and the rows of validation and test that are copies of training
    rows.
    """
    rows = store.summary["rows"]
    copies, tasks = store.summary["copies"], store.summary["tasks"]
    splits = {
        "train": rows["fit"] + rows["alpha"],
        "validation": rows["validation"],
        "test": rows["test"],
    }
    return {
        "name": store.schema.name,
        "path": str(store.path),
        "parts": list(PARTS),
        "rows": {**splits, "fit": rows["fit"], "alpha": rows["alpha"]},
        "copies": {"rows": copies["rows"], "share": copies["rows"] / sum(rows.values())}
        | {f"{split}_share": copies[split] / rows[split] for split in ("validation", "test")},
        "fields": [
            {**_field(field, splits["train"]), **_unknown(field, store.summary, splits)}
            for field in store.schema.fields
        ],
        "missing_words": store.summary["missing"],
        "tasks": [_task(task, tasks[task.name], splits) for task in store.schema.tasks],
        "remarks": remarks(store.summary),
        "hashes": {
            name: getattr(store.schema, name) for name in ("data_hash", "split_hash", "config_hash")
        },
        "sources": store.sources,
    }


def _field(field: Field, train_rows: int) -> dict[str, Any]:
    own = (
        {"vocabulary_size": field.vocabulary_size}
        if field.kind != "numeric"
        else {"mean": field.mean, "std": field.std}
    )
    return {
        "name": field.name,
        "kind": field.kind,
        "missing_share": field.unknown_count / train_rows,
        **own,
    }


def _unknown(field: Field, summary: dict[str, Any], rows: dict[str, int]) -> dict[str, Any]:
    if field.kind == "numeric":
        return {}
    return {
        "form": field.form,
        "unknown_share": {
            split: summary["unknown"][field.name][split] / rows[split] for split in SPLITS
        },
    }


def _task(task: Task, counts: dict[str, Any], rows: dict[str, int]) -> dict[str, Any]:
    labelled, positives = counts["labelled"], counts["positives"]
    facts: dict[str, Any] = {"name": task.name, "kind": task.kind, "weight": task.weight}
    facts["label_share"] = {split: labelled[split] / rows[split] for split in SPLITS}
    if task.kind == "binary":
        facts["positive_rate"] = {
            split: positives[split] / labelled[split] if labelled[split] else None
            for split in SPLITS
        }
    facts |= {"rates": counts["rates"], "p": counts["p"]}
    if task.kind == "regression":
        facts |= {"mean": task.mean, "std": task.std}
    if task.kind == "multiclass":
        facts["classes"] = counts["classes"]
    return facts
