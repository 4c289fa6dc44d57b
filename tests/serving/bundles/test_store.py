"""HTTP stores that dribble, pack, or lie behind a proxy."""

import gzip
import time

import pytest

from serving.bundles import store as store_module
from serving.bundles.fetch import fetch
from serving.bundles.registry import intact
from serving.bundles.store import Store
from serving.errors import StartError
from tests.support.hostile_store import send
from tests.support.patience import ends
from tests.support.processes import free_port

BUNDLE = "tone/tiny"


def bring(store, target):
    ends(lambda: fetch(f"{store.url}/tone", target))


def dribbles(*parts):
    """An answer of which a part comes every tenth of a second, the last of them for ever."""

    def answer(request):
        first, *between, last = parts
        try:
            for part in (first, *between, *([last] * 1000)):
                request.wfile.write(part)
                time.sleep(0.1)
        except OSError:
            return

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIBBLES = {
    "headers": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 2221\r\n\r\n", b" "),
    "extensions of a chunk": (CHUNKED + b"5;", b"x"),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
}


@pytest.mark.parametrize("how", DRIBBLES)
@pytest.mark.parametrize("path", ["tone", f"{BUNDLE}/manifest.json", f"{BUNDLE}/model.onnx"])
def test_an_answer_that_dribbles_is_given_up(store, target, path, how, monkeypatch):
    monkeypatch.setattr(store_module, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(store_module, "_SLOWEST_BYTES_PER_S", 1e12)
    store.answers[path] = dribbles(*DRIBBLES[how])

    with pytest.raises(StartError, match=r"too slowly|TimeoutError"):
        bring(store, target)

    assert not (target / "tiny").exists()


def test_a_bundle_may_not_take_as_long_as_each_of_its_files_may(store, target, monkeypatch):
    monkeypatch.setattr(store_module, "_PATIENCE_S", 1.5)
    monkeypatch.setattr(store_module, "_SLOWEST_BYTES_PER_S", 1e12)
    for path in (store.folder / BUNDLE).iterdir():
        if path.name != "manifest.json":
            store.answers[f"{BUNDLE}/{path.name}"] = late(path.read_bytes())

    with pytest.raises(StartError, match=r"too slowly|TimeoutError"):
        bring(store, target)


def late(content):
    def answer(request):
        time.sleep(0.8)
        send(request, content)

    return answer


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate, gzip"])
def test_a_packed_answer_is_refused_before_it_is_unpacked(store, target, coding):
    content = gzip.compress(b" " * (64 << 20))
    path = f"{BUNDLE}/manifest.json"
    store.answers[path] = lambda request: send(request, content, Content_Encoding=coding)

    with pytest.raises(StartError, match="is sent with Content-Encoding"):
        bring(store, target)


@pytest.mark.parametrize("lines", [1, 500])
def test_headers_without_end_are_refused(store, target, lines):
    def answer(request):
        request.send_response(200)
        for number in range(lines):
            request.send_header(f"X-{number}", "y" * (4_000_000 // lines))
        request.send_header("Content-Length", "0")
        request.end_headers()

    store.answers[f"{BUNDLE}/manifest.json"] = answer

    with pytest.raises(StartError, match="cannot be read"):
        bring(store, target)


def test_a_manifest_that_changes_between_reads_is_the_one_that_was_checked(store, target):
    path = store.folder / BUNDLE / "manifest.json"
    first, asked = path.read_bytes(), []

    def answer(request):
        asked.append(request.path)
        send(request, first if len(asked) == 1 else b"{}")

    store.answers[f"{BUNDLE}/manifest.json"] = answer

    bring(store, target)

    assert (target / "tiny" / "manifest.json").read_bytes() == first
    assert len(asked) == 1


@pytest.fixture
def proxy(store, monkeypatch):
    """The store as a proxy: it answers for whatever host is asked for."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return store


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_the_proxy_of_the_environment_is_used(proxy, target, monkeypatch, name):
    monkeypatch.setenv(name, proxy.url)

    ends(lambda: fetch("http://models.invalid/tone", target))

    assert intact(target / "tiny")


def test_https_goes_through_a_tunnel_of_the_proxy(proxy, target, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)

    with pytest.raises(StartError, match="cannot be read"):
        ends(lambda: fetch("https://models.invalid/tone", target))

    assert proxy.asked == ["CONNECT models.invalid:443"]


def test_a_host_of_no_proxy_is_asked_itself(proxy, target, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    bring(proxy, target)

    assert intact(target / "tiny")


def test_a_bucket_of_google_is_read_through_the_proxy(monkeypatch):
    given = {}
    monkeypatch.setattr(
        store_module.fsspec.core, "url_to_fs",
        lambda url, **options: (given.update(options), url),
    )  # fmt: skip

    Store("gs://bucket/tone")

    assert given == {"session_kwargs": {"trust_env": True}}
