"""A disk that is full at the k-th write of a short search: nothing half-written under its final
name, and the search can go on.

Three layers: faults injected below files.py (the k-th fsync, rename or temporary file fails, once
or from there on), a real limit on the size of files, and small disks that are really full.
"""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from automtl.data.store import Store
from automtl.errors import EnvironmentFault
from automtl.phases.run.opening import open_session
from automtl.phases.search import search
from automtl.runs import checkpoint
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir
from tests.phases.stopping import config, same_phase
from tests.support import write_dataset

SETS = ["search.strategy=darts", "search.selection=argmax", "search.batch_size=128"]
OPERATIONS = ((os, "fsync"), (os, "replace"), (tempfile, "mkstemp"), (tempfile, "mkdtemp"))


class Disk:
    """Counts the operations that need space; the k-th fails (and, where it stays full, each after
    it), its file cut short.
    """

    def __init__(self, monkeypatch, fails=0, stays=False):
        self.count, self.fails, self.stays = 0, fails, stays
        for module, name in OPERATIONS:
            honest = getattr(module, name)
            monkeypatch.setattr(
                module,
                name,
                lambda *args, honest=honest, **options: self.act(honest, args, options),
            )

    def act(self, honest, args, options):
        self.count += 1
        if (
            not self.fails
            or self.count < self.fails
            or (self.count > self.fails and not self.stays)
        ):
            return honest(*args, **options)
        if args and isinstance(args[0], int):
            name = Path(f"/proc/self/fd/{args[0]}").readlink()
            if name.is_file():  # what was not yet on the disk is lost
                size = name.stat().st_size
                os.ftruncate(args[0], size // 2 if name.suffix == ".tmp" else max(size - 5, 0))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=200)


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """An undisturbed search, and how many operations it takes once the data is prepared."""
    folder = tmp_path_factory.mktemp("whole")
    open_session(config(dataset, *SETS))
    with pytest.MonkeyPatch.context() as patched:
        disk = Disk(patched)
        search(config(dataset, *SETS), out=folder / "run")
    return folder / "run", disk.count


def all_whole(folder: Path) -> None:
    """Every file under its final name can be read."""
    for path in (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        if path.name == "manifest.json" and path.parent.name == "search":
            Manifest.read(path).verify()
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".safetensors":
            checkpoint.load(path)
        elif path.suffix == ".jsonl":
            assert all(json.loads(line) for line in path.read_bytes().split(b"\n")[:-1])


def survives(whole, dataset, out, monkeypatch, fails, stays):
    with monkeypatch.context() as patched:
        Disk(patched, fails, stays)
        with pytest.raises(EnvironmentFault, match="No space left on device"):
            search(config(dataset, *SETS), out=out)
    all_whole(out)
    search(config(dataset, *SETS), out=out, resume=RunDir(out).search.path.exists())
    same_phase(whole / "search", out / "search", ["last"])


@pytest.mark.parametrize("stays", [False, True])
def test_some_failing_writes(stays, whole, dataset, tmp_path, monkeypatch):
    run, count = whole
    assert count > 30
    for fails in range(1 + stays, count + 1, 9):
        survives(run, dataset, tmp_path / f"run{fails}", monkeypatch, fails, stays)


@pytest.mark.slow
@pytest.mark.parametrize("stays", [False, True])
def test_every_failing_write(stays, whole, dataset, tmp_path, monkeypatch):
    run, count = whole
    for fails in range(1, count + 1):
        survives(run, dataset, tmp_path / f"run{fails}", monkeypatch, fails, stays)


@pytest.mark.slow
def test_every_failing_write_while_data_is_prepared(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        disk = Disk(patched)
        open_session(config(write_dataset(tmp_path / "whole", rows=60)))
    for fails in range(1, disk.count + 1):
        source = write_dataset(tmp_path / f"d{fails}", rows=60)
        with monkeypatch.context() as patched:
            Disk(patched, fails, stays=True)
            with pytest.raises(EnvironmentFault):
                open_session(config(source))
        for manifest in (source.parent / "prepared").glob("prepared/*/manifest.json"):
            Store.open(manifest.parent)
        open_session(config(source))


def on_small_disks(run: Path, dataset: Path, disk: Path) -> None:
    """Search on tmpfs of ever more pages, then give it room; for a process with a mount namespace
    of its own.
    """
    needed, told = sum(path.stat().st_size for path in run.rglob("*")), []
    for share in range(17):
        # with temporary files, two checkpoints and whole pages it takes more than what is left
        size = max(8192, needed * share // 3)
        mount = ["mount", "-t", "tmpfs", "-o"]
        subprocess.run([*mount, f"size={size}", "tmpfs", str(disk)], check=True)
        out = disk / "run"
        try:
            search(config(dataset, *SETS), out=out)
            told.append("enough")
        except EnvironmentFault as fault:
            told.append(fault.got)
        all_whole(out)
        subprocess.run([*mount, "remount,size=64m", "tmpfs", str(disk)], check=True)
        search(config(dataset, *SETS), out=out, resume=RunDir(out).search.path.exists())
        same_phase(run / "search", out / "search", ["last"])
        subprocess.run(["umount", str(disk)], check=True)
    assert (
        told[0] == "No space left on device"
        and set(told[1:]) == {told[0], "enough"}
        and told[-1] == "enough"
    ), told


@pytest.mark.slow
def test_a_real_disk_that_is_full(whole, dataset, tmp_path):
    """It fails, and says why, where the system lets one make no mount namespace (Linux, as root or
    with user namespaces).
    """
    code = (
        "import sys; from pathlib import Path; from tests.damaged.test_full_disk import "
        "on_small_disks\n"
    )
    code += "on_small_disks(*map(Path, sys.argv[1:]))"
    command = [
        "unshare",
        "--map-root-user",
        "--mount",
        sys.executable,
        "-c",
        code,
        str(whole[0]),
        str(dataset),
        str(tmp_path),
    ]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "bytes_",
    [
        20_000,
        pytest.param(2_000, marks=pytest.mark.slow),
        pytest.param(60_000, marks=pytest.mark.slow),
    ],
)
def test_a_real_limit_of_the_operating_system(bytes_, whole, dataset, tmp_path):
    """RLIMIT_FSIZE: the kernel itself cuts a write short in its middle (EFBIG); needs no rights,
    unlike a small tmpfs.
    """

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))

    code = (
        "import sys; from pathlib import Path; from automtl.phases.search import search; "
        "from "
        "tests.phases.stopping import config\n"
    )
    code += f"search(config(Path(sys.argv[1]), *{SETS}), out=Path(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(dataset), str(tmp_path / "run")]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=limited, env=environment
    )
    assert "EnvironmentFault" in done.stderr.splitlines()[-1] and "File too large" in done.stderr, (
        done.stderr
    )
    all_whole(tmp_path / "run")
    search(
        config(dataset, *SETS),
        out=tmp_path / "run",
        resume=RunDir(tmp_path / "run").search.path.exists(),
    )
    same_phase(whole[0] / "search", tmp_path / "run/search", ["last"])
