"""Logs that cannot be written, and file systems without room."""

import contextlib
import os
import subprocess
import tempfile

from tests.benchmarks.faults.outcome import STAYS_LIVE, STAYS_READY, answered, moves, recovers
from tests.benchmarks.faults.scene import Unavailable, fault

UNTOUCHED = (answered(), recovers(0.5), STAYS_LIVE, STAYS_READY)
DROPPED = moves("log_lines_dropped")


def shell(redirections):
    """A prefix that gives a server these streams."""
    return {"prefix": ("sh", "-c", f'exec "$0" "$@" {redirections}')}


@contextlib.contextmanager
def tiny_disk(place, kib=64):
    """A file system of this size in a folder."""
    folder = place / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        raise Unavailable("only root can mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder):
    with contextlib.suppress(OSError), (folder / "ballast").open("wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()


@fault("log on a full device (/dev/full)", *UNTOUCHED, **shell(">/dev/full 2>&1"))
@fault(
    "log on a full device (/dev/full), HTTP processes",
    *UNTOUCHED,
    http_processes=2,
    **shell(">/dev/full 2>&1"),
)
@fault("stdout and stderr closed", *UNTOUCHED, **shell(">&- 2>&-"))
@fault("stderr closed", *UNTOUCHED, **shell("2>&-"))
def log_never_written(scene):
    scene.injected()
    scene.watch(2)


def pipe(_place):
    reading, writing = os.pipe()
    return {"output": writing, "kept": (reading, writing)}


def closed(*descriptors):
    for each in descriptors:
        with contextlib.suppress(OSError):
            os.close(each)


@fault("log pipe whose reader has gone", *UNTOUCHED, DROPPED, prepare=pipe)
@fault(
    "log pipe whose reader has gone, HTTP processes",
    *UNTOUCHED,
    prepare=pipe,
    http_processes=2,
)
def pipe_closed(scene):
    scene.injected()
    closed(*scene.kept)
    scene.watch(2.5)


@fault("log pipe that nobody reads", *UNTOUCHED, prepare=pipe)
@fault("log pipe that nobody reads, HTTP processes", *UNTOUCHED, prepare=pipe, http_processes=2)
def pipe_stalled(scene):
    closed(scene.kept[1])
    scene.injected()
    scene.watch(2.5)


def log_on_tiny_disk(place):
    kept = contextlib.ExitStack()
    disk = kept.enter_context(tiny_disk(place))
    return {"prefix": ("sh", "-c", f'exec "$0" "$@" >>{disk}/log 2>&1'), "kept": kept}


@fault("disk of the log is full", *UNTOUCHED, DROPPED, prepare=log_on_tiny_disk)
def disk_full(scene):
    with scene.kept:
        scene.injected()
        fill(scene.place / "disk")
        scene.watch(1.5)
        (scene.place / "disk" / "ballast").unlink()
        scene.healed()
        version = scene.publish(scale=1.5)
        scene.until_served(version)
        scene.until(lambda: b'"serving"' in _log(scene), "the log goes on", 10)


def _log(scene):
    return (scene.place / "disk" / "log").read_bytes()


def temporary_files_on_tiny_disk(place):
    kept = contextlib.ExitStack()
    disk = kept.enter_context(tiny_disk(place))
    return {"environ": {"TMPDIR": str(disk)}, "kept": kept}


@fault(
    "disk of temporary files is full while a bundle is tried",
    *UNTOUCHED,
    prepare=temporary_files_on_tiny_disk,
)
def temporary_files_full(scene):
    with scene.kept:
        scene.injected()
        fill(scene.place / "disk")
        version = scene.publish(scale=1.5)
        scene.until_served(version)


def no_temporary_folder(_place):
    return {"environ": {"TMPDIR": tempfile.gettempdir() + "/none"}}


@fault("no folder of temporary files", *UNTOUCHED, prepare=no_temporary_folder)
def temporary_folder_absent(scene):
    scene.injected()
    version = scene.publish(scale=1.5)
    scene.until_served(version)
