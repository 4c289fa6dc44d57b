"""A ConfigMap behind a Kubernetes API over TLS."""

import json
import ssl
from dataclasses import replace

import pytest

from serving.errors import StartError
from serving.runtime import config_map as module
from serving.runtime.config_map import MOST_BYTES, config_map
from tests.support.config_map_api import NAME, PATH, TOKEN, api, certificates

pytestmark = pytest.mark.usefixtures("proxies")


@pytest.fixture
def cluster(tmp_path):
    with api(tmp_path) as it:
        yield it


@pytest.fixture
def proxies(monkeypatch):
    """A token must not pass through the proxy that fetches models."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def shared(cluster, waits_s=()):
    return replace(config_map(NAME, cluster.environment, cluster.account), waits_s=waits_s)


def failure(act, *arguments):
    with pytest.raises(StartError) as failed:
        act(*arguments)
    assert TOKEN not in failed.value.detail
    return failed.value.detail


def test_what_is_written_is_read_and_what_others_wrote_stays(cluster):
    it = shared(cluster)
    assert it.read() == {}

    it.change({}, {"a.json": "1", "b.json": "2"})
    cluster.data["other.json"] = "3"
    it.change({"a.json": "1", "b.json": "2"}, {"b.json": "2", "c.json": "ü"})

    assert it.read() == {"b.json": "2", "c.json": "ü", "other.json": "3"}
    assert cluster.asked[2][3] == {"data": {"a.json": None, "c.json": "ü"}}


def test_a_patch_has_its_path_token_and_type(cluster):
    shared(cluster).change({}, {"a.json": "1"})

    ((method, path, headers, body),) = cluster.asked
    assert (method, path) == ("PATCH", f"{PATH}?fieldManager=sizewise-tune")
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert headers["Host"] == f"127.0.0.1:{cluster.port}"
    assert body == {"data": {"a.json": "1"}}


def test_without_a_difference_nothing_is_asked(cluster):
    shared(cluster).change({"a.json": "1"}, {"a.json": "1"})

    assert cluster.asked == []


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "the token of the service account is not accepted"),
        (403, "the service account must be allowed to get and patch it"),
        (404, "create it first, empty"),
        (413, "answered 413"),
        (422, "answered 422"),
        (307, "answered 307"),
    ],
)
def test_a_refusal_is_said_at_once_with_the_remedy(cluster, status, said):
    cluster.refusals = [("PATCH", status)]

    detail = failure(shared(cluster, waits_s=(60.0,)).change, {}, {"a.json": "1"})

    assert f"the ConfigMap models/{NAME} cannot be written: the Kubernetes API" in detail
    assert f"answered {status}: {NAME} is refused with {status}" in detail
    assert said in detail
    assert len(cluster.asked) == 1


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_what_may_pass_is_tried_again(cluster, status):
    cluster.refusals = [("PATCH", status)] * 2
    shared(cluster, waits_s=(0.0, 0.0)).change({}, {"a.json": "1"})
    assert cluster.data == {"a.json": "1"}

    cluster.refusals = [("GET", status)] * 2
    assert f"cannot be read: the Kubernetes API answered {status}" in failure(
        shared(cluster, waits_s=(0.0,)).read
    )


def test_an_api_that_does_not_answer_or_is_not_there_is_given_up(cluster, monkeypatch):
    monkeypatch.setattr(module, "_LIMIT_S", 0.2)
    cluster.hang.clear()
    assert "timed out" in failure(shared(cluster).read)
    cluster.hang.set()

    unreachable = replace(shared(cluster, waits_s=(0.0,)), port=9)
    assert "https://127.0.0.1:9: [Errno 111] Connection refused" in failure(unreachable.read)


def test_only_the_cas_of_the_cluster_are_trusted_even_without_key_identifiers(cluster, tmp_path):
    seen = []
    original = ssl.create_default_context

    def create(**given):
        seen.append(original(**given))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", create)
        assert shared(cluster).read() == {}
    assert not seen[0].verify_flags & ssl.VERIFY_X509_STRICT
    assert (seen[0].verify_mode, seen[0].check_hostname) == (ssl.CERT_REQUIRED, True)

    (cluster.account / "ca.crt").write_bytes(certificates(tmp_path))
    assert "certificate verify failed" in failure(shared(cluster).read)
    (cluster.account / "ca.crt").unlink()
    assert "No such file" in failure(shared(cluster).read)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nHost: b", "x" * (2 << 20)])
def test_what_is_no_token_is_not_sent(cluster, token):
    (cluster.account / "token").write_text(token)

    assert str(cluster.account / "token") in failure(shared(cluster).read)
    assert cluster.asked == []


@pytest.mark.parametrize("answer", [[], {"data": [1]}, {"data": {"a": 1}}, "text"])
def test_an_answer_that_is_no_config_map_is_an_error(cluster, answer):
    cluster.answer = lambda *_: (200, answer)

    assert "answered no ConfigMap" in failure(shared(cluster).read)


def test_an_answer_without_end_is_not_read(cluster, monkeypatch):
    monkeypatch.setattr(module, "_MOST_ANSWER_BYTES", 64)
    cluster.data = {"a.json": "x" * 100}

    assert "the answer is larger than 64 bytes" in failure(shared(cluster).read)


def test_more_than_a_config_map_takes_is_said_before_it_is_sent(cluster):
    half = "ü" * (MOST_BYTES // 4)
    shared(cluster).change({}, {"a.json": half, "b.json": half})

    detail = failure(shared(cluster).change, {}, {"a.json": half, "b.json": half + "x"})

    assert f"would hold 2 files of {MOST_BYTES + 1:,} bytes" in detail
    assert "tuning.hostPath" in detail
    assert len(cluster.asked) == 1
    assert json.dumps(cluster.asked[0][3])


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "a?b", "../secrets/a", "a" * 254, "ü"])
def test_what_is_not_the_name_of_a_config_map_is_refused(cluster, name):
    assert "is not the name of a ConfigMap" in failure(
        config_map, name, cluster.environment, cluster.account
    )


def test_outside_a_pod_it_says_what_is_missing(cluster, tmp_path):
    for environment in ({}, cluster.environment | {"KUBERNETES_SERVICE_PORT": "https"}):
        assert "--config-map needs a pod" in failure(config_map, NAME, environment, cluster.account)
    assert str(tmp_path / "none") in failure(
        config_map, NAME, cluster.environment, tmp_path / "none"
    )
