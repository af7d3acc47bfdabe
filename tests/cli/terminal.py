"""Commands in a terminal of 80 columns and 24 lines, and what is seen there."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from tests.house import ROOT

COLUMNS, LINES = 80, 24


def seen(words: list[str], cwd: Path, columns: int = COLUMNS) -> tuple[int, str]:
    """The exit status of a command, and its text without colours; a line that is drawn again and
    again counts as it stood last.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
    command = [sys.executable, "-m", "automtl", *words]
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        text = b""
        while data := _read(ours):
            text += data
    os.close(ours)
    return process.returncode, plain(text.decode())


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 2**16)
    except OSError:  # Linux: the other side is closed
        return b""


def plain(text: str) -> str:
    """Text of a terminal as it stands in the end: of a line that is erased what follows."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-JL-Za-z]", "", text).replace("\r\n", "\n")
    lines = (re.split(r"\r|\x1b\[\d?K", line)[-1] for line in text.split("\n"))
    return "\n".join(lines)


def words_of(text: str) -> list[str]:
    """The words of a text, but for lines and frames."""
    return re.findall(r"[^\s─━│╭╮╰╯]+", text)
