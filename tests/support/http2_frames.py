"""HTTP/2 by hand, for calls that no gRPC library makes."""

import socket

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, GOAWAY = 0, 1, 4, 7
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


def call_head(path, stream=1):
    """The head of a gRPC call to this path of bytes."""
    fields = b"\x83\x86\x04%c%b\x41\x04here\x5f\x10application/grpc\x40\x02te\x08trailers"
    return frame(HEADERS, END_HEADERS, stream, fields % (len(path), path))


def call_data(message, stream=1):
    """The only message of a call."""
    sized = b"\0" + len(message).to_bytes(4, "big") + message
    return frame(DATA, END_STREAM, stream, sized)


def begun(port):
    """A connection after the preface."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
    return connection
