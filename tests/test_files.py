import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from automtl import files
from automtl.errors import ArtifactError, EnvironmentFault, InUse

FSYNC = os.fsync  # that of the system; while tests run there is another (conftest.py)
HOLDER = """
import sys, time
from pathlib import Path
from automtl import files
with files.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_whole_file_is_old_or_new_and_never_half(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "f.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(path, {"a": float("nan")})
    monkeypatch.setattr(
        "os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(EnvironmentFault, match="free some space") as caught:
        files.write_json(path, {"a": 2})
    assert caught.value.exit_code == 3 and str(path) in str(caught.value)
    assert files.read_json(path) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["f.json"]


@pytest.fixture
def disk(monkeypatch):
    """What is synced and what is renamed, in order, by name."""
    acts, rename = [], os.replace

    def fsync(number):
        FSYNC(number)
        acts.append(("sync", re.sub(r"^\..*\.tmp$", "temporary", readlink(number).name)))

    def replace(source, target):
        rename(source, target)
        acts.append(("rename", Path(target).name))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return acts


def readlink(number):
    return Path(f"/proc/self/fd/{number}").readlink()


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, disk):
    folder = tmp_path / "folder"
    renamed = [("rename", "f.bin"), ("sync", "folder")]
    files.write_bytes(folder / "f.bin", b"1")
    assert disk == [("sync", "temporary"), *renamed]
    disk.clear()
    files.append_line(folder / "m.jsonl", {"i": 1})
    assert disk == [("sync", "m.jsonl"), ("sync", "folder")]
    disk.clear()
    files.replace(folder / "m.jsonl", folder / "f.bin")
    assert disk == renamed
    disk.clear()
    with files.StagedFolder(folder / "store") as staged:
        with staged.stream("a.bin") as stream:
            stream.write(b"1")
        with staged.stream("passing", durable=False) as stream:
            stream.write(b"1")
    staged_names = ("sync", "temporary")
    assert disk == [("sync", "a.bin"), staged_names, ("rename", "store"), ("sync", "folder")]


def test_a_copy_where_there_are_no_links_is_on_the_disk(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(18, "another disk")))
    (tmp_path / "a").write_bytes(b"1")
    files.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert disk == [("sync", "b")] and (tmp_path / "b").read_bytes() == b"1"


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


def test_a_folder_that_another_process_holds_is_said_to_be_its_and_is_free_when_that_is_killed(
    tmp_path,
):
    folder = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            for _ in range(2):  # being asked does not take the holder's name away
                with (
                    pytest.raises(
                        InUse, match=rf"got another process \({holder.pid} on .*\) at work in it"
                    ),
                    files.locked(folder),
                ):
                    pytest.fail("it is held")
            times, waiting = [], threading.Thread(target=lambda: times.append(_waited(folder)))
            waiting.start()
            time.sleep(0.3)
            assert not times
        finally:
            os.kill(holder.pid, signal.SIGKILL)
        waiting.join(60)
        assert times
    with files.locked(folder):
        pass


def _waited(folder):
    with files.locked(folder, wait=True):
        return time.monotonic()


def test_a_lock_is_let_go_of_by_an_error_and_excludes_its_own_process(tmp_path):
    with pytest.raises(ZeroDivisionError), files.locked(tmp_path):
        1 / 0  # noqa: B018
    with (
        files.locked(tmp_path),
        pytest.raises(InUse, match=rf"another process \({os.getpid()} on "),
        files.locked(tmp_path),
    ):
        pytest.fail("it is held")
    with files.locked(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
