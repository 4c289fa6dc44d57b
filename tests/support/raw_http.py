"""HTTP by hand, for what no client library sends."""

import socket
from urllib.parse import urlsplit

BODY = b'{"texts": ["good film"]}'
JSON = b"Content-Type: application/json\r\n"


def connect(url, timeout=10):
    """A connection to the server of this URL."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=timeout)


def head(path="/v1/classify", method="POST", fields=b"", size=None):
    """A request's head; `size` is the body's length, and None a chunked body."""
    framing = b"Transfer-Encoding: chunked" if size is None else b"Content-Length: %d" % size
    first = f"{method} {path} HTTP/1.1\r\nHost: here\r\n".encode()
    return first + JSON + fields + framing + b"\r\n\r\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def request(fields=b"", *, chunked=False, path="/v1/classify", method="POST", body=BODY):
    """(head, body) of a whole request."""
    if chunked:
        return head(path, method, fields), chunk(body) + b"0\r\n\r\n"
    return head(path, method, fields, len(body)), body


def read(connection):
    """(status, headers, content) of the next response; (0, {}, b"") at the end."""
    said = b""
    while b"\r\n\r\n" not in said:
        received = connection.recv(1)
        if not received:
            assert not said, f"the connection ended after {said!r}"
            return 0, {}, b""
        said += received
    first, *lines = said.decode().strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    content, size = b"", int(headers.get("content-length", 0))
    while len(content) < size:
        received = connection.recv(size - len(content))
        assert received, f"the connection ended after {content!r}"
        content += received
    return int(first.split()[1]), headers, content
