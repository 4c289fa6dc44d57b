"""Programs whose standard error is a terminal, or is none."""

import os
import pty
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor

from tests.support.processes import ROOT

_END = b"\0"
# By models' main, which other tests call in this process.
_SET_BY_MODELS = {"TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS"}


def said(program: str, *, terminal: bool) -> str:
    """What a Python program writes to its standard error."""
    environ = {name: value for name, value in os.environ.items() if name not in _SET_BY_MODELS}
    command = {"args": [sys.executable, "-c", program], "cwd": ROOT, "env": environ}
    if not terminal:
        return subprocess.run(**command, stderr=subprocess.PIPE, check=True).stderr.decode()
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    read = bytearray()
    with ThreadPoolExecutor(1) as reader, subprocess.Popen(**command, stderr=theirs) as process:
        reading = reader.submit(_read_until_end, ours, read)
        process.wait()
        # Linux may drop what a closed terminal still holds: keep this end open until it is read.
        os.write(theirs, _END)
        reading.result(timeout=10)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, read
    return read.removesuffix(_END).decode()


def _read_until_end(terminal: int, read: bytearray) -> None:
    while not read.endswith(_END):
        read += os.read(terminal, 65_536)
