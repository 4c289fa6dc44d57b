"""Unusual requests: the valid ones are answered, the invalid ones get 400 and the end."""

import pytest

from tests.support.raw_http import BODY, connect, read

LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
TYPE = b"Content-Type: application/json\r\n"
CLASSIFY = b"POST /v1/classify HTTP/1.1\r\n"
HOST = b"Host: here\r\n"
VALID = {
    "an IPv6 literal": CLASSIFY + b"Host: [::1]:8000\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "a zone": CLASSIFY + b"Host: [fe80::1%25eth0]\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "an empty host": CLASSIFY + b"Host:\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "a host without a port": CLASSIFY + b"Host: here:\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "an underscore": CLASSIFY + b"hOST:my_pod.ns:80  \r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "absolute form": (
        b"POST http://other.example:81/v1/classify?a=%20 HTTP/1.1\r\n" + HOST + TYPE + LENGTH
        + b"\r\n" + BODY
    ),
    "absolute form of IPv6": (
        b"POST http://[::1]/v1/classify HTTP/1.1\r\n" + HOST + TYPE + LENGTH + b"\r\n" + BODY
    ),
    "an escaped path": (
        b"POST /v1/%63lassify HTTP/1.1\r\n" + HOST + TYPE + LENGTH + b"\r\n" + BODY
    ),
    "HTTP/1.0 without a host": (
        b"POST /v1/classify HTTP/1.0\r\n" + TYPE + LENGTH + b"\r\n" + BODY
    ),
    "spaces around a value": (
        CLASSIFY + HOST + TYPE + b"Content-Length: \t %d \t \r\n\r\n" % len(BODY) + BODY
    ),
    "chunked in capitals": CLASSIFY + HOST + TYPE + b"Transfer-Encoding: CHUNKED\r\n\r\n" + CHUNKS,
    "a chunk extension": (
        CLASSIFY + HOST + TYPE + b"Transfer-Encoding: chunked\r\n\r\n"
        + CHUNKS.replace(b"\r\n", b";a=b\r\n", 1)
    ),
    "an empty line in front": b"\r\n" + CLASSIFY + HOST + TYPE + LENGTH + b"\r\n" + BODY,
    "a method in TRACE's place": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
}  # fmt: skip
INVALID = {
    "a signed length": CLASSIFY + HOST + TYPE + b"Content-Length: +5\r\n\r\n12345",
    "a list of lengths": CLASSIFY + HOST + TYPE + b"Content-Length: 5, 5\r\n\r\n12345",
    "a hexadecimal length": CLASSIFY + HOST + TYPE + b"Content-Length: 0x5\r\n\r\n12345",
    "an empty length": CLASSIFY + HOST + TYPE + b"Content-Length:\r\n\r\n",
    "a length beyond 64 bits": CLASSIFY + HOST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "a length of 5,000 digits": (
        CLASSIFY + HOST + TYPE + b"Content-Length: %05000d\r\n\r\n" % len(BODY) + BODY
    ),
    "both framings": (
        CLASSIFY + HOST + TYPE + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS
    ),
    "both framings, the other first": (
        CLASSIFY + HOST + TYPE + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n" + CHUNKS
    ),
    "another coding": CLASSIFY + HOST + TYPE + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
    "a coding in front": (
        CLASSIFY + HOST + TYPE + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS
    ),
    "a space before the colon": CLASSIFY + HOST + b"Content-Length : 5\r\n\r\n12345",
    "a folded field": CLASSIFY + HOST + b"X-A: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
    "no host": CLASSIFY + TYPE + LENGTH + b"\r\n" + BODY,
    "two hosts": CLASSIFY + HOST + HOST + TYPE + LENGTH + b"\r\n" + BODY,
    "a host with a path": CLASSIFY + b"Host: here/there\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "a host with a user": CLASSIFY + b"Host: me@here\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "a host with a space": CLASSIFY + b"Host: a b\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "two hosts in one": CLASSIFY + b"Host: a, b\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "a port in letters": CLASSIFY + b"Host: here:http\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "HTTP/2 without an upgrade": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version of another protocol": b"GET /health/live HTTP/2.0\r\n" + HOST + b"\r\n",
    "a relative target": b"GET health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT here:80 HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("case", VALID)
def test_what_is_unusual_and_valid_is_answered(server, case):
    with connect(server.url) as connection:
        connection.sendall(VALID[case])
        status, _, content = read(connection)

    assert status == (404 if case == "a method in TRACE's place" else 200), content


@pytest.mark.parametrize("case", INVALID)
def test_what_is_invalid_gets_400_and_the_end_of_the_connection(server, case):
    with connect(server.url) as connection:
        connection.sendall(INVALID[case])
        status, headers, content = read(connection)
        end = connection.recv(1)

    assert (status, headers["connection"], end) == (400, "close", b"")
    assert b'"code":"malformed_request"' in content


@pytest.mark.parametrize(
    ("target", "status"), [(b"http://here", 200), (b"http://here?a=b", 200), (b"//v1/models", 404)]
)
def test_a_target_without_a_path_is_the_root_and_two_slashes_are_not_found(server, target, status):
    with connect(server.url) as connection:
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert read(connection)[0] == status
