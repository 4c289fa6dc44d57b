"""A signed bundle and those that somebody tampered with: who gets in."""

import hashlib
import json
import shutil

import pytest

from models.signing import sign
from serving.bundles.bundle import MANIFEST_NAME, read_bundle, verify
from serving.bundles.registry import publish, read_registry, scan
from serving.bundles.signatures import SIGNATURE_NAME, read_trusted_keys
from serving.errors import BundleError, StartError
from tests.support.bundles import alter, write_bundle
from tests.support.signed import new_keys, openssl, signed_registry


@pytest.fixture
def keys(tmp_path):
    return new_keys(tmp_path, "team")


@pytest.fixture
def registry(tmp_path, keys):
    return signed_registry(tmp_path / "registry", keys[0])


def accepted(registry, public):
    """The variants that a server with this key would load, which verifies their files."""
    found = scan([registry], (), read_trusted_keys(public))
    names = set()
    for bundle in found.bundles.get("tone", []):
        try:
            verify(bundle)
        except BundleError:
            continue
        names.add(bundle.folder.name)
    return names


def manifest(tiny, **fields):
    """Change fields of a manifest so that its version fits them."""
    changed = json.loads((tiny / MANIFEST_NAME).read_text()) | fields
    (tiny / MANIFEST_NAME).write_text(json.dumps(changed))


def described_anew(tiny, **fields):
    """Describe the folder anew, as whoever has no key can."""
    signature = (tiny / SIGNATURE_NAME).read_bytes()
    made = alter(tiny, tiny.parent / ".made", **fields)
    shutil.rmtree(tiny)
    made.rename(tiny)
    (tiny / SIGNATURE_NAME).write_bytes(signature)


def flip(path, at=0):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def by_another_key(tiny):
    private, _ = new_keys(tiny.parent.parent.parent, "stranger")
    sign(tiny, private)


def swapped(tiny):
    mine, other = tiny / SIGNATURE_NAME, tiny.parent / "wide" / SIGNATURE_NAME
    first, second = mine.read_bytes(), other.read_bytes()
    mine.write_bytes(second)
    other.write_bytes(first)


def signed_for_something_else(tiny):
    """A signature of the same key, of other bytes."""
    private = tiny.parent.parent.parent / "team.private.pem"
    digest = tiny / "digest"
    digest.write_bytes(hashlib.sha256((tiny / MANIFEST_NAME).read_bytes()).digest())
    openssl("pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", digest,
            "-out", tiny / SIGNATURE_NAME)  # fmt: skip


def linked(tiny, name):
    """The file is outside, so that it can change later."""
    outside = tiny.parent.parent.parent / "outside"
    (tiny / name).rename(outside)
    (tiny / name).symlink_to(outside)


def folder_linked(tiny):
    outside = tiny.parent.parent.parent / "outside"
    shutil.move(tiny, outside)
    tiny.symlink_to(outside)


def other_name(tiny):
    shutil.move(tiny, tiny.parent / "renamed")


def other_family(tiny):
    shutil.copytree(tiny, tiny.parent.parent / "other" / "tiny")
    shutil.rmtree(tiny)


def another_model(tiny):
    write_bundle(tiny.parent / ".evil", scale=-1.0)
    shutil.copyfile(tiny.parent / ".evil" / "model.onnx", tiny / "model.onnx")


TAMPERED = {
    "no signature": lambda tiny: (tiny / SIGNATURE_NAME).unlink(),
    "an empty signature": lambda tiny: (tiny / SIGNATURE_NAME).write_bytes(b""),
    "a truncated signature": lambda tiny: (tiny / SIGNATURE_NAME).write_bytes(b"\0" * 63),
    "a long signature": lambda tiny: (tiny / SIGNATURE_NAME).write_bytes(
        (tiny / SIGNATURE_NAME).read_bytes() + b"\0"
    ),
    "the first bit of the signature": lambda tiny: flip(tiny / SIGNATURE_NAME),
    "the last bit of the signature": lambda tiny: flip(tiny / SIGNATURE_NAME, -1),
    "a signature of zeros": lambda tiny: (tiny / SIGNATURE_NAME).write_bytes(b"\0" * 64),
    "another key": by_another_key,
    "signatures of two bundles swapped": swapped,
    "a signature of other bytes": signed_for_something_else,
    "a signature that is a folder": lambda tiny: (
        (tiny / SIGNATURE_NAME).unlink(),
        (tiny / SIGNATURE_NAME).mkdir(),
    ),
    "a byte of the manifest's whitespace": lambda tiny: (tiny / MANIFEST_NAME).write_text(
        (tiny / MANIFEST_NAME).read_text() + "\n"
    ),
    "the manifest written in one line": manifest,
    "another accuracy": lambda tiny: described_anew(tiny, evaluations={}),
    "another parent": lambda tiny: manifest(tiny, parent="wide"),
    "another number of parameters": lambda tiny: manifest(tiny, parameters=1),
    "another tolerance": lambda tiny: manifest(tiny, logit_tolerance=9.0),
    "another temperature": lambda tiny: described_anew(tiny, temperature=9.0),
    "another limit of tokens": lambda tiny: described_anew(tiny, max_length=8),
    "an earlier version's number": lambda tiny: manifest(tiny, version="0" * 16),
    "another model": another_model,
    "another model, described anew": lambda tiny: (another_model(tiny), described_anew(tiny)),
    "one bit of the model": lambda tiny: flip(tiny / "model.onnx", -1),
    "a truncated model": lambda tiny: (tiny / "model.onnx").write_bytes(b""),
    "no model": lambda tiny: (tiny / "model.onnx").unlink(),
    "one bit of the tokenizer": lambda tiny: flip(tiny / "tokenizer.json", 40),
    "one bit of the configuration": lambda tiny: flip(tiny / "config.json", 3),
    "a model that is a link": lambda tiny: linked(tiny, "model.onnx"),
    "a manifest that is a link": lambda tiny: linked(tiny, MANIFEST_NAME),
    "a signature that is a link": lambda tiny: linked(tiny, SIGNATURE_NAME),
    "a folder that is a link": folder_linked,
    "a truncated manifest": lambda tiny: (tiny / MANIFEST_NAME).write_bytes(
        (tiny / MANIFEST_NAME).read_bytes()[:-20]
    ),
    "the folder of another variant": other_name,
    "the folder of another family": other_family,
    "renamed with its manifest": lambda tiny: (
        described_anew(tiny, variant="renamed"),
        other_name(tiny),
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_bundle_that_was_tampered_with_does_not_get_in(registry, keys, how):
    both = {"tiny", "wide"}
    assert accepted(registry, keys[1]) == both

    TAMPERED[how](registry / "tone" / "tiny")

    assert accepted(registry, keys[1]) == ({"wide"} if "swapped" not in how else set())


def test_files_that_the_manifest_does_not_name_are_never_read(registry, keys):
    tiny = registry / "tone" / "tiny"
    (tiny / "model.xml").write_text("<net/>")
    (tiny / "model.bin").write_bytes(b"weights")

    (bundle,) = [
        each for each in read_registry(registry, (), read_trusted_keys(keys[1]))["tone"]
        if each.manifest.variant == "tiny"
    ]  # fmt: skip

    assert bundle.model_path == tiny / "model.onnx"
    assert not (publish(tiny, registry.parent / "copy").folder / "model.xml").exists()


def test_a_published_bundle_keeps_its_signature(tmp_path, registry, keys):
    copy = publish(registry / "tone" / "tiny", tmp_path / "copy")

    assert read_bundle(copy.folder, trusted=read_trusted_keys(keys[1])) == copy


def test_publishing_a_bundle_that_has_been_signed_since_adds_the_signature(tmp_path, keys):
    write_bundle(tmp_path / "new")
    publish(tmp_path / "new", tmp_path / "registry")
    sign(tmp_path / "new", keys[0])

    publish(tmp_path / "new", tmp_path / "registry")

    assert accepted(tmp_path / "registry", keys[1]) == {"tiny"}
    assert not (tmp_path / "registry" / "tone" / "tiny@previous").exists()


def test_openssl_makes_keys_and_checks_signatures(tmp_path):
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    write_bundle(tmp_path / "r" / "tone" / "tiny")

    (tiny,) = sign(tmp_path / "r", private)

    assert accepted(tmp_path / "r", public) == {"tiny"}
    said = openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public,
                   "-in", tiny / MANIFEST_NAME, "-sigfile", tiny / SIGNATURE_NAME)  # fmt: skip
    assert "Verified Successfully" in said


def test_any_key_of_a_folder_will_do(tmp_path, registry, keys):
    folder = tmp_path / "trusted"
    folder.mkdir()
    _, old = new_keys(tmp_path, "old")
    shutil.copy(old, folder)
    assert accepted(registry, folder) == set()

    shutil.copy(keys[1], folder)

    assert accepted(registry, folder) == {"tiny", "wide"}


def test_every_key_of_a_file_counts_and_a_folder_may_hold_the_private_one(tmp_path, registry, keys):
    _, other = new_keys(tmp_path, "other")
    both = tmp_path / "both.pem"
    both.write_bytes(other.read_bytes() + b"# team\n" + keys[1].read_bytes())
    assert keys[0].name.endswith(".private.pem")

    assert accepted(registry, both) == {"tiny", "wide"}
    assert len(read_trusted_keys(keys[0].parent).keys) >= 2

    both.write_bytes(other.read_bytes() + keys[0].read_bytes())
    with pytest.raises(StartError, match=r"both\.pem is a private key, not a public key: keep it"):
        read_trusted_keys(both)


def test_an_exported_folder_without_a_manifest_is_refused(tmp_path, registry, keys):
    folder = shutil.copytree(registry / "tone" / "tiny", tmp_path / "exported")
    (folder / MANIFEST_NAME).unlink()

    found = scan([folder], (), read_trusted_keys(keys[1]))

    assert found.bundles == {}
    assert found.refused


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read|No such file"),
        ("", "not a public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key"),
    ],
)
def test_a_file_that_is_no_key_ends_the_start(tmp_path, content, said):
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(StartError, match=said):
        read_trusted_keys(path)


def test_a_key_of_another_kind_a_private_key_and_an_empty_folder_end_the_start(tmp_path, keys):
    openssl("genpkey", "-algorithm", "x25519", "-out", tmp_path / "x.private.pem")
    openssl("pkey", "-in", tmp_path / "x.private.pem", "-pubout", "-out", tmp_path / "x.pem")
    (tmp_path / "empty").mkdir()

    for path, said in (
        (tmp_path / "x.pem", "not a key of Ed25519"),
        (keys[0], "is a private key, not a public key"),
        (tmp_path / "empty", "holds no"),
    ):
        with pytest.raises(StartError, match=said):
            read_trusted_keys(path)
