"""Attacks by files: bombs, deep nests, huge numbers, paths and links that lead out. Each ends in
one of the project's own errors.
"""

import json
import os
import struct
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from automtl import files
from automtl.bounds import inside
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.data.store.encoding import FORMAT, checksum
from automtl.errors import ArtifactError, AutoMTLError, ConfigError
from automtl.exports.folder import open_export
from automtl.runs import checkpoint
from automtl.runs.checksums import of_values
from automtl.runs.manifest import Manifest
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.strict import load_yaml, parse_yaml

DEEP = 1_000_000
SPACE = {"name": "x", "source": "x", "interaction": ["skip"], "expert": ["skip"]}


def written(folder, value, name="it.json"):
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1, 2]\nb: [*a, *a]\n",  # the first step of a bomb
        "[" * DEEP,
        "{a: " * 30_000,
        "- " * 30_000 + "x",
        "[" * 100 + "]" * 100,
        "a: !!python/object/apply:os.system [id]",
        "a: " + "9" * 10_000,
        'a: "\\ud800"',
        'a: "\\U00110000"',
        'a: "\\U80018CD6"',
        "? [a, b]\n: 1",
        "a: 1\na: 2",
        "\x00",
    ],
)
def test_yaml_that_is_no_settings_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "it.yaml")
    assert len(str(caught.value)) < 600


def test_large_yaml_is_not_read(tmp_path):
    with pytest.raises(ConfigError, match="at most 2 MiB"):
        load_yaml(written(tmp_path, "a: " + "x" * 2**21, "it.yaml"))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device without an end")
def test_what_says_no_size_is_not_read_without_end(tmp_path):
    (tmp_path / "endless").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="endless: must be at most 2 MiB, got more"):
        load_yaml(tmp_path / "endless")
    with pytest.raises(ArtifactError, match="endless: must be at most 64 MiB, got more"):
        files.read_json(tmp_path / "endless")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_settings_may_come_through_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text("a: 1"))
    writer.start()
    assert load_yaml(tmp_path / "pipe") == {"a": 1}
    writer.join()


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEP + "]" * DEEP,
        '{"a":' * DEEP,
        "[" * 500 + "]" * 500,
        '"\\ud800"',
        '{"\\udfff": 1}',
        "9" * 10_000,
        "",
        "\xff",
    ],
)
def test_json_that_others_could_not_read_is_refused(text, tmp_path):
    with pytest.raises(ArtifactError, match=r"it\.json: must be a JSON file"):
        files.read_json(written(tmp_path, text))


def test_json_may_hold_letters_beyond_the_first_plane(tmp_path):
    assert files.read_json(written(tmp_path, '["\\ud83c\\udf89"]')) == ["\N{PARTY POPPER}"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_experts", 10**9),
        ("num_blocks", 10**9),
        ("expert_dim", 10**9),
        ("embedding_dim", 10**30),
        ("num_interaction_blocks", 10**9),
        ("expert", ["mlp(99999999999)"]),
        ("expert", ["skip"] * 10**4),
        ("interaction", ["cross(9999)"]),
        ("towers", [64] * 1000),
        ("towers", [10**9]),
        ("dropout", float("nan")),
    ],
)
def test_numbers_that_no_machine_holds_are_refused_by_a_space(key, value, tmp_path):
    with pytest.raises(AutoMTLError) as caught:
        SearchSpace.load(written(tmp_path, {**SPACE, key: value}, "it.yaml"))
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "changes",
    [
        {"experts": [{"blocks": ["skip"]}] * 2000},
        {"experts": [{"blocks": ["skip"] * 65}]},
        {"experts": [{"blocks": ["mlp(1000000000)"]}]},
        {"projection": 10**9},
        {"towers": [10**9]},
        {"embedding_dim": 10**9},
        {"sharing": {"kind": "mmoe", "settings": {"experts": 10**9}}},
        {"sharing": {"kind": "ple", "settings": {"levels": 10**9}}},
        {"sharing": {"kind": "__class__", "settings": {}}},
        {"name": 5, "provenance": []},
        {"chosen": [[10**9]]},
        {"x" * 10_000: 1},
        {str(i): i for i in range(10_000)},
    ],
)
def test_numbers_that_no_machine_holds_are_refused_by_an_architecture(changes, tmp_path):
    with pytest.raises(AutoMTLError) as caught:
        Architecture.load(written(tmp_path, {"experts": [{"blocks": ["skip"]}], **changes}))
    assert len(str(caught.value)) < 20_000


def header(value, length=None):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    "data",
    [
        header(b"{}", 2**63),
        header(b"{}", 10**9),
        header({"w": {"dtype": "F32", "shape": [10**9, 10**3], "data_offsets": [0, 4 * 10**12]}}),
        header({"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 8]}}) + b"\0" * 8,
        header({"w": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}),
        header({"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}) + b"\0" * 8,
        header(b'{"a":' * 10_000),
        b"",
        b"\x80\x04\x95cos\nsystem\n",
    ],
)
def test_a_tensor_larger_than_its_file_is_refused_before_anything_is_allocated(data, tmp_path):
    path = tmp_path / "it.safetensors"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ArtifactError, match=r"it\.safetensors: must be a whole checkpoint"):
        checkpoint.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


@pytest.mark.parametrize(
    "tree",
    ["[" * 2000, '{"$tensor": []}', '{"$map": [[1]]}', '{"$map": 5}', '{"$tensor": "absent"}', "5"],
)
def test_a_strangers_checkpoint_with_a_true_checksum_is_still_only_data(tree, tmp_path):
    arrays = {"w": np.zeros(3, np.float32)}
    path = tmp_path / "it.safetensors"
    path.write_bytes(
        safetensors.numpy.save(
            arrays, {"tree": tree, "sha256": checkpoint._digest(tree, {"w": torch.zeros(3)})}
        )
    )
    with pytest.raises(ArtifactError):
        checkpoint.load(path)


def test_a_tensor_is_taken_once(tmp_path):
    """A small file that names one large tensor again and again would fill the memory."""
    arrays = {"w": np.zeros(3, np.float32)}
    tree = json.dumps([{"$tensor": "w"}] * 2)
    path = tmp_path / "it.safetensors"
    path.write_bytes(
        safetensors.numpy.save(
            arrays, {"tree": tree, "sha256": checkpoint._digest(tree, {"w": torch.zeros(3)})}
        )
    )
    with pytest.raises(ArtifactError, match="must be a whole checkpoint"):
        checkpoint.load(path)
    checkpoint.save(path, {"a": [torch.zeros(2), {"b": torch.ones(1)}]})
    assert torch.equal(checkpoint.load(path)["a"][1]["b"], torch.ones(1))


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../secret", "link", "linked/secret", "a\0b", 5, None]
)
def test_a_name_that_leads_out_of_its_folder_is_refused(name, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path)
    with pytest.raises(ArtifactError, match="must name files of its own only"):
        inside(folder, name)
    assert inside(folder, "a/b.bin") == folder / "a/b.bin"


def test_prepared_data_and_exports_name_only_their_own_files(tmp_path):
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    listed = {"../secret": {"bytes": 1, "sha256": ""}}
    body = {"format": FORMAT, "files": listed, "summary": {}, "sources": [], "key": "x"}
    written(folder, {**body, "checksum": checksum(body)}, "manifest.json")
    with pytest.raises(ArtifactError, match="must name files of its own only, got '../secret'"):
        Store.open(folder)
    for value in (listed, [1], None):
        written(folder, {"format": "automtl.export", "version": 2, "files": value}, "manifest.json")
        with pytest.raises(
            ArtifactError, match="must name files of its own only|must list its files"
        ):
            open_export(folder)


def test_a_run_names_only_its_own_files_and_links_do_not_lead_out(tmp_path):
    folder = tmp_path / "search"
    folder.mkdir()
    plain = {
        "state": "done",
        "start": "x",
        "command": "x",
        "seed": 0,
        "data": {},
        "versions": {},
        "test_reads": 0,
        "planned_epochs": 1,
    }
    sealed = {**plain, "sums": {"../secret": ["0"]}}
    written(folder, {**sealed, "sha256": of_values(sealed)}, "manifest.json")
    with pytest.raises(ArtifactError, match="must name files of its own folder"):
        Manifest.read(folder / "manifest.json").verify()
    (tmp_path / "victim").write_text("precious")
    for name in ("metrics.jsonl", ".lock", "checkpoint"):
        (folder / name).symlink_to(tmp_path / "victim")
        with pytest.raises(ArtifactError, match="must not lead out of the run's folder"):
            Manifest.read(folder / "manifest.json").verify()
        with pytest.raises(AutoMTLError):
            files.append_line(folder / name, 1)
        if name == ".lock":
            with pytest.raises(AutoMTLError), files.locked(folder):
                pytest.fail("a link was opened")
        (folder / name).unlink()
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["../evil", "a/b", "..", "-x", "x" * 200, "a\nb", "", "\u202eevil"]
)
def test_a_data_sets_name_is_fit_for_a_folder(name, tmp_path):
    config = {
        "name": name,
        "files": {"train": "rows.csv"},
        "features": [{"name": "a", "kind": "categorical"}],
    }
    path = written(tmp_path, {**config, "tasks": [{"name": "t", "label": "t"}]}, "it.yaml")
    with pytest.raises(ConfigError, match="name"):
        load_dataset(path)
