"""A real Envoy, with the configuration that the docs keep, asks before a model does."""

import json

import httpx
import pytest

from serving.protocols.ext_proc.processor import PATH
from tests.support.envoy import gateway
from tests.support.metric_values import total
from tests.support.processes import free_port, serving
from tests.support.registries import wait_for

OURS = ("x-sizewise-flagged", "x-sizewise-label", "x-sizewise-score", "x-sizewise-failure")


@pytest.fixture(scope="module")
def grpc_port(guards):
    port = free_port()
    with serving(guards, grpc_port=port):
        yield port


def ours(request):
    headers = {name.lower(): value for name, value in request[0].items()}
    return {name: headers[name] for name in OURS if name in headers}


def test_the_model_sees_what_passes_and_never_what_is_blocked(grpc_port, tmp_path):
    with gateway(tmp_path, grpc_port) as envoy:
        passed = envoy.chat("good film", x_sizewise_flagged="mine", x_sizewise_label="mine")
        blocked = envoy.chat("good film", "awful plot")
        unreadable = envoy.post("{")
        bodiless = httpx.get(f"{envoy.url}/v1/models")

    assert [passed.status_code, bodiless.status_code] == [200, 200]
    assert [ours(each) for each in envoy.reached] == [
        {"x-sizewise-flagged": "false"},
        {"x-sizewise-flagged": "unknown", "x-sizewise-failure": "no_text"},
    ]
    assert json.loads(envoy.reached[0][1])["messages"][0]["content"] == "good film"
    assert blocked.status_code == 403
    assert blocked.headers["content-type"] == "application/json"
    assert blocked.json()["error"]["code"] == "content_policy_violation"
    assert (unreadable.status_code, unreadable.json()["error"]["param"]) == (400, "body")


@pytest.mark.parametrize("mode", ["STREAMED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED"])
def test_in_every_mode_a_body_that_comes_in_pieces_is_judged_as_a_whole(grpc_port, tmp_path, mode):
    def pieces(word):
        yield b'{"messages": [{"role": "user", '
        yield b'"content": "%s"}]}' % word

    modes = {"request_body_mode": mode, "request_trailer_mode": "SEND"}
    with gateway(
        tmp_path, grpc_port, processing_mode=modes | {"response_header_mode": "SEND"}
    ) as envoy:
        codes = [envoy.post(pieces(word)).status_code for word in (b"good", b"awful")]

    assert codes == [200, 403]
    assert [json.loads(body)["messages"][0]["content"] for _, body in envoy.reached] == ["good"]


@pytest.mark.parametrize("opens", [False, True])
def test_where_no_server_answers_envoys_own_failure_mode_counts(tmp_path, opens):
    with gateway(tmp_path, free_port(), failure_mode_allow=opens) as envoy:
        code = envoy.chat("awful plot").status_code

    assert len(envoy.reached) == opens
    assert (code == 200) == opens


def test_a_key_and_a_trace_go_with_envoys_call(guards, tmp_path):
    port, trace = free_port(), "0af7651916cd43dd8448eb211c80319c"
    service = {
        "envoy_grpc": {"cluster_name": "sizewise"},
        "initial_metadata": [
            {"key": "authorization", "value": "Bearer correct-horse"},
            {"key": "x-sizewise-model", "value": "tone"},
        ],
    }
    with (
        serving(
            guards, grpc_port=port, ext_proc_model="none",
            api_key="correct-horse",
        ) as server,
        gateway(tmp_path, port, grpc_service=service) as envoy,
        gateway(tmp_path, port) as without,
    ):  # fmt: skip
        blocked = envoy.chat("awful", traceparent=f"00-{trace}-b7ad6b7169203331-01")
        refused = without.chat("good")
        page = server.metrics()
        wait_for(lambda: server.log().count(PATH) == 2)
        logged = [json.loads(line) for line in server.log().splitlines() if PATH in line]

    assert blocked.status_code == 403
    assert (refused.status_code >= 500, without.reached) == (True, [])
    assert [(line["status"], line.get("outcome")) for line in logged] == [
        (200, "blocked"), (401, None),
    ]  # fmt: skip
    assert logged[0]["trace_id"] == trace
    assert logged[0]["request_id"] == blocked.headers["x-request-id"]
    assert total(page, "sizewise_checked_requests_total", outcome="blocked") == 1
