"""What a reader of an export needs of the data: vocabularies, transforms, and the code that applies
them to a row.

In the folder: `features.json` (how each input is made, for any reader), `vocabularies/<i>.jsonl`
(one word per line), `encode.py` (which reads both), and for automtl itself `schema.json` and
`dataset.json`.
"""

import json
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import pyarrow as pa

from automtl import files
from automtl.bounds import fitting
from automtl.data.prepare.rows import PER_SECOND
from automtl.data.spec.dataset import Csv, DatasetConfig
from automtl.data.spec.features import ListFeature, Numeric
from automtl.data.spec.sections import Derived, SourceFiles, Split
from automtl.data.store.encoding import SCHEMA, Encoding
from automtl.data.store.schema import Field, Schema
from automtl.data.store.snapshot import DATASET
from automtl.data.values.dates import WHOLE
from automtl.data.values.forms import missing_words
from automtl.data.values.list_texts import fillers
from automtl.strict import build

FEATURES = "features.json"
CODE = "encode.py"
WORDS = "vocabularies/{}.jsonl"


def write_encoding(folder: files.StagedFolder, store: Encoding, config: DatasetConfig) -> None:
    """Write how rows become inputs: code, features, vocabularies and settings."""
    schema, own = store.schema, portable(config)
    files.write_json(folder / FEATURES, features_of(schema, own))
    files.write_json(folder / SCHEMA, schema.model_dump(mode="json"))
    files.write_json(folder / DATASET, own.model_dump(mode="json", exclude_unset=True))
    files.write_text(
        folder / CODE, package_files("automtl.exports").joinpath(CODE).read_text(encoding="utf-8")
    )
    for i, owner in enumerate(schema.owners):
        with folder.stream(WORDS.format(i)) as lines:
            for chunk in store.vocabulary(owner)["word"].chunks:
                lines.write(
                    "".join(
                        json.dumps(word, ensure_ascii=False) + "\n" for word in chunk.to_pylist()
                    ).encode("utf-8")
                )


def portable(config: DatasetConfig) -> DatasetConfig:
    """The data set without what is of one machine or of training: rows to score bring the columns
    of side tables themselves.
    """
    paths = {"pretrained": None, "words": None}
    features = tuple(
        f if isinstance(f, Numeric) or not f.pretrained else f.model_copy(update=paths)
        for f in config.features
    )
    gone: dict[str, Any] = {
        "adapter": None,
        "joins": (),
        "vocabularies_from": None,
        "times": {},
        "split": Split(),
    }
    gone["files"] = SourceFiles(train=("rows",))
    csv = {} if config.adapter is None else {"csv": Csv(null_values=config.csv.null_values)}
    return config.model_copy(update={"features": features, **gone, **csv})


def features_of(schema: Schema, config: DatasetConfig) -> dict[str, Any]:
    """How each input is made, in plain values, and the columns that are made of a time."""
    inputs: dict[str, Any] = {
        "features": [feature_of(field, schema, config) for field in schema.fields]
    }
    used = {feature.name for feature in config.features}
    derived = [
        _derived_of(derived, schema, config) for derived in config.derived if derived.name in used
    ]
    return {**inputs, "derived": derived} if derived else inputs


def _derived_of(derived: Derived, schema: Schema, config: DatasetConfig) -> dict[str, Any]:
    clock = {
        "per_second": PER_SECOND[derived.unit],
        "offset_s": round(derived.utc_offset_hours * 3600),
    }
    written = {
        "form": schema.times.get(derived.column, WHOLE),
        "null_values": missing_words(config.csv.null_values).numbers,
    }
    return {"column": derived.name, "of": derived.column, "what": derived.what, **clock, **written}


def feature_of(field: Field, schema: Schema, config: DatasetConfig) -> dict[str, Any]:
    """How one input is made of a column, in plain values."""
    named: dict[str, Any] = {"input": field.name, "column": field.indicator_of or field.name}
    feature = {f.name: f for f in config.features}[named["column"]]
    missing = missing_words(config.csv.null_values)
    named["null_values"] = missing.numbers if isinstance(feature, Numeric) else missing.ids
    if isinstance(feature, ListFeature):
        named["null_values"] += fillers(feature.padding)
    if field.indicator_of:
        return {**named, "kind": "missing"}
    if isinstance(feature, Numeric):
        rules = {
            "missing": feature.missing,
            "fill": feature.fill,
            "transform": field.transform,
            "quantiles": field.quantiles,
        }
        return {**named, "kind": "numeric", **rules, "mean": field.mean, "std": field.std}
    words = None if field.hash_buckets else WORDS.format(schema.owners.index(field.owner))
    form = {"form": field.form, "digits": field.digits}
    ids = {
        "vocabulary": words,
        "hash_buckets": field.hash_buckets,
        **form,
        "rows": field.vocabulary_size,
    }
    lists = (
        {}
        if feature.kind == "categorical"
        else {"separator": feature.separator, "max_length": feature.max_length}
    )
    return {**named, "kind": field.kind, **ids, **lists}


class Exported:
    """The encoding of an export, as a prepared data set gives it.

    Args:
        folder: the export.
    """

    def __init__(self, folder: Path) -> None:
        # rows to score bring the columns of all side tables
        self.folder, self.left_out = folder, dict[str, str]()
        self.schema = build(Schema, files.read_json(folder / SCHEMA), folder / SCHEMA)
        self.config = build(DatasetConfig, files.read_json(folder / DATASET), folder / DATASET)
        with fitting(folder / FEATURES):
            inputs = features_of(self.schema, self.config)
            if files.read_json(folder / FEATURES) != json.loads(json.dumps(inputs)):
                raise ValueError(f"other features than {SCHEMA} and {DATASET} tell")

    def vocabulary(self, field: str) -> pa.Table:
        """The words of a field that owns a vocabulary."""
        path = self.folder / WORDS.format(self.schema.owners.index(field))
        with fitting(path), path.open(encoding="utf-8") as lines:
            return pa.table({"word": pa.array([json.loads(line) for line in lines], pa.string())})
