"""Clients that offer to upgrade to another protocol are answered in HTTP/1.1."""

import time

import pytest

from tests.support.processes import free_port, serving
from tests.support.raw_http import BODY, connect, read, request

KEY = "a-key-for-admin"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
OFFERS = {
    "h2c": H2C,
    "websocket": (
        b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    ),
    "unknown": b"connection: upgrade\r\nUPGRADE: FTL/7, h2c\r\n",
}
PATHS = {
    "/v1/classify": BODY,
    "/predict": b'{"inputs": "good film"}',
    "/v2/models/tone/infer": (
        b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]}'
    ),
}


@pytest.fixture(scope="module")
def both(tiny_registry):
    """(server, its admin API's URL)."""
    port = free_port()
    with serving(tiny_registry, admin_port=port, admin_key=KEY, default_model="tone") as running:
        yield running, f"http://127.0.0.1:{port}"


def in_two(connection, head, body):
    connection.sendall(head)
    time.sleep(0.05)
    connection.sendall(body)


def in_bytes(connection, head, body):
    for byte in head + body:
        connection.sendall(bytes([byte]))


WAYS = {"one packet": lambda connection, head, body: connection.sendall(head + body),
        "two packets": in_two, "single bytes": in_bytes}  # fmt: skip


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_is_ignored_and_its_body_counts(server, offer, way, chunked):
    with connect(server.url) as connection:
        for fields in (OFFERS[offer], b"", OFFERS[offer]):
            WAYS[way](connection, *request(fields, chunked=chunked))
            status, headers, content = read(connection)
            assert (status, headers["connection"]) == (200, "keep-alive")
            assert b'"label":"positive"' in content


@pytest.mark.parametrize("path", PATHS)
def test_every_protocol_ignores_offers(both, path):
    server, _ = both
    with connect(server.url) as connection:
        connection.sendall(b"".join(request(H2C, path=path, body=PATHS[path])))
        assert read(connection)[0] == 200


def test_requests_behind_an_offer_in_the_same_packet_are_answered_in_their_order(server):
    offer, plain = b"".join(request(H2C)), b"".join(request())
    two = b"".join(request(body=b'{"texts": ["good", "bad"]}'))
    with connect(server.url) as connection:
        connection.sendall(plain + offer + two + offer + offer[:40])
        texts = [read(connection)[2].count(b'"label"') for _ in range(4)]
        connection.sendall(offer[40:])
        assert (read(connection)[0], texts) == (200, [1, 1, 2, 1])


def test_a_client_that_offers_and_closes_sees_the_end(server):
    fields = H2C.replace(b"Connection: ", b"Connection: close, ")
    with connect(server.url) as connection:
        connection.sendall(b"".join(request(fields)))
        status, headers, _ = read(connection)
        assert (status, headers["connection"]) == (200, "close")
        assert connection.recv(1) == b""


def test_an_offer_that_waits_for_100_continue_is_told_to_go_on(server):
    head, body = request(H2C + b"Expect: 100-continue\r\n")
    with connect(server.url) as connection:
        connection.sendall(head)
        assert read(connection)[0] == 100
        connection.sendall(body)
        assert read(connection)[0] == 200


def test_what_is_wrong_in_an_offer_is_refused(server):
    for head, body, expected in (
        (*request(H2C, path="/nowhere"), 404),
        (*request(H2C, method="GET"), 405),
        (*request(H2C, body=b"{"), 400),
        (*request(H2C + b"Host: another\r\n"), 400),
        (*request(b"", method="CONNECT"), 400),
    ):
        with connect(server.url) as connection:
            connection.sendall(head + body)
            assert read(connection)[0] == expected


def test_the_admin_api_ignores_offers_too(both):
    _, admin = both
    fields = f"Authorization: Bearer {KEY}\r\n".encode() + H2C
    path = "/admin/models/tone/traffic"
    for way in WAYS.values():
        with connect(admin) as connection:
            way(connection, *request(fields, path=path, method="PUT", body=b"{"))
            status, _, content = read(connection)
            assert (status, b"Invalid JSON" in content) == (400, True), content
            way(connection, *request(fields, path="/admin/rescan", body=b""))
            assert read(connection)[0] == 200
