import numpy as np
import pytest
import safetensors.numpy

from automtl import files
from automtl.errors import ArtifactError, EnvironmentFault


def test_a_whole_file_is_old_or_new_and_never_half(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "f.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(path, {"a": float("nan")})
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(EnvironmentFault, match="free some space") as caught:
        files.write_json(path, {"a": 2})
    assert caught.value.exit_code == 3 and str(path) in str(caught.value)
    assert files.read_json(path) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["f.json"]


def test_lines_are_appended_and_cut(tmp_path):
    path = tmp_path / "m.jsonl"
    for i in range(3):
        files.append_line(path, {"i": i})
    files.cut_lines(path, 2)
    assert path.read_text() == '{"i": 0}\n{"i": 1}\n'


def test_a_staged_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "store"
    with pytest.raises(RuntimeError), files.StagedFolder(target) as staged:
        with staged.stream("sub/a.bin") as stream:
            stream.write(b"1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with files.StagedFolder(target) as staged:
        with staged.stream("sub/a.bin") as stream:
            stream.write(b"1")
        assert not target.exists()
    assert (target / "sub" / "a.bin").read_bytes() == b"1"


def test_an_existing_folder_is_never_taken_over(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    with pytest.raises(ArtifactError, match="must not exist yet"):
        files.make_folder(tmp_path / "a" / "b")


def test_tensors_of_any_layout(tmp_path):
    arrays = {"t": np.arange(6.0).reshape(2, 3).T, "empty": np.zeros((0, 2), np.int32)}
    files.write_tensors(tmp_path / "t.safetensors", arrays, {"k": "v"})
    back = safetensors.numpy.load_file(tmp_path / "t.safetensors")
    assert all(np.array_equal(back[k], v) and back[k].dtype == v.dtype for k, v in arrays.items())
