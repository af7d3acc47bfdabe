"""The manifest of a phase: command, versions, seeds, data, machine and state, so that a result can
be checked.
"""

import platform
import re
import shlex
import subprocess  # nosec B404 # a list of words, never a shell
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from automtl import files, plugins
from automtl.bounds import need_file
from automtl.errors import ArtifactError
from automtl.runs import checksums

STATES = ("running", "done", "time_limited", "interrupted", "failed")
_KINDS = {
    "state": str,
    "start": str,
    "command": str,
    "seed": int,
    "data": dict,
    "versions": dict,
    "test_reads": int,
}
_KINDS |= {"sums": dict}
_FIX = "restore it, or make the run anew"
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
        facts = {
            "command": command(),
            **_machine(),
            "plugins": plugins.record(),
            "test_reads": 0,
            "sums": checksums.of_folder(path.parent),
        }
        manifest = cls(path, {"state": "running", "start": now(), "end": None, **facts, **values})
        manifest.write()
        return manifest

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """An existing manifest.

        Raises:
            ArtifactError: the file is absent, torn or altered.
        """
        need_file(path)
        values = files.read_json(path)
        if not isinstance(values, dict):
            raise ArtifactError(path, "must be a phase's manifest", type(values).__name__, _FIX)
        for name, kind in _KINDS.items():
            if name in values and not isinstance(values[name], kind):
                got = f"{name}: {str(values[name])[:80]!r}"
                raise ArtifactError(path, "must be a phase's manifest", got, _FIX)
        # the one without the other is a name that was damaged; neither: by hand, or by an older
        # automtl
        if ("sha256" in values) != ("sums" in values) or values.get("sha256") != (
            checksums.of_values(values) if "sums" in values else None
        ):
            raise ArtifactError(path, "must match its own checksum", "altered content", _FIX)
        if absent := [
            name for name in (_KINDS if "sums" in values else ("state",)) if name not in values
        ]:
            raise ArtifactError(path, f"must tell {', '.join(absent)}", "nothing", _FIX)
        if values["state"] not in STATES:
            raise ArtifactError(
                path,
                f"must be in a state among {', '.join(STATES)}",
                repr(values["state"])[:80],
                _FIX,
            )
        return cls(path, values)

    @property
    def maker(self) -> str:
        """The automtl that wrote it."""
        versions = self.values.get("versions", {})
        revision = self.values.get("git_revision")
        return f"automtl {versions.get('automtl') or 'of no known version'}" + (
            f", revision {str(revision)[:12]}" if revision else ""
        )

    def update(self, **values: Any) -> None:
        """Change values and write."""
        self.values.update(values)
        self.write()

    def go_on(self, fixed: Sequence[str]) -> None:
        """Note that an interrupted phase runs again; of its sums only those of files that do not
        change any more are kept.
        """
        fixed_sums = {
            name: legal for name, legal in self.values.get("sums", {}).items() if name in fixed
        }
        self.values.pop("error", None)
        self.update(
            state="running",
            end=None,
            sums=fixed_sums,
            resumed=[*self.values.get("resumed", []), now()],
        )

    def finish(self, state: str, **values: Any) -> None:
        """Note how and when the phase ended: "done", "time_limited", "interrupted" or "failed"."""
        ended = (
            {"sums": checksums.of_folder(self.path.parent)}
            if state in ("done", "time_limited")
            else {}
        )
        self.update(state=state, end=now(), **ended, **values)

    def verify(self) -> None:
        """Compare the phase's files with their sums.

        Raises:
            ArtifactError: one is absent or altered.
        """
        known = self.values.get("sums", {})
        for name, legal in known.items():
            if not isinstance(legal, list):
                got = f"{name}: {str(legal)[:80]}"
                raise ArtifactError(self.path, "must list each file's sums", got, _FIX)
        checksums.verify(self.path.parent, known)

    def replace_file(self, path: Path, value: Any) -> None:
        """Write a JSON file of an ended phase anew; killed at any moment, the file is still one
        that the manifest knows.
        """
        text = files.json_text(value)
        if "sums" in self.values:
            old = [checksums.of_bytes(path.read_bytes())] if path.is_file() else []
            self.update(
                sums={**self.values["sums"], path.name: [*old, checksums.of_bytes(text.encode())]}
            )
        files.write_text(path, text)

    def count_test_read(self) -> int:
        """Count one reading of the test rows; the number of readings so far, this one included."""
        self.update(test_reads=self.values["test_reads"] + 1)
        return int(self.values["test_reads"])

    def write(self) -> None:
        """Write the file."""
        if "sums" in self.values:
            self.values["sha256"] = checksums.of_values(self.values)
        files.write_json(self.path, self.values)


def command() -> str:
    """The command line of this process, without the passwords in its URLs."""
    name = Path(sys.argv[0]).name
    return shlex.join(
        ["automtl" if name == "__main__.py" else name, *map(without_password, sys.argv[1:])]
    )


def without_password(text: str) -> str:
    """A text with *** for the password of a URL, be it before the host or in the query."""
    return re.sub(r"(password=)[^&\s]*", r"\1***", re.sub(r"(://[^:@/\s]*:)\S*@", r"\1***@", text))


def again(command: str, run: object) -> str:
    """The command that goes on with an interrupted one.

    Args:
        command: a command line.
        run: the run's folder.
    """
    words = ["automtl", *shlex.split(command)[1:]]  # whatever a stranger's manifest says
    named = any(word == "--out" or word.startswith("--out=") for word in words)
    return shlex.join(
        [
            *words,
            *([] if named else ["--out", str(run)]),
            *([] if "--resume" in words else ["--resume"]),
        ]
    )


def _machine() -> dict[str, Any]:
    import torch  # here, since `automtl status` reads manifests and should not wait a second for it

    return {
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in _PACKAGES},
        },
        "git_revision": _revision(),
        "threads": torch.get_num_threads(),
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cuda": torch.cuda.is_available(),
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """The git revision of the package's own checkout; None outside one."""
    return _git("rev-parse", "HEAD")


_CODE = ("automtl", "search_spaces", "derived_archs")


def code_version() -> str:
    """The version of the running code: the git revision, marked where its files were changed since;
    outside a checkout the package's.
    """
    revision = _revision()
    if revision is None:
        return f"automtl {_version('automtl')}"
    return revision + (
        "+changed" if _git("status", "--porcelain", "--untracked-files=no", "--", *_CODE) else ""
    )


def _git(*words: str) -> str | None:
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        # the user's own git, on the folder of this very code
        command = ["git", "-C", str(folder), *words]
        done = subprocess.run(  # nosec B603 B607
            command, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
