"""HEAD is GET without the content."""

import json

import httpx
import pytest

from tests.support.metric_values import total
from tests.support.processes import serving


@pytest.mark.parametrize(
    "path",
    ["/health/live", "/health/ready", "/health", "/v2/health/live", "/v2/health/ready",
     "/v2/models/tone/ready", "/metrics", "/v1/models", "/nowhere", "/v1/classify"],
)  # fmt: skip
def test_head_is_answered_as_get_without_the_content(server, path):
    with httpx.Client(base_url=server.url) as client:
        got, head = client.get(path), client.head(path)
        again = client.get("/health/live")

    names = set(got.headers) - {"date", "x-request-id", "content-length"}
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert {name: head.headers[name] for name in names} == {
        name: got.headers[name] for name in names
    }
    assert "content-length" in head.headers
    assert again.status_code == 200


def test_the_log_and_the_metrics_name_head_and_its_endpoint(tiny_registry):
    with serving(tiny_registry) as server:
        httpx.head(f"{server.url}/v1/models")
        page = server.metrics()
        server.stop()
        log = server.log()
    lines = [json.loads(line) for line in log.splitlines() if '"HEAD"' in line]

    assert [(line["path"], line["status"]) for line in lines] == [("/v1/models", 200)]
    assert total(page, "sizewise_requests_total", endpoint="/v1/models", code="200") == 1
