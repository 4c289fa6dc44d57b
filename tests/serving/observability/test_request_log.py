import asyncio
import json
import time
from types import SimpleNamespace

import pytest

from serving.observability.request_log import RequestLog, RequestRecord


def logged(capsys, endpoint, status):
    """The lines of one request to an endpoint, and whether it was counted."""
    counted = []
    recorder = SimpleNamespace(record_request=lambda *what, **_more: counted.append(what[0]))
    tracing = SimpleNamespace(exports=False, close=lambda: None)

    async def run():
        log = RequestLog(recorder, tracing)
        scope = {"method": "GET", "path": endpoint}
        log.record(scope, {}, endpoint, RequestRecord("an-id", time.monotonic()), status)
        await log.close()

    asyncio.run(run())
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()], counted


@pytest.mark.parametrize(
    "endpoint",
    [
        "/health", "/health/live", "/health/ready", "/ping", "/v2/health/live", "/v2/health/ready",
        "/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady",
        "/grpc.health.v1.Health/Check",
    ],
)  # fmt: skip
def test_a_probe_is_counted_and_logged_only_where_it_is_refused(capsys, endpoint):
    lines, counted = logged(capsys, endpoint, 200)
    assert (lines, counted) == ([], [endpoint])

    (line,), counted = logged(capsys, endpoint, 503)
    assert (line["level"], line["path"], counted) == ("warning", endpoint, [endpoint])


@pytest.mark.parametrize(("endpoint", "status"), [("/v1/classify", 200), ("/v1/models", 503)])
def test_every_other_request_is_logged_at_level_info(capsys, endpoint, status):
    (line,), _ = logged(capsys, endpoint, status)

    assert (line["level"], line["event"], line["status"]) == ("info", "request", status)
