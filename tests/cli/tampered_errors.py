"""The errors of runs whose files somebody changed, for test_errors.py: name -> (what is wrong,
command, exit status, parts of the message).
"""

import contextlib
import json
import os
import sys
from pathlib import Path

import numpy as np

from automtl.cli.main import main
from automtl.data.access.fingerprints import fingerprint
from automtl.data.store.encoding import checksum
from automtl.runs import checkpoint
from automtl.runs.manifest import Manifest


def edited(name, old, new):
    path = Path("run/search") / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def link_out():
    Path("elsewhere.json").write_text("{}")
    os.remove("run/search/architecture.json")
    os.symlink(Path("elsewhere.json").resolve(), "run/search/architecture.json")


def state_of_another():
    Manifest.read(Path("run/search/manifest.json")).update(state="interrupted", sums={})
    for path in Path("run/search/checkpoint").iterdir():
        checkpoint.save(path, {**checkpoint.load(path), "step": "three"})


def older_search():
    manifest = Manifest.read(Path("run/search/manifest.json"))
    del manifest.values["rows"]
    manifest.update(state="interrupted")


def ids_of_another():
    sys.argv = ["automtl", "retrain", "run", "--fast-dev-run"]
    with contextlib.suppress(SystemExit):
        main()
    (path,) = Path("cache/prepared").glob("*/test/ids.npy")
    np.save(path, np.full_like(np.load(path), 10**6))
    manifest = path.parents[1] / "manifest.json"
    held = json.loads(manifest.read_text())
    held["files"]["test/ids.npy"] = fingerprint(path)
    del held["checksum"]
    manifest.write_text(json.dumps({**held, "checksum": checksum(held)}))


RESUME = ["search", "data/tiny.yaml", "--out", "run", "--resume"]
TAMPERED = {
    "file-altered": (lambda: edited("architecture.json", '"version": 1', '"version":  1'), ["retrain", "run"], 2, ["run/search/architecture.json: " "must be as " "it was written"]),
    "manifest-altered": (lambda: edited("manifest.json", '"seed": 0', '"seed": 1'), ["status", "run"], 2, ["manifest.json: must " "match its " "own checksum"]),
    "state-of-another": (state_of_another, RESUME, 2, ["last.safetensors: " "must hold the " "state of this phase, " "got search: step", "'three'"]),
    "older-search": (older_search, RESUME, 2, ["must be of a search whose A rows move alpha and whose B rows decide", "before alpha rows were halved"]),
    "store-of-another": (ids_of_another, ["evaluate", "run"], 2, ["must hold ids and " "classes of " "its own schema"]),
    "link-out": (link_out, ["retrain", "run"], 2, ["must not lead out of the run's folder"]),
}  # fmt: skip
