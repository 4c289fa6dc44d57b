"""The external processor as Envoy's published messages ask it."""

import httpx
import pytest

from tests.support.ext_proc_streams import (
    DUPLEX,
    PARTIAL,
    STREAMED,
    chat,
    chunk,
    counted,
    head,
    lines,
    stream,
    told,
)  # fmt: skip
from tests.support.grpc_calls import channel
from tests.support.processes import free_port, serving
from tests.support.registries import wait_for

GOES_ON, BLOCKED = ("request_headers", {}), ("Forbidden", "content_policy_violation")
RUDE = {"flagged": "true", "label": "negative"}


@pytest.fixture(scope="module")
def port(guards):
    port = free_port()
    with serving(guards, grpc_port=port, max_body_bytes=100_000):
        yield port


def test_a_request_goes_on_with_headers_or_is_blocked(port):
    got = told(
        port,
        [head(), chunk(chat("good film"))],
        [head(), chunk(chat("good", "awful", "good"))],
        [head(ends=True)],
        [head(), chunk(b'{"messages":[{"role":"system","content":"awful"}]}')],
        [chunk(chat("good"))],
        [head(**{"content-encoding": "identity"}), chunk(chat("good"))],
    )

    assert got == [
        [GOES_ON, ("request_body", {"flagged": "false"})],
        [GOES_ON, BLOCKED],
        [("request_headers", {"flagged": "unknown", "failure": "no_text"})],
        [GOES_ON, ("request_body", {"flagged": "unknown", "failure": "no_text"})],
        [("request_body", {"flagged": "false"})],
        [GOES_ON, ("request_body", {"flagged": "false"})],
    ]


def test_no_chunk_that_completes_a_body_goes_on_before_it_is_judged(port):
    whole = chat("awful plot")
    first, second = chunk(whole[:20], ends=False), chunk(whole[20:], ends=False)
    good = chat("good plot")
    passing = [chunk(good[:20], ends=False), chunk(good[20:], ends=False), chunk(b"")]
    on = ("request_body", {})

    got = told(
        port,
        [head(STREAMED), first, second, chunk(b"")],
        [head(STREAMED), first, second, {"request_trailers": {}}],
        [head(STREAMED), *passing],
        [head(), {**chunk(good, ends=False)}, {"request_trailers": {}}],
    )

    assert got[:2] == [[GOES_ON, on, BLOCKED]] * 2
    flagged = ("request_body", {"flagged": "false"})
    assert got[2] == [GOES_ON, on, flagged, flagged]
    # Trailers follow a body that Envoy has buffered; they are not waited for.
    assert got[3] == [GOES_ON, flagged]


def test_a_body_that_envoy_does_not_keep_is_sent_back(port):
    large = chat("good film", *["plot"] * 200, "x" * 70_000)
    got = told(
        port,
        [head(DUPLEX), chunk(chat("good")[:9], ends=False), chunk(chat("good")[9:])],
        [head(DUPLEX), chunk(chat("good"), ends=False), {"request_trailers": {}}],
        [head(DUPLEX), chunk(chat("bad"))],
        [head(DUPLEX), chunk(large)],
    )

    unflagged = ("request_headers", {"flagged": "false"})
    assert got[0] == [unflagged, ("request_body", chat("good"), True)]
    assert got[1] == [
        unflagged, ("request_body", chat("good"), False), ("request_trailers", {}),
    ]  # fmt: skip
    assert got[2] == [BLOCKED]
    assert got[3] == [("UnprocessableEntity", "text_too_long")]


FAULTS = {
    "malformed_body": ("BadRequest", [head(), chunk(b"{")]),
    "invalid_field": ("UnprocessableEntity", [head(), chunk(b'{"contents": []}')]),
    "unsupported_media_type": (
        "UnsupportedMediaType",
        [head(**{"content-encoding": "gzip"}), chunk(b"\x1f\x8b")],
    ),
    "text_too_long": ("UnprocessableEntity", [head(), chunk(chat("good " * 200))]),
    "too_many_texts": ("PayloadTooLarge", [head(), chunk(chat(*["good"] * 300))]),
    "body_too_large": (
        "PayloadTooLarge",
        [head(STREAMED), chunk(b" " * 60_000, ends=False), chunk(b" " * 60_000, ends=False)],
    ),
}


@pytest.mark.parametrize("failure", ["open", "closed"])
def test_only_what_is_no_fault_of_the_clients_may_go_on_unjudged_and_all_is_logged_and_counted(
    guards, failure
):
    port = free_port()
    partial = [head(PARTIAL), chunk(b"{", ends=False)]
    with serving(
        guards, grpc_port=port, ext_proc_failure=failure,
        max_body_bytes=100_000, http_processes=1,
    ) as server:  # fmt: skip
        *refused, misconfigured = told(
            port, *[stream for _, stream in FAULTS.values()], partial, [head("NONE")]
        )
        counts = {reason: counted(server, outcome="refused", reason=reason) for reason in FAULTS}
        failed = counted(server, outcome=f"failed_{failure}", reason="misconfigured")
        wait_for(lambda: len(lines(server)) == len(refused) + 1)
        logged = lines(server)
        said = server.log()

    statuses = [*(status for status, _ in FAULTS.values()), "PayloadTooLarge"]
    reasons = [*FAULTS, "body_too_large"]
    assert [answers[-1] for answers in refused] == list(zip(statuses, reasons, strict=True))
    if failure == "open":
        unknown = {"flagged": "unknown", "failure": "misconfigured"}
        assert misconfigured == [("request_headers", unknown)]
    else:
        assert misconfigured == [("ServiceUnavailable", "misconfigured")]
    assert counts == dict.fromkeys(FAULTS, 1) | {"body_too_large": 2}
    assert failed == 1
    assert [(line["outcome"], line["reason"]) for line in logged] == [
        *(("refused", reason) for reason in reasons), (f"failed_{failure}", "misconfigured"),
    ]  # fmt: skip
    assert said.count("cannot judge") == 1
    assert "good" not in said


@pytest.mark.parametrize("failure", ["open", "closed"])
def test_what_is_undecided_could_not_be_judged_whatever_labels_apply(deciding_guards, failure):
    port, long = free_port(), "great " * 60
    with serving(deciding_guards, grpc_port=port, ext_proc_failure=failure) as server:
        decided, undecided, blocked, again = told(
            port,
            [head(), chunk(chat("great"))],
            [head(), chunk(chat("great", long))],
            [head(), chunk(chat(long, "film"))],
            [head(), chunk(chat(long))],
        )
        reasons = counted(server, outcome=f"failed_{failure}", reason="undecided")
        wait_for(lambda: len(lines(server)) == 4)
        logged = lines(server)
        said = server.log()

    assert decided == [GOES_ON, ("request_body", {"flagged": "false"})]
    assert blocked == [GOES_ON, BLOCKED]
    assert undecided == again
    if failure == "open":
        unknown = {"flagged": "unknown", "failure": "undecided"}
        assert undecided == [GOES_ON, ("request_body", unknown)]
    else:
        assert undecided == [GOES_ON, ("ServiceUnavailable", "undecided")]
    assert reasons == 2
    failed = (f"failed_{failure}", "undecided")
    outcomes = [(line["outcome"], line["reason"]) for line in logged]
    assert outcomes == [("passed", ""), failed, ("blocked", ""), failed]
    assert said.count("wide of tone is undecided: a text was too long") == 1


def test_flagged_requests_may_go_on_and_the_family_is_envoys_choice(guards):
    port = free_port()
    with (
        serving(
            guards, grpc_port=port, ext_proc_flagged="mark",
            ext_proc_failure="open", ext_proc_model="none",
        ),
        channel(port) as opened,
    ):  # fmt: skip
        # The header is the client's, the metadata are Envoy's.
        (wrong,) = told(port, [head(x_sizewise_model="tone"), chunk(chat("bad"))])
        process = stream(opened, ("x-sizewise-model", "tone"))
        process.send(request_body={"body": chat("bad plot"), "end_of_stream": True})
        marked = process.reply().request_body.response.header_mutation

    assert wrong[-1][1] == {"flagged": "unknown", "failure": "unknown_model"}
    values = {
        each.header.key.decode(): each.header.raw_value.decode() for each in marked.set_headers
    }
    assert values.pop("x-sizewise-score").startswith("0.")
    assert values == {"x-sizewise-flagged": "true", "x-sizewise-label": "negative"}
    assert list(marked.remove_headers) == ["x-sizewise-failure"]


def test_feedback_can_be_given_as_soon_as_a_verdict_is_read(guards):
    port, given = free_port(), []
    with (
        serving(guards, grpc_port=port, feedback_texts=50) as server,
        channel(port) as opened,
        httpx.Client(base_url=server.url) as client,
    ):
        for number in range(40):
            process = stream(opened)
            named = [
                {"key": b"content-type", "raw_value": b"application/json"},
                {"key": b"x-request-id", "raw_value": f"envoy-{number}".encode()},
            ]
            process.send(request_headers={"headers": {"headers": named}})
            process.reply()
            process.send(request_body={"body": chat(f"good {number}"), "end_of_stream": True})
            process.reply()
            body = {"request_id": f"envoy-{number}", "labels": ["positive"]}
            given.append(client.post("/v1/feedback", json=body).status_code)
            process.end()

    assert given == [200] * 40


def test_who_has_no_key_is_told_nothing(guards):
    port = free_port()
    asked = [head(), chunk(chat("good"))]
    with serving(guards, grpc_port=port, api_key="correct-horse") as server:
        without = told(port, asked)
        with_key = told(port, asked, key=["correct-horse"])
        judged = counted(server)

    assert without == [["UNAUTHENTICATED"]]
    assert with_key == [[GOES_ON, ("request_body", {"flagged": "false"})]]
    assert judged == 1
