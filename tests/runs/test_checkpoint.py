import pytest
import torch

from automtl.errors import ArtifactError
from automtl.runs import checkpoint

STATE = {
    "net": {
        "a.weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
        "n": torch.tensor(7),
    },
    "adam": {
        "state": {0: {"step": torch.tensor(2.0), "m": torch.zeros(0, 3)}},
        "groups": [{"lr": 0.1, "params": [0, 1]}],
    },
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "rng": torch.Generator().manual_seed(3).get_state(),
    "epoch": 4,
    "none": None,
    "$tensor": "a key that looks like a marker",
}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and type(a) is type(b)


def test_nested_state_comes_back_bit_for_bit_with_its_types_and_integer_keys(tmp_path):
    checkpoint.save(tmp_path / "c.safetensors", STATE)
    assert same(STATE, checkpoint.load(tmp_path / "c.safetensors"))


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "absent", "folder"])
def test_damage_is_noticed_and_the_file_named(tmp_path, damage):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, STATE)
    data = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        data[-5] ^= 1
        path.write_bytes(data)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        if damage == "folder":
            path.mkdir()
    with pytest.raises(ArtifactError) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"epoch": 1})
    monkeypatch.setattr(
        "os.replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError, match="free some space"):
        checkpoint.save(path, {"epoch": 2})
    assert checkpoint.load(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
