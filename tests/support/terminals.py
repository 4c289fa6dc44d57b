"""Programs whose standard error is a terminal, or is none."""

import os
import pty
import subprocess
import sys
import termios

from tests.support.processes import ROOT


def said(program: str, *, terminal: bool) -> str:
    """What a Python program writes to its standard error."""
    command = {"args": [sys.executable, "-c", program], "cwd": ROOT}
    if not terminal:
        return subprocess.run(**command, stderr=subprocess.PIPE, check=True).stderr.decode()
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with subprocess.Popen(**command, stderr=theirs) as process:
        os.close(theirs)
        read = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    assert process.returncode == 0, read
    return read.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux says that nobody writes any more
        return b""
