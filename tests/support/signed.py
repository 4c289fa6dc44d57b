"""Pairs of keys as openssl makes them, and bundles that are signed."""

import subprocess
from pathlib import Path

from models.signing import sign
from serving.bundles.signatures import write_keys
from tests.support.bundles import write_bundle


def new_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A private and a public key in `folder`."""
    private, public = folder / f"{name}.private.pem", folder / f"{name}.pem"
    write_keys(private, public)
    return private, public


def openssl(*arguments: object) -> str:
    """What openssl says."""
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def signed_registry(folder: Path, key: Path) -> Path:
    """Two signed variants of one family, as folders of a registry."""
    write_bundle(folder / "tone" / "tiny", variant="tiny")
    write_bundle(folder / "tone" / "wide", variant="wide", scale=2.5)
    sign(folder, key)
    return folder
