"""HTTP clients that we did not write, with their defaults, unchanged."""

import pytest

from tests.support.clients import ask, ask_with, counting_relay
from tests.support.processes import serving

KEY = "correct-horse"
LARGE = 20_000_000
PYTHONS = ["requests", "httpx", "urllib3", "urllib", "aiohttp", "geventhttpclient"]
DEBIANS = {
    "JDK": (["java"], "default-jdk-headless", "Client.java"),
    "node": (["node"], "nodejs", "client.mjs"),
    "Go": (["go", "run"], "golang-go", "client.go"),
    "curl": (["bash"], "curl", "curl_http2.sh"),
}
# They open a connection for each request.
WITHOUT_POOL = {"urllib", "curl"}


@pytest.fixture(scope="module")
def guarded(tiny_registry):
    with serving(tiny_registry, api_key=KEY) as running:
        yield running


def run(client, url, size):
    if client in PYTHONS:
        return ask("python_http", client, url, KEY, size)
    return ask_with(*DEBIANS[client], url, KEY, size)


@pytest.mark.parametrize("client", [*PYTHONS, *DEBIANS])
def test_a_client_reads_answers_and_refusals_of_20_mb(guarded, client):
    assert run(client, guarded.url, LARGE) == {
        "small": [200] * 3,
        "large": 413,
        "unauthorized": 401,
        "after": 200,
    }


@pytest.mark.parametrize("client", [*PYTHONS, *DEBIANS])
def test_a_client_with_a_pool_uses_its_connections_again(guarded, client):
    address = ("127.0.0.1", int(guarded.url.rpartition(":")[2]))
    with counting_relay(address) as (url, accepted):
        found = run(client, url, 1)

    assert found["small"] + [found["large"], found["after"]] == [200] * 5
    assert found["unauthorized"] == 401
    # Node's opens a second one when it is ready before the first is free again.
    least, most = (6, 6) if client in WITHOUT_POOL else (1, 2)
    assert least <= len(accepted) <= most
