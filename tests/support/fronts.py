"""The HTTP processes of a server."""

import contextlib

import psutil


def fronts(server):
    """Its HTTP processes that are not dying."""
    found = []
    for child in psutil.Process(server.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "serving.server.frontend" in child.cmdline():
                found.append(child)
    return found
