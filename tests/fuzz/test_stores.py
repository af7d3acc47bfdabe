"""Readers of strangers' prepared data, vectors, exports and FuxiCTR files: sums that are true do
not make their content true.
"""

import contextlib
import io
import json
import shutil
import struct
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import safetensors.numpy
import yaml
from hypothesis import strategies as st

from automtl import files
from automtl.data.prepare._pretrained import _read
from automtl.data.prepare.frames import as_table
from automtl.data.prepare.new_rows import Server
from automtl.data.spec.dataset import load_dataset
from automtl.data.spec.features import Categorical
from automtl.data.spec.fuxictr import from_fuxictr
from automtl.data.store import Store
from automtl.data.store.batches import Batches
from automtl.data.store.encoding import checksum
from automtl.data.store.snapshot import Snapshot, keep
from automtl.errors import ArtifactError, AutoMTLError
from automtl.exports.encoding import Exported, write_encoding
from automtl.exports.folder import open_export, write_manifest
from automtl.runs import checkpoint
from automtl.strict import build, parse_yaml
from tests.data.tables import FEATURES, TASKS, frame, prepared
from tests.fuzz.damage import NAMES, VALUES, damaged, damaged_bytes
from tests.fuzz.fuzz import fuzz

KINDS = [
    "<i4",
    "<i8",
    "<f4",
    "<f8",
    "|u1",
    "|b1",
    "<U3",
    "|O",
    "<c8",
    "<M8[s]",
    "|V4",
    "[('a', '<i4')]",
]
NPY = (
    b"(",
    b"'descr'",
    b"|O",
    b"<f8",
    b"True",
    b"9" * 12,
    b"-1",
    b"}",
    b"\x93NUMPY\x02\x00",
    b"PK\x03\x04",
)


@cache
def made():
    """A prepared data set with lists, kept columns and pretrained vectors, its files, and its
    export's.
    """
    folder = Path(mkdtemp())
    np.save(folder / "vectors.npy", np.ones((40, 3), np.float32))
    rows = frame(60).assign(tags="a,b", other=lambda f: f["tag"])
    user = {"name": "user", "kind": "categorical", "embedding_dim": 3, "pretrained": "vectors.npy"}
    lists = [
        {"name": "tags", "kind": "multi", "max_length": 3},
        {"name": "other", "kind": "categorical", "share_embedding": "tag"},
    ]
    tasks = [TASKS[0], {**TASKS[1], "sample_weight": "price_of"}]
    rows["price_of"] = 1.5
    store = prepared(
        folder, rows, features=[user, *FEATURES[1:], *lists], tasks=tasks, keep=["time"]
    )
    with files.StagedFolder(folder / "export") as staged:
        write_encoding(staged, store, load_dataset(folder / "toy.yaml"))
        write_manifest(staged, {"kind": "onnx"})
    return held(store.path), held(folder / "export"), rows


def held(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def put(folder, whole, changed):
    """Whole files, but some changed; the notes of sums made true."""
    for name, data in {**whole, **changed}.items():
        path = folder / name
        if not path.exists() or path.stat().st_size != len(data) or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # an array of the case before may still be mapped
            path.write_bytes(data)


def summed(whole, changed):
    return {
        name: {"bytes": len(data), "sha256": sha256(data).hexdigest()}
        for name, data in {**whole, **changed}.items()
        if name != "manifest.json"
    }


def sealed_store(whole, changed, body=None):
    body = json.loads(whole["manifest.json"]) if body is None else body
    if isinstance(body, dict):
        body = {key: value for key, value in body.items() if key != "checksum"}
        body = (
            {**body, "files": summed(whole, changed)}
            if isinstance(body.get("files"), dict) and changed
            else body
        )
        body = {**body, "checksum": checksum(body)}
    return json.dumps(body).encode()


def look(path):
    """All that a run reads of a store."""
    store = Store.open(path)
    for name in store.schema.owners:
        store.vocabulary(name)["word"].to_pylist()
    for name in store.schema.kept:
        store.kept_words(name)["word"].to_pylist()
    store.vectors()
    for split in ("train", "validation", "test"):
        for batch in Batches(store.rows(split), batch_size=16).epoch(0):
            assert batch.inputs.ids.shape == (len(batch), len(store.schema.categorical))
            assert batch.labels.shape == (len(batch), len(store.schema.tasks))
    assert len(store.alpha_index) + len(store.fit_index) == len(store.rows("train"))


def npy(dtype, shape, order, values):
    """An .npy file of any form, its header as numpy writes it."""
    sink = io.BytesIO()
    head = {
        "descr": dtype if dtype[0] != "[" else [("a", "<i4")],
        "fortran_order": order,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(sink, head)
    return sink.getvalue() + values


SHAPES = st.lists(
    st.sampled_from([0, 1, 2, 3, 6, 46, 55, 61, 10**6, 10**12, 2**63, -1]), max_size=3
).map(tuple)
ARRAYS = st.builds(
    npy,
    st.sampled_from(KINDS),
    SHAPES,
    st.booleans(),
    st.binary(max_size=80) | st.just(bytes(2000)),
)
PARTS = sorted(
    name
    for name in (
        "ids",
        "dense",
        "labels",
        "weights",
        "kept",
        "alpha",
        "lists/0.values",
        "lists/0.offsets",
    )
)


@fuzz(part=st.sampled_from([*PARTS, "vectors/0"]), data=st.data())
def test_an_array_of_a_sealed_store_is_read_or_refused_in_words(part, data, folder):
    whole = made()[0]
    name = f"{part}.npy" if part.startswith("vectors") else f"train/{part}.npy"
    array = data.draw(damaged_bytes(st.just(whole[name]), NPY) | ARRAYS)
    put(folder, whole, {name: array, "manifest.json": sealed_store(whole, {name: array})})
    with contextlib.suppress(AutoMTLError):
        look(folder)


ARROW = (b"ARROW1\0\0", b"\xff\xff\xff\xff", b"\x7f" * 8, b"word", b"\xff\xff\xff\x7f")


def table_bytes(table):
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


TABLES = st.sampled_from(
    [
        pa.table({"word": [1, 2], "count": [1, 2]}),
        pa.table({"word": ["a"]}),
        pa.table({"word": ["a", None], "count": [None, 2]}),
        pa.table({"count": [1], "word": ["a"]}),
        pa.table({"word": [["a"]], "count": [1]}),
    ]
).map(table_bytes)


@fuzz(
    name=st.sampled_from(["vocabularies/0.arrow", "vocabularies/1.arrow", "kept/0.arrow"]),
    data=st.data(),
)
def test_words_of_a_sealed_store_are_read_or_refused_in_words(name, data, folder):
    whole = made()[0]
    words = data.draw(damaged_bytes(st.just(whole[name]), ARROW) | TABLES)
    put(folder, whole, {name: words, "manifest.json": sealed_store(whole, {name: words})})
    with contextlib.suppress(AutoMTLError):
        look(folder)


@fuzz(name=st.sampled_from(["manifest.json", "schema.json"]), data=st.data())
def test_documents_of_a_sealed_store_are_read_or_refused_in_words(name, data, folder):
    whole = made()[0]
    document = data.draw(damaged(st.just(json.loads(whole[name]))) | VALUES)
    if name == "manifest.json":
        changed = {name: sealed_store(whole, {}, document)}
    else:
        changed = {name: json.dumps(document).encode()}
        changed["manifest.json"] = sealed_store(whole, changed)
    put(folder, whole, changed)
    with contextlib.suppress(AutoMTLError):
        look(folder)


@fuzz(data=damaged_bytes(ARRAYS, NPY) | ARRAYS | st.binary(max_size=100))
def test_vectors_of_anything_are_floats_or_refused_in_words(data, folder):
    (folder / "it.npy").write_bytes(data)
    feature = build(
        Categorical,
        {"name": "x", "kind": "categorical", "embedding_dim": 3, "pretrained": "it.npy"},
        "it",
    )
    with contextlib.suppress(AutoMTLError):
        found = _read(folder / "it.npy", feature)
        assert found.ndim == 2 and found.dtype.kind == "f" and found.nbytes <= len(data)


DOCUMENTS = [
    "manifest.json",
    "schema.json",
    "dataset.json",
    "features.json",
    "vocabularies/0.jsonl",
]


@fuzz(name=st.sampled_from(DOCUMENTS), data=st.data())
def test_a_sealed_export_of_anything_is_read_or_refused_in_words(name, data, folder):
    _, whole, rows = made()
    if name.endswith("jsonl"):
        content = data.draw(
            damaged_bytes(
                st.just(whole[name]), (b'"', b"\n", b"{}", b"1", b"\xff", b'"\\ud800"', b"[" * 200)
            )
        )
    else:
        content = json.dumps(data.draw(damaged(st.just(json.loads(whole[name]))) | VALUES)).encode()
    changed = {name: content}
    if name != "manifest.json":
        changed["manifest.json"] = json.dumps(
            {**json.loads(whole["manifest.json"]), "files": summed(whole, changed)}
        ).encode()
    put(folder, whole, changed)
    with contextlib.suppress(AutoMTLError):
        assert isinstance(open_export(folder)["kind"], str)
        export = Exported(folder)
        server = Server(export, export.config, say=lambda text: None)
        for part in server.table(as_table(pd.DataFrame(rows.head(5))), ()):
            assert len(part.rows) == 5


@cache
def kept():
    """A snapshot with a side table, its files, and rows to serve."""
    folder = Path(mkdtemp())
    rows, side = frame(60), pd.DataFrame({"user": range(40), "size": 1.5, "shop": "a"})
    side.to_csv(folder / "side.csv", index=False)
    features = [
        *FEATURES,
        {"name": "size", "kind": "numeric"},
        {"name": "shop", "kind": "categorical"},
    ]
    store = prepared(folder, rows, features=features, joins=[{"file": "side.csv", "on": "user"}])
    snapshot = keep(store, load_dataset(folder / "toy.yaml"), folder / "data", most_bytes=10**6)
    return held(snapshot.path), rows


def test_a_snapshot_of_other_features_is_refused_by_file(tmp_path):
    whole, config = kept()[0], json.loads(kept()[0]["dataset.json"])
    for features, got in (
        ([f for f in config["features"] if f["name"] != "user"], "shop"),
        ([{**f, "name": f"{f['name']}2"} for f in config["features"]], "2"),
        ([{**f, "kind": "categorical"} for f in config["features"]], "price"),
    ):
        changed = {
            "dataset.json": json.dumps({**config, "joins": [], "features": features}).encode()
        }
        changed["manifest.json"] = sealed_store(whole, changed)
        path = tmp_path / checksum(json.loads(changed["manifest.json"])["files"])[:16]
        put(path, whole, changed)
        with pytest.raises(
            ArtifactError, match=r"dataset.json: must have the categorical feat"
        ) as e:
            Snapshot.open(path).served()
        assert got in str(e.value).partition("got ")[2]


KEPT = ["manifest.json", "schema.json", "dataset.json", "vocabularies/0.arrow", "sides/0.parquet"]


@fuzz(name=st.sampled_from(KEPT), data=st.data())
def test_a_sealed_snapshot_of_anything_is_read_or_refused_in_words(name, data, folder):
    whole, rows = kept()
    if not name.endswith("json"):
        content = data.draw(damaged_bytes(st.just(whole[name]), ARROW) | TABLES)
    else:
        content = json.dumps(data.draw(damaged(st.just(json.loads(whole[name]))) | VALUES)).encode()
    changed = {name: content}
    changed["manifest.json"] = sealed_store(
        whole, *(({}, json.loads(content)) if name == "manifest.json" else (changed,))
    )
    manifest = json.loads(changed["manifest.json"])
    path = folder / checksum(manifest.get("files") if isinstance(manifest, dict) else None)[:16]
    put(path, whole, changed)
    with contextlib.suppress(AutoMTLError):
        snapshot = Snapshot.open(path)
        server = Server(snapshot, snapshot.served(), say=lambda text: None)
        for part in server.table(as_table(rows.head(5)), ()):
            assert len(part.rows) == 5
    shutil.rmtree(path)


FUXI = {
    "tiny": {
        "data_format": "csv",
        "train_data": "./train.csv",
        "valid_data": "./valid.csv",
        "test_data": "./test.csv",
        "min_categr_count": 2,
        "feature_cols": [
            {"name": ["user", "item"], "active": True, "dtype": "str", "type": "categorical"},
            {
                "name": "tags",
                "dtype": "str",
                "type": "sequence",
                "splitter": "^",
                "max_len": 5,
                "share_embedding": "item",
            },
            {"name": "price", "dtype": "float", "type": "numeric", "preprocess": "log"},
        ],
        "label_col": {"name": "click", "dtype": "float"},
    }
}


@fuzz(document=damaged(st.just(FUXI), most=2) | VALUES, name=st.none() | NAMES)
def test_a_fuxictr_file_of_anything_becomes_a_data_set_or_is_refused_in_words(
    document, name, folder
):
    path = folder / "dataset_config.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True))
    with contextlib.suppress(AutoMTLError):
        text = from_fuxictr(path, name)
        (folder / "made.yaml").write_text(text)
        load_dataset(folder / "made.yaml")
        keys = {line.partition(":")[0] for line in text.splitlines() if line[0] not in "# "}
        assert keys <= {*parse_yaml(text, "made")}, "nothing put in"


HEADER = {
    "net.a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "net.b": {"dtype": "I64", "shape": [], "data_offsets": [24, 32]},
    "net.c": {"dtype": "U8", "shape": [0, 4], "data_offsets": [32, 32]},
}
SIZES = st.sampled_from([0, 1, 2**20, 2**40, 2**63, 2**64 - 1])


@fuzz(
    header=damaged(st.just(HEADER), most=4),
    size=st.none() | SIZES,
    tail=st.integers(0, 64),
    blanks=st.integers(0, 9),
)
def test_a_safetensors_header_of_anything_is_read_within_its_file_or_refused(
    header, size, tail, blanks, folder
):
    path = folder / "it.safetensors"
    packed = json.dumps(header).encode() + b" " * blanks
    body = struct.pack("<Q", len(packed) if size is None else size) + packed + bytes(tail)
    # whoever seals needs to read it; what cannot be read is met unsealed
    with contextlib.suppress(Exception):
        arrays = safetensors.numpy.load(body)
        tree = json.dumps({"$map": [[name, {"$tensor": name}] for name in arrays]})
        body = safetensors.numpy.save(
            arrays, {"tree": tree, "sha256": checkpoint._digest(tree, arrays)}
        )
    path.write_bytes(body)
    with contextlib.suppress(AutoMTLError):
        assert sum(
            tensor.numel() * tensor.element_size() for tensor in checkpoint.load(path).values()
        ) <= len(body)
