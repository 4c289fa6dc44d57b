"""Fresh virtual environments that hold chosen packages, made without a network."""

import shutil
import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


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
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--no-index", wheel], check=True)
    return python


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if ".so" in source.name:
        target.symlink_to(source)  # hundreds of megabytes
    else:
        shutil.copyfile(source, target)
