"""Tensors on disk against safetensors' own writer and reader, and the memory that it takes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from automtl import tensor_file
from automtl.errors import EnvironmentFault

MB = 2**20
TENSORS = {
    "w": torch.arange(6.0).reshape(2, 3),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "one": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "spread": torch.tensor([1.5]).expand(4),
    "every second": torch.arange(9, dtype=torch.int32)[::2],
    'é"\\\n\x01\u2028/': torch.ones(3, dtype=torch.float64),
    "Z": torch.tensor([True, False, True]),
    "z": torch.arange(5, dtype=torch.uint8),
    **{str(t): torch.arange(-2, 3).to(t) for t in (torch.int8, torch.int16, torch.float16)},
    "nan": torch.tensor([float("nan"), float("inf"), -0.0]),
    "gradient": torch.ones(2, requires_grad=True),
}


def theirs(tensors, metadata=None):
    return safetensors.numpy.save(
        {name: np.asarray(tensor.detach().numpy(), order="C") for name, tensor in tensors.items()},
        metadata,
    )


def parted(data):
    """Header and numbers of a file."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


@pytest.mark.parametrize("metadata", [None, {}, {"tree": 'a "\\ é\x7f\x01\n'}])
@pytest.mark.parametrize("piece", [1, 3, tensor_file.PIECE])
def test_the_bytes_are_those_of_safetensors_own_writer(tmp_path, monkeypatch, metadata, piece):
    monkeypatch.setattr(tensor_file, "PIECE", piece)
    for tensors in (TENSORS, {}, {"one": torch.tensor(2.0)}):
        tensor_file.write(tmp_path / "t", tensors, metadata)
        assert (tmp_path / "t").read_bytes() == theirs(tensors, metadata or None)


def test_metadata_comes_in_the_order_given(tmp_path):
    metadata = {str(number): "x" for number in range(30)}  # safetensors shuffles them
    tensor_file.write(tmp_path / "t", TENSORS, metadata)
    (header, numbers), (_, same) = (
        parted(data) for data in ((tmp_path / "t").read_bytes(), theirs(TENSORS))
    )
    assert [*header["__metadata__"].items()] == [*metadata.items()]
    assert numbers == same
    assert safetensors.safe_open(tmp_path / "t", "numpy").metadata() == metadata


def test_both_readers_read_both_writers_files(tmp_path):
    tensor_file.write(tmp_path / "ours", TENSORS, {"a": "b"})
    (tmp_path / "theirs").write_bytes(theirs(TENSORS, {"a": "b"}))
    found = [tensor_file.read(tmp_path / name) for name in ("ours", "theirs")]
    assert [metadata for metadata, _ in found] == [{"a": "b"}] * 2
    for tensors in (*(t for _, t in found), safetensors.torch.load_file(tmp_path / "ours")):
        assert tensors.keys() == TENSORS.keys()
        for name, tensor in tensors.items():
            assert tensor.dtype == TENSORS[name].dtype, name
            assert torch.equal(tensor.nan_to_num(), TENSORS[name].detach().nan_to_num()), name


def test_what_is_read_is_the_readers_own(tmp_path):
    tensor_file.write(tmp_path / "t", {"a": torch.ones(3)})
    tensors = tensor_file.read(tmp_path / "t")[1]
    before = (tmp_path / "t").read_bytes()
    tensors["a"].fill_(5)
    assert (tmp_path / "t").read_bytes() == before


def rewritten(data, change):
    header, numbers = parted(data)
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["w"].update(shape=[2, 2**40]),
        lambda h: h["w"].update(data_offsets=[0, 2**40]),
        lambda h: h["w"].update(data_offsets=[8, 24]),
        lambda h: h["w"].update(dtype="F64"),
        lambda h: h["w"].update(dtype="U16", shape=[8]),
        lambda h: h["w"].update(dtype="F8_E4M3", shape=[16]),
        lambda h: h.update(v=h["w"]),
        lambda h: h.pop("w"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path, change):
    path = tmp_path / "t"
    tensor_file.write(path, {"w": torch.ones(4)})
    path.write_bytes(rewritten(path.read_bytes(), change))
    with pytest.raises((ValueError, safetensors.SafetensorError)):
        tensor_file.read(path)


def test_a_file_that_ends_early_is_refused_and_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "t"
    tensor_file.write(path, TENSORS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(safetensors.SafetensorError):
        tensor_file.read(path)
    path.unlink()
    full = lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device"))  # noqa: E731
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EnvironmentFault, match="free some space"):
        tensor_file.write(path, TENSORS)
    assert not list(tmp_path.iterdir())


MEASURE = """
import sys
from pathlib import Path
import torch
from automtl.runs import checkpoint

torch.set_num_threads(1)
path, what, megabytes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rows = megabytes * 2**20 // 132
small = {"w": torch.ones(3), "half": torch.ones(3, dtype=torch.bfloat16)}
checkpoint.save(path.with_name("warm"), small), checkpoint.load(path.with_name("warm"))
if what == "save":
    state = {"net": {"w": torch.ones(rows, 16)}, "v": torch.ones(rows, 16),
             "last": torch.ones(rows, dtype=torch.int32)}
def peak():  # of this process alone: getrusage's begins with that of its parent
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
if what == "save":
    checkpoint.save(path, state)
else:
    state = checkpoint.load(path)
print((peak() - before) / 2**10)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells no peak of memory")
def test_a_checkpoint_takes_no_second_copy_of_the_state(tmp_path):
    """At 200 MB, in processes of their own: of a table, its velocity and its steps."""

    def grown(what):
        words = [sys.executable, "-c", MEASURE, str(tmp_path / "c"), what, "200"]
        return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    assert grown("save") < 20
    assert (tmp_path / "c").stat().st_size > 199 * MB
    assert 190 < grown("load") < 220, "the state itself, no more"
