"""The commands `keygen`, `sign` and `verify`: bundles that say who made them."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from models.next_command import quoted
from serving.bundles.bundle import (
    MANIFEST_NAME,
    Manifest,
    read_bundle,
    verify,
)
from serving.bundles.files import parse, read_file, replace_file
from serving.bundles.graph_files import weights_files
from serving.bundles.signatures import (
    SIGNATURE_NAME,
    read_private_key,
    read_trusted_keys,
    write_keys,
)
from serving.errors import BundleError, StartError

COMMANDS = {
    "keygen": "make a pair of keys that sign bundles",
    "sign": "sign a bundle, or every bundle of a family or registry",
    "verify": "check the signatures and files of a bundle, a family or a registry",
}


def add_keygen(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `keygen`."""
    command.add_argument(
        "name", type=Path, help="writes NAME.private.pem, to keep, and NAME.pem, to distribute"
    )


def add_sign(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `sign`."""
    _add_folder(command)
    command.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="the private key, in PEM"
    )


def add_verify(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `verify`."""
    _add_folder(command)
    command.add_argument(
        "--trusted-keys",
        type=Path,
        required=True,
        metavar="PATH",
        help="a file of public keys in PEM, or a folder of *.pem",
    )


def _add_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="a bundle, a family or a registry")


def run(options: argparse.Namespace) -> str:
    """Run one of the commands; return what to run next. Raises BundleError."""
    if options.command == "keygen":
        private = options.name.with_name(f"{options.name.name}.private.pem")
        public = options.name.with_name(f"{options.name.name}.pem")
        write_keys(private, public)
        print(f"Wrote {private}, which signs (keep it), and {public}, which checks (give it away)")
        return f"python -m models sign FOLDER --key {quoted(private)}"
    if options.command == "sign":
        for folder in sign(options.folder, options.key):
            print(f"Signed {folder}")
        return f"python -m models verify {quoted(options.folder)} --trusted-keys PUBLIC.pem"
    for folder in check(options.folder, options.trusted_keys):
        print(f"{folder} is signed and whole")
    return f"SIZEWISE_TRUSTED_KEYS={quoted(options.trusted_keys)} python -m serving"


def sign(folder: Path, key: Path) -> list[Path]:
    """Sign the bundles in a folder, once all of them are whole. Raises BundleError."""
    signer = read_private_key(key)
    found = {}
    for path in bundles_in(folder):
        bundle = read_bundle(path)
        verify(bundle)
        weights_files(bundle)
        content = read_file(path / MANIFEST_NAME)
        if parse(Manifest, content.decode(), path / MANIFEST_NAME) != bundle.manifest:
            raise BundleError(f"{path / MANIFEST_NAME} has changed: run this again")
        found[path] = content
    for path, content in found.items():
        replace_file(path / SIGNATURE_NAME, signer.sign(content))
    return list(found)


def check(folder: Path, keys: Path) -> list[Path]:
    """Return the bundles in a folder, all signed and whole. Raises BundleError."""
    try:
        trusted = read_trusted_keys(keys, "--trusted-keys")
    except StartError as error:
        raise BundleError(error.detail) from error
    found = bundles_in(folder)
    for path in found:
        bundle = read_bundle(path, trusted=trusted)
        verify(bundle)
        weights_files(bundle)
    return found


def bundles_in(folder: Path) -> list[Path]:
    """Return a bundle, or those of a family or of a registry. Raises BundleError without one."""
    found = list(_bundles_in(folder, 2))
    if not found:
        raise BundleError(f"{folder} holds no bundle: give a bundle, a family or a registry")
    return found


def _bundles_in(folder: Path, deeper: int) -> Iterator[Path]:
    if (folder / MANIFEST_NAME).is_file():
        yield folder
    elif deeper and folder.is_dir():
        for each in sorted(folder.iterdir()):
            if not each.name.startswith("."):
                yield from _bundles_in(each, deeper - 1)
