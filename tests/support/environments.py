"""The project's wheel in fresh virtual environments, made without a network."""

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.support.processes import ROOT, Running, clean_environ, free_port, wait_until_ready

PROGRAMS = ("serving", "models", "loadtest")
QUIET = ("--quiet", "--disable-pip-version-check")


def required(requirements):
    """The installed distributions that the requirements, with theirs, come to."""
    found, waiting, seen = {}, [Requirement(each) for each in requirements], set()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            if (requirement.name, extra) in seen:
                continue
            seen.add((requirement.name, extra))
            its = distribution(requirement.name)
            found[its.name.lower()] = its
            for text in its.requires or ():
                needed = Requirement(text)
                if not needed.marker or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    return found


def environment(folder: Path, wheel: Path, distributions: dict[str, Distribution]) -> Path:
    """The Python of a new environment with a wheel, installed by pip, and copied distributions."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/*/site-packages")
    for its in distributions.values():
        for file in its.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                _copy(Path(its.locate_file(file)), site / file)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", *QUIET, "--no-deps"]
    # An egg-info that `make docs` left in the checkout would count as installed.
    subprocess.run([*install, "--no-index", "--ignore-installed", wheel], check=True)
    return python


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if ".so" in source.name:
        target.symlink_to(source)  # hundreds of megabytes
    else:
        shutil.copyfile(source, target)


def build_wheel(folder):
    """The wheel of what git would commit, so that no leftover of the checkout gets in."""
    for name in tracked():
        if name.startswith(PROGRAMS) or "/" not in name:
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    build = [sys.executable, "-m", "pip", "wheel", *QUIET, "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder, folder / "source"], check=True)
    (made,) = folder.glob("*.whl")
    return made


def tracked():
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in names.split("\0") if name and (ROOT / name).exists()]


def command(wheel, folder, *extras):
    python = environment(folder / "environment", wheel, required(requirements(wheel, *extras)))
    return python.with_name("sizewise")


def requirements(wheel, *extras):
    """What the wheel itself says that it requires with an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("dist-info/METADATA"))
        metadata = archive.read(name).decode()
    for requirement in re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE):
        name, _, marker = requirement.partition(";")
        if not marker or any(f'extra == "{extra}"' in marker for extra in extras):
            yield name


def run(sizewise, line, folder, **variables):
    return subprocess.run(
        [sizewise, *shlex.split(line)],
        cwd=folder,
        env=clean_environ() | {"PYTHONDONTWRITEBYTECODE": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def site_files(sizewise):
    (site,) = sizewise.parent.parent.glob("lib/*/site-packages")
    return {path: path.stat().st_mtime_ns for path in site.rglob("*")}


@contextlib.contextmanager
def served(sizewise, folder, *flags, **variables):
    port, log_path = free_port(), folder / "log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sizewise, "serve", "--port", str(port), *flags],
            cwd=folder,
            env=clean_environ()
            | {"PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": str(folder / "caches")}
            | variables,
            stdout=log,
            stderr=log,
        )
    server = Running(process, f"http://127.0.0.1:{port}", log_path)
    try:
        wait_until_ready(server)
        yield server
    finally:
        if process.poll() is None:
            server.stop()
