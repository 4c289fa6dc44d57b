"""Registries that vanish, hang, are read-only, damaged, or hold what does not belong there."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

from tests.benchmarks.faults.outcome import (
    STAYS_LIVE,
    STAYS_READY,
    alerts,
    answered,
    logs,
    recovers,
)
from tests.benchmarks.faults.scene import Unavailable, fault
from tests.support.bundles import write_bundle

UNTOUCHED = (answered(), recovers(0.5), STAYS_LIVE, STAYS_READY)
REFUSED = alerts("SizewiseBundleRefused")
ALTERED = alerts("SizewiseBundleAltered")
SCANS_S = 1.5
# Root without its right to read everything: modes count.
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def without_rights(_place):
    if os.geteuid() or not shutil.which("setpriv"):
        raise Unavailable("only root can start a server without root's rights (setpriv)")
    return {"prefix": WITHOUT_RIGHTS}


@fault("registry removed", *UNTOUCHED, logs("registry unreadable"), logs("registry readable"))
@fault(
    "registry removed, HTTP processes",
    *UNTOUCHED,
    logs("registry unreadable"),
    logs("registry readable"),
    http_processes=2,
)
def removed(scene):
    scene.injected()
    scene.registry.rename(scene.place / "elsewhere")
    scene.until_logged("registry unreadable")
    scene.watch(1)
    (scene.place / "elsewhere").rename(scene.registry)
    scene.healed()
    scene.until_logged("registry readable")


@fault("registry emptied, as an unmounted volume", *UNTOUCHED, REFUSED)
def emptied(scene):
    scene.injected()
    scene.family.rename(scene.place / "elsewhere")
    scene.until_refused("holds no bundle")
    scene.watch(1)
    (scene.place / "elsewhere").rename(scene.family)
    scene.healed()
    scene.until(lambda: not scene.refused(), "nothing is refused any more")


@fault(
    "registry unreadable (mode 0)", *UNTOUCHED, logs("registry unreadable"), prepare=without_rights
)
def unreadable(scene):
    scene.injected()
    scene.registry.chmod(0)
    scene.until_logged("registry unreadable")
    scene.registry.chmod(0o755)
    scene.healed()
    scene.until_logged("registry readable")


@fault("one folder unreadable (mode 0)", *UNTOUCHED, REFUSED, prepare=without_rights)
def folder_unreadable(scene):
    scene.injected()
    (scene.family / "tiny").chmod(0)
    scene.until_refused("tiny")
    scene.watch(1)
    (scene.family / "tiny").chmod(0o755)
    scene.healed()
    scene.until(lambda: not scene.refused(), "nothing is refused any more")


@fault("registry on a read-only file system", *UNTOUCHED)
def read_only(scene):
    folder = str(scene.registry)
    for options in ("bind", "bind,remount,ro"):
        command = ["mount", "-o", options, folder, folder]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            raise Unavailable("only root can mount")
    try:
        scene.injected()
        scene.watch(SCANS_S)
        with contextlib.suppress(OSError):
            (scene.registry / "new").touch()
            scene.require(condition=False, what="the registry is read-only")
    finally:
        subprocess.run(["umount", "-l", folder], check=False)
        scene.healed()


@fault(
    "registry hangs (a FIFO for traffic.json)",
    *UNTOUCHED,
    load_timeout_ms=5000,
)
def hangs(scene):
    scene.injected()
    os.mkfifo(scene.family / "traffic.json")
    (scene.family / "policy.json").write_text('{"min_accuracy": 0.5}')
    scene.watch(3.5)


@fault("manifest half written", *UNTOUCHED, REFUSED)
def half_a_manifest(scene):
    scene.injected()
    path = scene.family / "tiny" / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    scene.until_refused("tiny")
    scene.watch(1)


@fault("graph truncated in place", *UNTOUCHED, ALTERED, logs("bundle altered"))
@fault(
    "graph truncated in place, HTTP processes",
    *UNTOUCHED,
    ALTERED,
    logs("bundle altered"),
    http_processes=2,
)
def truncated(scene):
    scene.injected()
    os.truncate(scene.family / "tiny" / "model.onnx", 100)
    scene.until_logged("bundle altered")
    scene.watch(1)


@fault("one byte of the weights flipped", *UNTOUCHED, ALTERED, logs("bundle altered"))
def flipped(scene):
    scene.injected()
    with (scene.family / "wide" / "model.onnx").open("r+b") as file:
        file.seek(-50, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    scene.until_logged("bundle altered")
    scene.watch(1)


@fault("tokenizer removed under a running version", *UNTOUCHED, ALTERED, logs("bundle altered"))
def tokenizer_removed(scene):
    scene.injected()
    (scene.family / "wide" / "tokenizer.json").unlink()
    scene.until_logged("bundle altered")
    scene.watch(1)


@fault("a corrupt bundle more", *UNTOUCHED, REFUSED)
def corrupt_extra(scene):
    write_bundle(scene.place / "huge", variant="huge")
    (scene.place / "huge" / "model.onnx").write_bytes(b"not a graph")
    scene.injected()
    (scene.place / "huge").rename(scene.family / "huge")
    scene.until_refused("huge")
    scene.watch(1)


@fault("lost+found and a name that is not UTF-8", *UNTOUCHED)
def odd_names(scene):
    scene.injected()
    (scene.registry / "lost+found").mkdir(mode=0)
    for folder in (scene.registry, scene.family):
        (folder / os.fsdecode(b"\xff\xfe")).mkdir()
    version = scene.publish(scale=1.5)
    scene.until_served(version)


@fault("a symbolic link that leads out of the registry", *UNTOUCHED)
def link(scene):
    write_bundle(scene.place / "outside", variant="huge", accuracy=0.99)
    scene.injected()
    (scene.family / "huge").symlink_to(scene.place / "outside")
    scene.watch(SCANS_S)
    variants = scene.get("/v1/models").json()["models"][0]["variants"]
    scene.notes.append(f"served: {', '.join(each['variant'] for each in variants)}")


@fault("files dated tomorrow", *UNTOUCHED)
def tomorrow(scene):
    scene.injected()
    for path in scene.registry.rglob("*"):
        os.utime(path, (time.time() + 86_400,) * 2)
    version = scene.publish(scale=1.5)
    scene.until_served(version)


@fault("traffic.json, policy.json and cascade.json are no JSON", *UNTOUCHED, REFUSED)
def texts_broken(scene):
    scene.injected()
    for name in ("traffic.json", "policy.json", "cascade.json"):
        (scene.family / name).write_text('{"')
    scene.until_refused("traffic.json")
    scene.watch(1)


def _try_slowly(scene, variant):
    """Publish a bundle, and return once it is being tried."""
    write_bundle(scene.place / variant, variant=variant, ballast_bytes=60_000_000)
    # The process that tried the first bundles waits for more for a while.
    scene.until(lambda: not scene.trials(), "the process of the first trials is gone")
    scene.injected()
    shutil.copytree(scene.place / variant, scene.family / variant)
    return scene.until(scene.trials, f"{variant} is tried")


@fault("the process that tries a bundle is killed", *UNTOUCHED, REFUSED)
def trial_killed(scene):
    _try_slowly(scene, "huge")
    for pid in scene.trials():
        os.kill(pid, signal.SIGKILL)
    scene.until_refused("huge")
    scene.watch(1)


@fault("the process that tries a bundle hangs", *UNTOUCHED, REFUSED, load_timeout_ms=10_000)
def trial_stopped(scene):
    _try_slowly(scene, "huge")
    for pid in scene.trials():
        os.kill(pid, signal.SIGSTOP)
    scene.until_refused("huge")
    scene.until(lambda: not scene.trials(), "the trial's process is gone")
    scene.watch(1)
