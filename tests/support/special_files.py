"""What may lie where a file or a folder is expected."""

import os
import socket
from pathlib import Path


def put(kind: str, path: Path) -> None:
    """Leave a named pipe, a socket, a folder, a file, or a link to a device or nowhere."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        _bind(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("x")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path.parent / "nowhere" / "x")


def _bind(path: Path) -> None:
    """Bind by way of the open folder: the address of a socket is short."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
