"""The only place that writes.

A whole file goes bytes -> temporary file -> fsync -> rename: a reader never sees half of one.
``metrics.jsonl`` is the one append-only file.
"""

import contextlib
import functools
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

import filelock
import pyarrow as pa
import pyarrow.parquet as pq

from automtl.bounds import read_json as read_json
from automtl.bounds import read_lines
from automtl.errors import ArtifactError, EnvironmentFault, InUse, counted

_FOLLOWS: list[bool] = []  # filled once this process writes nothing
_HELD = b" "  # the byte of a lock's file that Windows lets no one read while it is held


def follow() -> None:
    """From here on this process writes nothing: another one, of a kind, writes the same."""
    _FOLLOWS.append(True)


def following() -> bool:
    """Whether this process writes nothing."""
    return bool(_FOLLOWS)


def _muted(write: Callable[..., None]) -> Callable[..., None]:
    """A writer that does nothing where this process writes nothing."""
    return functools.wraps(write)(lambda *given: None if _FOLLOWS else write(*given))


@contextlib.contextmanager
def _machine_faults(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one clear error."""
    try:
        yield
    except EnvironmentFault:
        raise
    except OSError as error:
        full, fix = error.errno == 28, "check the folder and its permissions"
        fix = "free some space or choose another folder" if full else fix
        raise EnvironmentFault(path, "must be writable", error.strerror or error, fix) from error


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # which opens no folder, and needs none synced
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically, its folder made if need be.

    Raises:
        EnvironmentFault: the disk is full, or the folder cannot be written.
    """
    with stream(path) as opened:
        opened.write(data)


@contextlib.contextmanager
def stream(path: Path) -> Iterator[BinaryIO]:
    """A file written piece by piece that appears under its name whole, or not at all.

    Raises:
        EnvironmentFault: the disk is full, or the folder cannot be written.
    """
    if _FOLLOWS:
        with open(os.devnull, "wb") as nowhere:
            yield nowhere
        return
    path = Path(path)
    with _machine_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent
        )
        try:
            with os.fdopen(handle, "wb") as opened:
                yield opened
                opened.flush()
                os.fsync(opened.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def close_off(stream: IO[str]) -> None:
    """Drop what is buffered for a stream that nobody reads, or it fails again at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document atomically, indented, with a last newline; NaN is refused."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """What ``write_json`` writes."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as one Parquet file, atomically."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(path, sink.getvalue().to_pybytes())


def _no_link(name: str, flags: int) -> int:
    """Open a file, but not what a link in its place leads to."""
    return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o644)


@_muted
def append_line(path: Path, value: Any) -> None:
    """Append one JSON value as a line of its own to an append-only file and make it durable."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
    with _machine_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab", opener=_no_link) as opened:
            opened.write(line)
            opened.flush()
            os.fsync(opened.fileno())
            _sync_folder(path.parent)  # the file may be new


@_muted
def cut_lines(path: Path, keep: int) -> None:
    """Keep the first `keep` lines of an append-only file; what came after a checkpoint goes.

    Raises:
        ArtifactError: it has fewer whole lines.
    """
    whole = read_lines(path)
    if len(whole) < keep:
        rule = f"must have the {counted(keep, 'line')} that the checkpoint knows of"
        raise ArtifactError(path, rule, len(whole), "restore it, or start anew")
    if path.exists():
        write_bytes(path, b"".join(line + b"\n" for line in whole[:keep]))


def make_folder(path: Path) -> Path:
    """Make a new folder; an existing one is never taken over.

    Raises:
        ArtifactError: the folder exists.
        EnvironmentFault: it cannot be made.
    """
    if _FOLLOWS:
        return path
    with _machine_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir()
        except FileExistsError:
            raise ArtifactError(
                path, "must not exist yet", "an existing one", "choose another --out, or remove it"
            ) from None
    return path


class StagedFolder:
    """A folder that appears under its name whole, or not at all, in place of one that is there.

    Used as a context manager: files are written into a hidden sibling, which is renamed at the end
    of the block; an exception removes it.

    Args:
        path: the final folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._staging: Path | None = None

    def __enter__(self) -> "StagedFolder":
        if _FOLLOWS:
            raise EnvironmentFault(self.path, "must be there before ranks start", "nothing")
        with _machine_faults(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._staging = Path(
                tempfile.mkdtemp(
                    prefix=f".{self.path.name[:40]}.", suffix=".tmp", dir=self.path.parent
                )
            )
        return self

    def __truediv__(self, name: str) -> Path:
        """The staged path of a file, for the writers of this module and for reading back."""
        assert self._staging is not None, "use inside the with block"
        return self._staging / name

    @contextlib.contextmanager
    def stream(self, name: str, durable: bool = True) -> Iterator[BinaryIO]:
        """A binary file written piece by piece; durable when the block ends unless it is
        passing.
        """
        path = self / name
        with _machine_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                yield stream
                stream.flush()
                if durable:
                    os.fsync(stream.fileno())

    def discard(self, name: str) -> None:
        """Remove a passing file."""
        with _machine_faults(self / name):
            (self / name).unlink()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        assert self._staging is not None
        staging, self._staging = self._staging, None
        if kind is not None:
            shutil.rmtree(staging, ignore_errors=True)
            return
        with _machine_faults(self.path):
            os.chmod(staging, 0o755)  # nosec B103 # as mkdir; mkdtemp's 0o700 hides it from others
            if self.path.exists():
                shutil.rmtree(self.path)
            for folder, _, _ in os.walk(staging):  # so that the files' names last, too
                _sync_folder(Path(folder))
            os.replace(staging, self.path)
            _sync_folder(self.path.parent)


@contextlib.contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new hidden folder, by default where the system has such, gone when the block ends."""
    parent = parent or Path(tempfile.gettempdir())
    with _machine_faults(parent):
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".scratch.", suffix=".tmp", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder, made if need be, for this process, which lets go as it ends, however it does.

    Args:
        folder: to hold.
        wait: for another process to let go of it; for short holds only.

    Raises:
        InUse: another process holds it.
    """
    if _FOLLOWS:
        yield
        return
    path = folder / ".lock"
    lock = filelock.FileLock(path, blocking=wait, preserve_lock_file=True, on_acquired=_sign)
    with _machine_faults(path):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except filelock.Timeout:
            with open(path, "rb", opener=_no_link) as stream:
                stream.seek(len(_HELD))
                who = stream.read(300).decode("utf-8", "replace") or "another process"
            raise InUse(
                folder,
                "must be free",
                f"{who} at work in it",
                "wait for it, or choose another --out",
            ) from None
    try:
        yield
    finally:
        lock.release()


def _sign(descriptor: int) -> None:
    """Write into a lock's file who holds it."""
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, _HELD + f"another process ({os.getpid()} on {platform.node()})".encode())


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that never changes a second name; copy it where there are no such links."""
    with _machine_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system, another's file, too many links
            shutil.copyfile(source, target)
            with target.open("rb+") as copied:
                os.fsync(copied.fileno())


@_muted
def replace(source: Path, target: Path) -> None:
    """Give a whole file another name in its folder, durably; a file of that name goes."""
    with _machine_faults(target):
        os.replace(source, target)
        _sync_folder(target.parent)


@_muted
def clear_temporaries(folder: Path) -> None:
    """Remove what a killed process left half-written; nobody else may be at work in the folder."""
    for path in folder.glob(".*.tmp"):
        remove_folder(path) if path.is_dir() else remove_file(path)


@_muted
def remove_file(path: Path) -> None:
    """Remove a file of the package's own making."""
    with _machine_faults(path):
        path.unlink()


@_muted
def remove_folder(path: Path) -> None:
    """Remove a folder of the package's own making, with all in it."""
    with _machine_faults(path):
        shutil.rmtree(path)
