"""A PostgreSQL server of a test's own, from Debian's package (or another) where that is
installed.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

SECRET = "s3cret-in-no-file"
USER = "postgres" if os.getuid() == 0 else getpass.getuser()  # a server refuses to run as root


class Server:
    """A server on a port of the loopback, its data in a folder of its own."""

    def __init__(self) -> None:
        found = [str(path.parent) for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
        where = shutil.which("initdb", path=os.pathsep.join([*found, os.environ["PATH"]]))
        if where is None or find_spec("psycopg") is None:
            pytest.skip(
                "PostgreSQL or psycopg is not installed: scripts/test_postgres.sh installs both"
            )
        self.programs = Path(where).resolve().parent
        self.folder = Path(tempfile.mkdtemp(prefix="automtl-postgres-"))
        (self.folder / "password").write_text(SECRET)
        if os.getuid() == 0:
            for path in (self.folder, self.folder / "password"):
                shutil.chown(path, USER)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        made = [
            "--username=automtl",
            f"--pwfile={self.folder / 'password'}",
            "--auth=scram-sha-256",
            "--no-sync",
        ]
        self._run("initdb", "-D", self.folder / "data", *made)
        self.url = f"postgresql+psycopg://automtl:{SECRET}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run(
            "pg_ctl",
            "start",
            "-w",
            "-D",
            self.folder / "data",
            "-o",
            options,
            "-l",
            self.folder / "log",
        )

    def stop(self) -> None:
        """Stop as a power cut does."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-D", self.folder / "data")

    def _run(self, program: str, *words: object) -> None:
        command = [str(self.programs / program), *map(str, words)]
        extra = {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            **extra,
        )
        assert done.returncode == 0, done.stderr
