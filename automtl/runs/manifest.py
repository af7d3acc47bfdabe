"""The manifest of a phase: command, versions, seeds, data, machine, state - what makes a result one that can be checked."""

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from automtl import files, plugins

_PACKAGES = ("automtl", "torch", "numpy", "pandas", "pyarrow")


def now() -> str:
    """The present time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Manifest:
    """``manifest.json`` of one phase, rewritten whole at each change.

    Args:
        path: the file.
        values: what it holds.
    """

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path, self.values = path, values

    @classmethod
    def start(cls, path: Path, **values: Any) -> "Manifest":
        """A new manifest in state "running"."""
        held = {"command": command(), **_machine(), "plugins": plugins.record(), "test_reads": 0}
        made = cls(path, {"state": "running", "start": now(), "end": None, **held, **values})
        made.write()
        return made

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """An existing manifest.

        Raises:
            ArtifactError: the file is absent or torn.
        """
        return cls(path, files.read_json(path))

    def update(self, **values: Any) -> None:
        """Change values and write."""
        self.values.update(values)
        self.write()

    def finish(self, state: str, **values: Any) -> None:
        """Note how and when the phase ended: "done", "time_limited", "interrupted" or "failed"."""
        self.update(state=state, end=now(), **values)

    def count_test_read(self) -> int:
        """Count one reading of the test rows; the number of readings so far, this one included."""
        self.update(test_reads=self.values["test_reads"] + 1)
        return int(self.values["test_reads"])

    def write(self) -> None:
        """Write the file."""
        files.write_json(self.path, self.values)


def command() -> str:
    """The command line of this process."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def again(command: str, run: object) -> str:
    """The command that goes on with an interrupted one.

    Args:
        command: a command line.
        run: the run's folder.
    """
    words = shlex.split(command)
    named = any(word == "--out" or word.startswith("--out=") for word in words)
    return shlex.join([*words, *([] if named else ["--out", str(run)]), *([] if "--resume" in words else ["--resume"])])


def _machine() -> dict[str, Any]:
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "git_revision": _revision(),
        "threads": torch.get_num_threads(),
        "hardware": {"machine": platform.machine(), "system": platform.system(), "cuda": torch.cuda.is_available()},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """The git revision of the package's own checkout; None outside one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
