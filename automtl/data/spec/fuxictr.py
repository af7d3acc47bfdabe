"""FuxiCTR's `dataset_config.yaml` as a data set of ours."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automtl.bounds import fitting
from automtl.data.spec.dataset import DatasetConfig
from automtl.errors import ConfigError
from automtl.strict import build, load_yaml, nearest, printable

KINDS = {"categorical": "categorical", "numeric": "numeric", "sequence": "sequence"}
KNOWN = (
    "name active dtype type splitter max_len share_embedding min_categr_count embedding_dim "
    "fill_na source".split()
)
FILES = {"train": "train_data", "validation": "valid_data", "test": "test_data"}


def from_fuxictr(path: Path, dataset_id: str | None = None) -> str:
    """The YAML text of one of a file's data sets; what has no counterpart is left out, and said in
    a comment.

    Args:
        path: the dataset_config.yaml.
        dataset_id: which of its data sets; may be left out where there is one.

    Raises:
        ConfigError: no such data set, or something in it that cannot be a data set of ours.
    """
    data_sets = load_yaml(path)
    if not isinstance(data_sets, Mapping) or not all(
        isinstance(value, Mapping) for value in data_sets.values()
    ):
        raise ConfigError(
            path,
            "must hold data sets by their ids",
            type(data_sets).__name__,
            "is this FuxiCTR's dataset_config.yaml?",
        )
    if dataset_id is None and len(data_sets) > 1:
        choice = f"choose from {', '.join(map(str, data_sets))}"
        raise ConfigError(
            "--id", "must name one of the file's data sets", f"{len(data_sets)} of them", choice
        )
    if not data_sets or not all(isinstance(name, str) for name in data_sets):
        raise ConfigError(
            path,
            "must hold data sets by their ids",
            ", ".join(map(repr, data_sets))[:200] or "none",
            "write the ids as text",
        )
    chosen = dataset_id or next(iter(data_sets))
    if chosen not in data_sets:
        raise ConfigError(
            "--id", "must be one of the file's data sets", chosen, nearest(chosen, data_sets)
        )
    with fitting(
        path, "must be FuxiCTR's dataset_config.yaml", "mend it, or write the data set by hand"
    ):
        return _yaml(data_sets[chosen], chosen, path)


def _yaml(given: Mapping[str, Any], name: str, path: Path) -> str:
    ignored: list[str] = []
    files = {
        role: str((path.absolute().parent / given[key]).resolve())
        for role, key in FILES.items()
        if given.get(key)
    }
    features = [
        entry
        for column in given.get("feature_cols", ())
        for entry in _features(column, given, ignored)
    ]
    labels = given.get("label_col", ())
    names = [label["name"] for label in ([labels] if isinstance(labels, Mapping) else labels)]
    tasks = [{"name": label, "label": label, "kind": "binary"} for label in names]
    plain: dict[str, Any] = {
        "name": name,
        "source": f"FuxiCTR's {path.name}",
        "files": files,
        "features": features,
        "tasks": tasks,
    }
    plain |= {"split": {"kind": "files" if "test" in files else "random"}}
    plain |= {"group": given["group_id"]} if given.get("group_id") else {}
    build(DatasetConfig, plain, f"{path}: {name}")
    lines = [
        f"{key}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in plain.items()
        if key not in ("features", "tasks")
    ]
    for key in ("features", "tasks"):
        lines += [
            f"{key}:",
            *(f"  - {json.dumps(entry, ensure_ascii=False)}" for entry in plain[key]),
        ]
    return "".join(
        f"{printable(line)}\n" for line in [*lines, *(f"# left out: {what}" for what in ignored)]
    )


def _features(
    column: Mapping[str, Any], given: Mapping[str, Any], ignored: list[str]
) -> list[dict[str, Any]]:
    """One entry per name of a column entry."""
    names = [column["name"]] if isinstance(column["name"], str) else list(column["name"])
    if column.get("active") is False:
        return []
    kind = KINDS.get(column.get("type", ""))
    if kind is None:
        ignored += [f"{name}: type {column.get('type')}" for name in names]
        return []
    ignored += [f"{', '.join(names)}: {key} {column[key]!r}" for key in column if key not in KNOWN]
    entry: dict[str, Any] = {"kind": kind}
    if kind == "sequence":
        entry |= {
            "separator": column.get("splitter", "^"),
            "max_length": int(column.get("max_len") or 50),
        }
    least = int(column.get("min_categr_count", given.get("min_categr_count", 1)))
    if kind != "numeric" and column.get("share_embedding"):
        entry["share_embedding"] = column["share_embedding"]
    elif kind != "numeric":
        entry |= {"min_count": least} if least > 1 else {}
        entry |= {"embedding_dim": column["embedding_dim"]} if column.get("embedding_dim") else {}
    return [{"name": name, **entry} for name in names]
