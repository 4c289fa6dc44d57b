"""Mirror a family's bundles from any URL that fsspec reads into a local registry."""

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from serving.bundles.bundle import MANIFEST_NAME
from serving.bundles.cascade import CASCADE_NAME, Cascade
from serving.bundles.download import Remote, download, publish_downloaded
from serving.bundles.files import content_of, parse, replace_file
from serving.bundles.registry import BESIDE, FAMILY_NAMES, intact
from serving.bundles.shared_cache import publish_by_cache
from serving.bundles.signatures import SIGNATURE_NAME, TrustedKeys
from serving.bundles.store import Store
from serving.errors import BundleError, SizewiseError, StartError, failures, own_words
from serving.logs import log

_NAME = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
_FOLDER_NAME = re.compile(rf"{_NAME}({BESIDE}{_NAME})?")
_MOST_REASONS = 10


def follow(
    url: str,
    target: Path,
    every_s: float,
    *,
    variants: Sequence[str] = (),
    cache: Path | None = None,
    trusted: TrustedKeys | None = None,
) -> NoReturn:
    """Call `fetch` every `every_s` seconds; whatever fails is logged and tried again."""
    while True:
        try:
            fetch(url, target, variants=variants, cache=cache, trusted=trusted)
        except Exception as error:  # noqa: BLE001  logged
            ours = isinstance(error, SizewiseError)
            log("fetch failed", reason=str(error) if ours else own_words(error))
        time.sleep(every_s)


def fetch(
    url: str,
    target: Path,
    *,
    variants: Sequence[str] = (),
    cache: Path | None = None,
    trusted: TrustedKeys | None = None,
) -> None:
    """Publish the bundles of the folder `url` as the family `target`, every sha256 verified.

    `url` is any that fsspec knows (`s3://`, `gs://`, `abfs://`, `hf://`, `https://`, `file://`);
    credentials come from its own environment variables. `variants` empty means all. Inactive
    versions are mirrored too, then the family's own files: those that are gone at the source are
    removed, and so is a cascade of variants that were not asked for and are not there. Nothing that
    `target` or `cache` already holds is downloaded again; `cache` is a folder shared between
    processes, of which one downloads while the others wait.
    A bundle that fails is left out, and the rest is brought. Raises StartError then, or if the URL
    cannot be read; a bundle fails if it is broken, not signed by one of the `trusted` keys, or
    belongs to another family than `target` names.
    """
    store = Store(url)
    listed = store.names()
    failed: list[StartError] = []
    for name in _wanted(url, listed, variants):
        try:
            with failures(StartError, f"{url}/{name}"):
                _mirror(store, name, target, cache, trusted, required=name in variants)
        except StartError as error:
            failed.append(error)
    if failed and not _holds_bundles(target):
        raise _first(failed)
    if not _holds_bundles(target):
        raise StartError(f"{url} holds no bundle: give the URL of a family's folder")
    for name in FAMILY_NAMES:
        try:
            with failures(StartError, str(target / name)):
                _mirror_text(store, name, target, listed, variants)
        except StartError as error:
            failed.append(error)
    if failed:
        raise _first(failed)


def _first(failed: Sequence[StartError]) -> StartError:
    """Return the first failure; the log tells all if there are more."""
    if len(failed) > 1:
        log("not fetched", reasons=[error.detail for error in failed[:_MOST_REASONS]])
    return failed[0]


def _holds_bundles(target: Path) -> bool:
    with failures(StartError, str(target)):
        return any(target.glob(f"*/{MANIFEST_NAME}"))


def _mirror_text(
    store: Store, name: str, target: Path, listed: Mapping[str, bool], variants: Sequence[str]
) -> None:
    text = store.text(name) if name in listed else None
    if text is None or (
        name == CASCADE_NAME and variants and _lacks_others(text, target, variants)
    ):
        (target / name).unlink(missing_ok=True)
    else:
        replace_file(target / name, text)


def _lacks_others(cascade: bytes, target: Path, variants: Sequence[str]) -> bool:
    """Whether a cascade uses variants that were not asked for and are not there."""
    with suppress(BundleError, UnicodeDecodeError):  # the server says what is wrong with it
        stages = parse(Cascade, cascade.decode(), CASCADE_NAME).stages
        others = {stage.variant for stage in stages}.difference(variants)
        return not all((target / name).is_dir() for name in others)
    return False


def _wanted(url: str, listed: Mapping[str, bool], variants: Sequence[str]) -> list[str]:
    """Return the folders that may be bundles of these variants, of what the store lists."""
    folders = sorted(name for name, is_folder in listed.items() if is_folder)
    found = list(filter(_FOLDER_NAME.fullmatch, folders))
    if ignored := sorted(set(folders).difference(found)):
        log("ignored in the store: not the name of a variant", names=ignored[:10])
    if missing := sorted(set(variants).difference(found)):
        raise StartError(f"{url}: no {', '.join(missing)}; it holds {', '.join(found)}")
    return [name for name in found if not variants or name.partition(BESIDE)[0] in variants]


def _mirror(
    store: Store,
    name: str,
    target: Path,
    cache: Path | None,
    trusted: TrustedKeys | None,
    *,
    required: bool,
) -> None:
    remote = _remote(store, name, trusted)
    if remote and not _is_there(target / name, remote):
        _bring(remote, target, cache)
    elif not remote and required:
        raise StartError(f"{store.url}/{name} holds no {MANIFEST_NAME}")


def _remote(store: Store, name: str, trusted: TrustedKeys | None) -> Remote | None:
    """Read and check what describes a bundle, before anything is written."""
    manifest = store.text(f"{name}/{MANIFEST_NAME}")
    if manifest is None:
        return None
    remote = Remote(store, name, manifest, store.text(f"{name}/{SIGNATURE_NAME}"))
    if trusted:
        trusted.check(manifest, remote.signature, remote.url)
    return remote


def _is_there(folder: Path, remote: Remote) -> bool:
    if folder.is_symlink() or content_of(folder / MANIFEST_NAME) != remote.manifest:
        return False
    if not intact(folder):
        return False
    if remote.signature is not None:
        replace_file(folder / SIGNATURE_NAME, remote.signature)
    return True


def _bring(remote: Remote, target: Path, cache: Path | None) -> None:
    """Download a bundle, or take it from the cache, and publish it."""
    manifest = remote.parsed()
    names = (manifest.family, manifest.variant)
    if manifest.family != target.name:
        raise BundleError(
            f"{remote.name} is of the family {manifest.family}, not {target.name}: use --to"
        )
    if manifest.variant != remote.name.partition(BESIDE)[0]:
        raise BundleError(f"{remote.url}: its manifest says {'/'.join(names)}: rename the folder")
    if (place := target / remote.name).is_symlink():
        raise BundleError(f"{place} is a link: remove it, so that the bundle can be published")
    if cache and publish_by_cache(remote, manifest, cache / target.name, target):
        return
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own) / remote.name
        download(remote, manifest, folder, target)
        publish_downloaded(remote, folder, target)
