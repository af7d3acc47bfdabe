"""Readers of strangers' run folders: manifests, metrics, checkpoints. Sums that are true do not
make their content true.
"""

import contextlib
import json
import struct

import numpy as np
import safetensors.numpy
import torch
from hypothesis import strategies as st

from automtl import files
from automtl.errors import AutoMTLError
from automtl.reports.load import load_run
from automtl.reports.panels.page import report
from automtl.runs import checkpoint
from automtl.runs.checksums import of_values
from automtl.runs.manifest import Manifest
from automtl.runs.overview import cleanable, overview
from automtl.runs.run_dir import PhaseDir, RunDir
from automtl.runs.status import status
from tests.fuzz.damage import TEXTS, VALUES, damaged, damaged_bytes
from tests.fuzz.fuzz import fuzz

STATES = ["running", "done", "time_limited", "interrupted", "failed"]
EPOCH = {
    "epoch": 0,
    "loss": {"total": 0.7, "click": 0.7},
    "validation": {"loss": 0.6, "tasks": {"click": {"auc": 0.6, "logloss": 0.6, "rows": 5}}},
    "seconds": 1.0,
    "lr": 0.1,
}
LINES = st.integers(1, 2).map(lambda n: [{**EPOCH, "epoch": i} for i in range(n)])


@st.composite
def manifests(draw):
    """A phase's manifest as the package writes it."""
    return {
        "state": draw(st.sampled_from(STATES)),
        "start": "2026-01-01T00:00:00+00:00",
        "end": None,
        "command": "automtl retrain mmoe --data tiny.yaml",
        "seed": 0,
        "data": {
            "name": "tiny",
            "source": "tiny.yaml",
            "hash": "h",
            "split_hash": "s",
            "config_hash": "c",
        },
        "versions": {"automtl": "0.1.0"},
        "plugins": [],
        "machine": {"device": "cpu", "threads": 1},
        "test_reads": 0,
        "planned_epochs": 3,
        "finished_epochs": 1,
        "error": draw(TEXTS),
        "sums": {},
    }


def look(folder):
    """All that looks at a run without training."""
    for act in (
        lambda: status(folder),
        lambda: overview(folder.parent),
        lambda: cleanable(folder.parent),
        lambda: RunDir(folder).search.read_metrics(),
    ):
        with contextlib.suppress(AutoMTLError):
            act()
    load_run(folder)  # becomes remarks, whatever it finds


def put(folder, manifest, lines=(), results=None, phase="search"):
    """A run folder with one phase of these files, sealed as the package does it."""
    path = folder / "run" / phase
    path.mkdir(parents=True, exist_ok=True)
    sealed = {**manifest, "sha256": of_values(manifest)} if isinstance(manifest, dict) else manifest
    (path / "manifest.json").write_text(json.dumps(sealed))
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if results is not None:
        (path / "results.json").write_text(json.dumps(results))
    return folder / "run"


@fuzz(
    manifest=damaged(manifests()) | VALUES,
    lines=LINES,
    phase=st.sampled_from(["search", "retrain/mmoe-s0", "tune"]),
)
def test_a_sealed_manifest_of_anything_is_read_or_refused_in_words(manifest, lines, phase, folder):
    look(put(folder, manifest, lines, {"best_epochs": [0], "validation": {"loss": 0.6}}, phase))


@fuzz(
    manifest=manifests(),
    lines=damaged(LINES).map(lambda v: v if isinstance(v, list) else [v]),
    results=damaged(st.just({"best_epochs": [0], "validation": {"loss": 0.6, "tasks": {}}})),
)
def test_lines_and_results_of_anything_are_read_or_refused_in_words(
    manifest, lines, results, folder
):
    look(put(folder, manifest, lines, results, "retrain/mmoe-s0"))


@fuzz(
    data=damaged_bytes(
        LINES.map(lambda v: "".join(json.dumps(line) + "\n" for line in v).encode()),
        (b"\n", b"NaN", b'"\\ud800"', b"[" * 200),
    )
)
def test_a_torn_metrics_file_is_read_or_refused_in_words(data, folder):
    phase = PhaseDir(folder)
    phase.metrics.write_bytes(data)
    with contextlib.suppress(AutoMTLError):
        for line in phase.read_metrics():
            json.dumps(line, allow_nan=False).encode()


@fuzz(
    data=damaged_bytes(
        manifests().map(lambda m: json.dumps({**m, "sha256": of_values(m)}).encode())
    )
)
def test_a_torn_manifest_is_refused(data, folder):
    path = folder / "manifest.json"
    path.write_bytes(data)
    with contextlib.suppress(AutoMTLError):
        held = Manifest.read(path).values
        assert "sums" not in held or of_values(held) == held["sha256"]


STATE = {
    "net": {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(1, dtype=torch.int64)},
    "epoch": 3,
    "half": torch.ones(2, dtype=torch.bfloat16),
}


def stored(folder):
    checkpoint.save(folder / "it.safetensors", STATE)
    return (folder / "it.safetensors").read_bytes()


@fuzz(data=st.data())
def test_a_torn_checkpoint_is_refused(data, folder):
    whole = stored(folder)
    torn = data.draw(
        damaged_bytes(st.just(whole), (b"\xff" * 8, b"{", b'"', b"F64", b"BOOL", b"9999999999"))
    )
    (folder / "it.safetensors").write_bytes(torn)
    with contextlib.suppress(AutoMTLError):
        back = checkpoint.load(folder / "it.safetensors")
        assert torch.equal(back["net"]["a"], STATE["net"]["a"]) and back["epoch"] == 3, (
            "a change that was not noticed"
        )


TYPES = ["F64", "F32", "F16", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "F4", "C64", "x"]


@fuzz(
    tree=damaged(
        st.just({"$map": [["net", {"$map": [["a", {"$tensor": "net.a"}]]}], ["epoch", 3]]})
    )
    | VALUES,
    header=damaged(st.just({"net.a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}})),
    kind=st.sampled_from(TYPES),
    sign=st.booleans(),
)
def test_a_checkpoint_of_anything_under_a_true_sum_is_only_data(tree, header, kind, sign, folder):
    arrays = {"net.a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    whole = {name: torch.from_numpy(array) for name, array in arrays.items()}
    text = json.dumps(tree)
    path = folder / "it.safetensors"
    if sign:
        path.write_bytes(
            safetensors.numpy.save(
                arrays, {"tree": text, "sha256": checkpoint._digest(text, whole)}
            )
        )
    else:
        head = (
            {**header, "__metadata__": {"tree": text, "sha256": ""}}
            if isinstance(header, dict)
            else header
        )
        if isinstance(head, dict) and isinstance(head.get("net.a"), dict):
            head["net.a"]["dtype"] = kind
        packed = json.dumps(head).encode()
        path.write_bytes(struct.pack("<Q", len(packed)) + packed + bytes(24))
    with contextlib.suppress(AutoMTLError):
        assert isinstance(checkpoint.load(path), dict)


@fuzz(value=VALUES)
def test_what_json_is_written_comes_back(value, folder):
    files.write_json(folder / "it.json", value)
    assert files.read_json(folder / "it.json") == value


def test_a_report_of_sealed_nonsense_still_opens(tmp_path):
    """Drawing is too slow for many cases: a few that each change one part."""
    plain = {
        "state": "done",
        "start": "x",
        "command": "x",
        "seed": 0,
        "data": {},
        "versions": {},
        "test_reads": 0,
        "sums": {},
    }
    for value in ([], {"name": ["<script>"]}, {"name": "\u202e<script>alert(1)</script>" * 20}):
        page = report(
            [
                load_run(
                    put(
                        tmp_path,
                        {**plain, "data": value},
                        [{**EPOCH, "validation": 5}],
                        {"validation": []},
                    )
                )
            ]
        )
        assert page.count("<script") == 1 and "\u202e" not in page
