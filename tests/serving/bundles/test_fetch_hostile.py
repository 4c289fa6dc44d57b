"""`fetch` from a store that means harm: nothing outside is touched."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from models.signing import sign
from serving.bundles import store as store_module
from serving.bundles.bundle import MANIFEST_NAME, BundleFile, Manifest
from serving.bundles.fetch import fetch
from serving.bundles.registry import intact
from serving.bundles.signatures import SIGNATURE_NAME, read_trusted_keys
from serving.errors import BundleError, StartError
from tests.support.hostile_store import endless, hostile_store, outside, redirect, send
from tests.support.processes import ROOT
from tests.support.signed import new_keys

MANIFEST = f"tone/tiny/{MANIFEST_NAME}"


def bring(store, target, **options):
    fetch(f"{store.url}/tone", target, **options)


def with_file(store, name, content=b"owned"):
    """A manifest, consistent in itself, that names one more file."""
    path = store.folder / MANIFEST
    fields = json.loads(path.read_text())
    more = BundleFile(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    files = {**Manifest.model_validate(fields).files, name: more}
    fields["files"][name] = more.model_dump()
    fields["version"] = Manifest.model_construct(**fields | {"files": files}).content_version()
    store.answers[f"tone/tiny/{name}"] = lambda request: send(request, content)
    store.answers[MANIFEST] = lambda request: send(request, json.dumps(fields).encode())


@pytest.mark.parametrize("options", [{}, {"cached": True}])
def test_a_store_on_http_is_mirrored(store, target, tmp_path, options):
    cache = {"cache": tmp_path / "cache"} if options else {}

    bring(store, target, **cache)

    assert intact(target / "tiny")


NAMES = [
    "/etc/owned", "../owned", "../../owned", "..", ".", "", "a/b", "a\\b", "..\\owned", "C:owned",
    "C:\\owned", "\\\\host\\share", "a\0b", "a\nb", "a\x1bb", "CON", "nul.txt", "com1", "LPT9.log",
    "a" * 256, "é" * 128, "owned.", "owned ", "..data", "a:b", "a\u202eb", "Manifest.json",
    "MODEL.onnx", "\ufb01le\u0000", "manifest.json.sig", "MANIFEST.JSON.SIG", "config.json/",
    "~/owned/", "%2e%2e/owned", "\u212aonfig.json/../x", "manifest.json", "Tokenizer.JSON",
    "c\u043enfig.json/../..", "\uff4dodel.onnx",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_whose_file_has_no_plain_name_writes_nothing(store, target, name):
    before = outside(target)
    with_file(store, name)

    with pytest.raises(BundleError):
        bring(store, target)

    assert outside(target) == before
    assert not target.exists()
    assert store.asked[-1] in {MANIFEST, f"tone/tiny/{SIGNATURE_NAME}"}, "it fetched a file"


@pytest.mark.parametrize(
    "link", ["../", "%2e%2e/", "..%2f..%2fneighbour/", "tiny@../", "tiny@a@b/", ".hidden/", "A/"]
)
def test_a_listing_of_other_names_touches_nothing_but_the_family(store, target, tmp_path, link):
    cache = tmp_path / "cache"
    (cache / "other").mkdir(parents=True)
    (cache / "other" / "kept").write_text("kept")
    before = outside(target)
    page = f'<a href="{link}">x</a><a href="tiny/">tiny</a><a href="{store.url}/x/">x</a>'
    store.answers["tone"] = lambda request: send(request, page.encode())

    bring(store, target, cache=cache)

    assert outside(target) == before
    assert (cache / "other" / "kept").read_text() == "kept"
    assert [path.name for path in target.iterdir()] == ["tiny"]


@pytest.mark.parametrize("path", ["tone", MANIFEST, "tone/tiny/model.onnx", "tone/traffic.json"])
@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "http://169.254.169.254/latest/", "http://localhost/", "ftp://x/"],
)
def test_a_redirect_to_another_host_is_not_followed(store, target, path, location):
    (store.folder / "tone" / "traffic.json").write_text("{}")
    store.answers[path] = redirect(location)

    with pytest.raises(StartError, match=r"redirects to|cannot be read"):
        bring(store, target)

    assert not (target / "traffic.json").exists()


def test_a_redirect_within_the_host_is_followed(store, target):
    shutil.move(store.folder / "tone" / "tiny" / "model.onnx", store.folder / "moved")
    store.answers["tone/tiny/model.onnx"] = redirect("/moved")

    bring(store, target)

    assert intact(target / "tiny")


@pytest.mark.parametrize("path", ["tone", MANIFEST, "tone/tiny/model.onnx"])
def test_an_endless_body_is_cut_off(store, target, path):
    store.answers[path] = endless

    with pytest.raises(StartError, match=r"bytes|does not match"):
        bring(store, target)

    assert not target.exists() or list(target.iterdir()) == []


def test_a_body_that_unpacks_without_end_is_cut_off(store, target):
    bomb = gzip.compress(b" " * (64 << 20))
    store.answers[MANIFEST] = lambda request: send(request, bomb, Content_Encoding="gzip")

    with pytest.raises(StartError, match="cannot be read"):
        bring(store, target)


@pytest.mark.parametrize("length", ["0", "3", "999999999999", "-1", "x"])
def test_a_wrong_content_length_is_refused(store, target, length):
    content = (store.folder / "tone" / "tiny" / "model.onnx").read_bytes()
    store.answers["tone/tiny/model.onnx"] = lambda request: send(
        request, content, Content_Length=length
    )

    with pytest.raises(StartError):
        bring(store, target)

    assert not (target / "tiny").exists()


def test_a_listing_of_more_names_than_a_family_has_is_refused(store, target):
    page = "".join(f'<a href="v{number}/">x</a>' for number in range(20_000)).encode()
    store.answers["tone"] = lambda request: send(request, page)

    with pytest.raises(StartError, match="lists over"):
        bring(store, target)


def test_a_body_that_comes_too_slowly_is_given_up(store, target, monkeypatch):
    monkeypatch.setattr(store_module, "_PATIENCE_S", -1e6)

    with pytest.raises(StartError, match="too slowly"):
        bring(store, target)


def test_a_bundle_larger_than_the_disk_is_refused_before_it_is_fetched(store, target):
    path = store.folder / MANIFEST
    fields = json.loads(path.read_text())
    fields["files"]["model.onnx"]["bytes"] = 1 << 50
    store.answers[MANIFEST] = lambda request: send(request, json.dumps(fields).encode())

    with pytest.raises(BundleError, match="free"):
        bring(store, target)

    assert "tone/tiny/model.onnx" not in store.asked


def test_other_bytes_at_the_second_request_do_not_count(store, target):
    """The manifest that was checked is the one that is published."""
    first = (store.folder / MANIFEST).read_bytes()
    answers = iter([first])
    store.answers[MANIFEST] = lambda request: send(request, next(answers, b"{}"))

    bring(store, target)

    assert (target / "tiny" / MANIFEST_NAME).read_bytes() == first


def test_an_xml_bomb_in_a_listing_of_s3_is_refused(tmp_path, target):
    entities = "".join(
        f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 100}">' for n in range(12)
    )
    bomb = f"<?xml version='1.0'?><!DOCTYPE r [{entities}]><r>&e11;</r>".encode()
    keys = {"AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t", "AWS_MAX_ATTEMPTS": "1"}
    with hostile_store(tmp_path / "none") as store:
        store.answers = dict.fromkeys(
            ["bucket?list-type=2&prefix=tone%2F&delimiter=%2F&encoding-type=url", "bucket"],
            lambda request: send(request, bomb, Content_Type="application/xml"),
        )
        done = subprocess.run(
            [sys.executable, "-m", "serving", "fetch", "s3://bucket/tone", "--to", target],
            cwd=ROOT, env=os.environ | keys | {"AWS_ENDPOINT_URL": store.url},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not target.exists()


def test_only_what_a_trusted_key_has_signed_is_fetched(store, target, tmp_path):
    private, public = new_keys(tmp_path, "team")
    trusted = read_trusted_keys(public)
    with pytest.raises(BundleError, match="is not signed"):
        bring(store, target, trusted=trusted)
    assert not target.exists()

    sign(store.folder / "tone", private)
    bring(store, target, trusted=trusted)

    signature = (store.folder / "tone" / "tiny" / SIGNATURE_NAME).read_bytes()
    assert (target / "tiny" / SIGNATURE_NAME).read_bytes() == signature


def test_a_signature_made_after_the_fetch_arrives_with_the_next_one(store, target, tmp_path):
    private, _ = new_keys(tmp_path, "team")
    bring(store, target)
    sign(store.folder / "tone", private)

    bring(store, target)

    assert (target / "tiny" / SIGNATURE_NAME).is_file()
