"""Requests leave no cycles of references, which only the garbage collector would free."""

import gc

import pytest

from serving.observability.request_log import RequestRecord
from serving.server.http_cycle import Cycle
from tests.support.bundles import write_registry
from tests.support.in_process import connected
from tests.support.raw_http import read, request

KINDS = {
    "direct": request(),
    "a body in parts": request(chunked=True),
    "without a body": request(path="/health/live", method="GET", body=b""),
    "another protocol": request(path="/predict", body=b'{"inputs": "good"}'),
    "refused": request(path="/nowhere", body=b""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_is_freed_without_the_garbage_collector(tmp_path, kind):
    registry = write_registry(tmp_path / "registry", tmp_path)
    with connected(registry) as (_, _, client):

        def ask():
            for part in KINDS[kind]:
                client.sendall(part)
            assert read(client)[0] in {200, 404}

        ask()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(5):
                ask()
            gc.collect()
            left = [each for each in gc.garbage if isinstance(each, Cycle | RequestRecord)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left == []
