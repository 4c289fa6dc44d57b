"""The listening socket: open it, and close it without resetting connections."""

import ctypes
import errno
import socket
import struct
import sys
from contextlib import suppress

from serving.descriptors import ACCEPTS
from serving.errors import StartError

ANY_ADDRESS = "::"
# The kernel has no IPv6, or it is disabled.
_WITHOUT_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENOPROTOOPT}
_BACKLOG = 2048
_SO_ATTACH_FILTER = 26
# tcpi_unacked (linux/tcp.h), which is the length of the accept queue of a listening socket.
_BACKLOG_OFFSET = 24
_TCP_FLAGS_OFFSET = 13
_SYN = 0x02
# Classic BPF (linux/filter.h): drop a segment with the SYN flag, keep every other one.
_DROP_SYN = b"".join(
    struct.pack("HBBI", code, on_true, on_false, operand)
    for code, on_true, on_false, operand in (
        (0x30, 0, 0, _TCP_FLAGS_OFFSET),  # load the flags byte
        (0x45, 0, 1, _SYN),  # SYN set: next instruction, else skip it
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # keep
    )
)


def open_listener(host: str, port: int, setting: str = "SIZEWISE_PORT") -> socket.socket:
    """Open a listening TCP socket; `::` is every address of IPv6 and of IPv4.

    Raises StartError naming the setting, the host and the port.
    """
    try:
        try:
            listener = _bound(host, port)
        except OSError as error:
            if host != ANY_ADDRESS or error.errno not in _WITHOUT_IPV6:
                raise
            listener = _bound("0.0.0.0", port)
    except (OSError, TypeError, UnicodeError) as error:  # the latter: of a name's encoding
        raise StartError(
            f"SIZEWISE_HOST, {setting}: {in_url(host)}:{port} cannot be bound "
            f"({getattr(error, 'strerror', error)}): choose another"
        ) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def in_url(host: str) -> str:
    """Return the host as a URL holds it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # The system's default may be IPv6 alone.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != ANY_ADDRESS))
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


def shares(listener: socket.socket) -> list[socket.socket]:
    """Return the listener and copies of it, for one server to serve all of them.

    In an iteration of its loop uvloop accepts one connection of each socket. When 256 clients
    connected at once to a single one, the last were accepted after 256 iterations, seconds later
    under load. All at once would leave none to the other HTTP processes.
    """
    # To copy a socket that Python takes for blocking, as it does an inherited one, makes it so for
    # every process that shares it: one that then accepts in vain hangs until the next connection.
    listener.setblocking(False)
    return [listener, *(listener.dup() for _ in range(ACCEPTS - 1))]


def backlog(listener: socket.socket) -> int:
    """Count the connections that the kernel has accepted and no process has; 0 if unknown."""
    with suppress(OSError, AttributeError):
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BACKLOG_OFFSET + 4)
        return int.from_bytes(info[_BACKLOG_OFFSET:], sys.byteorder)
    return 0


def refuse_new_connections(listener: socket.socket) -> None:
    """Stop new handshakes in the kernel, so that the backlog can be served to its end.

    Closing a listener resets connections that the kernel has accepted and the process has not. With
    their SYN dropped, new clients retry and find the port closed, or another replica. Without
    socket filters in the kernel, as on macOS, this does nothing.
    """
    if sys.platform != "linux":  # the option's number means something else there
        return
    instructions = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    program = struct.pack("HL", len(_DROP_SYN) // 8, ctypes.addressof(instructions))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
