"""Signatures of bundles: Ed25519 over manifest.json, which names every file with its SHA-256.

Keys are PEM files, as `openssl genpkey -algorithm ed25519` makes them. A signature is the 64 bytes
of `openssl pkeyutl -sign -rawin`, in a file beside the manifest.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.bundles.files import MOST_SETTINGS_BYTES, read_file
from serving.errors import BundleError, StartError, failures
from serving.extras import optional_packages

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SIGNATURE_NAME = "manifest.json.sig"
TRUSTED_KEYS = "SIZEWISE_TRUSTED_KEYS"
_PEM, _PRIVATE_PEM = ".pem", ".private.pem"
_blocks = re.compile(rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL).findall
_PURPOSE = "signed bundles"


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The public keys of which one must have signed a bundle; `named` is the setting with them."""

    keys: "tuple[Ed25519PublicKey, ...]"
    named: str = TRUSTED_KEYS

    def check(self, manifest: bytes, signature: bytes | None, where: Path | str) -> None:
        """Raise BundleError unless one of the keys signed exactly this manifest."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

        if signature is None:
            raise BundleError(
                f"{where} is not signed, and {self.named} is set: sign it with `python -m "
                "models sign`"
            )
        for key in self.keys:
            try:
                key.verify(signature, manifest)
            except InvalidSignature:
                continue
            return
        raise BundleError(
            f"{where}: none of the keys of {self.named} has signed this manifest: sign it "
            "again with `python -m models sign`"
        )


def is_signed(folder: Path) -> bool:
    """Whether a bundle has a signature, be it valid or not."""
    return (folder / SIGNATURE_NAME).exists()


def read_signature(path: Path) -> bytes | None:
    """Return a bundle's signature, None if there is none. Raises OSError if it cannot be read."""
    try:
        return read_file(path, MOST_SETTINGS_BYTES)
    except FileNotFoundError:
        return None


def read_trusted_keys(path: Path | None, named: str = TRUSTED_KEYS) -> TrustedKeys | None:
    """Read the public keys of a file, or of every `*.pem` of a folder; None without a path.

    In a folder, a private key that `keygen` wrote there is left out. Raises StartError if there is
    no key, or a file holds none.
    """
    if path is None:
        return None
    files = [path]
    with failures(StartError, f"{named}: {path}"):
        if path.is_dir():
            files = sorted(
                each
                for each in path.iterdir()
                if each.name.endswith(_PEM) and not each.name.endswith(_PRIVATE_PEM)
            )
    if not files:
        raise StartError(f"{named}: {path} holds no *{_PEM} file with a public key")
    return TrustedKeys(tuple(key for file in files for key in _public_keys(file, named)), named)


def _public_keys(path: Path, named: str) -> "list[Ed25519PublicKey]":
    with optional_packages(_PURPOSE):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PublicKey,
        )
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            load_pem_public_key,
        )
    keys = []
    with failures(StartError, f"{named}: {path} is not a public key in PEM"):
        content = read_file(path)
        for block in _blocks(content) or [content]:
            if b"PRIVATE KEY" in block:
                raise StartError(
                    f"{named}: {path} is a private key, not a public key: keep it where bundles "
                    "are signed, and give the file that `keygen` wrote beside it"
                )
            keys.append(load_pem_public_key(block))
    if not all(isinstance(key, Ed25519PublicKey) for key in keys):
        raise StartError(f"{named}: {path} is not a key of Ed25519")
    return keys  # type: ignore[return-value]


def read_private_key(path: Path) -> "Ed25519PrivateKey":
    """Read the key that signs. Raises BundleError if it is none."""
    with optional_packages(_PURPOSE):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
        )
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            load_pem_private_key,
        )
    with failures(BundleError, f"{path} is not a private key in PEM without a passphrase"):
        key = load_pem_private_key(read_file(path), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{path} is not a key of Ed25519")
    return key


def write_keys(private: Path, public: Path) -> None:
    """Make a pair of keys. Raises BundleError if one of the files exists."""
    with optional_packages(_PURPOSE):
        from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
        )
    for path in (private, public):  # neither is written if the other exists
        if path.exists() or path.is_symlink():
            raise BundleError(f"{path} exists: move it away, or choose another name")
    key = Ed25519PrivateKey.generate()
    for path, mode, content in (
        (
            private,
            0o600,
            key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()),
        ),
        (
            public,
            0o644,
            key.public_key().public_bytes(
                forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo
            ),
        ),
    ):
        with failures(BundleError, str(path)):
            new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
            with os.fdopen(new, "wb") as file:
                file.write(content)
