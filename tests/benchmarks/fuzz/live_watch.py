"""Asks /health/live every 10 ms from a process of its own: the longest time without an answer.

The kernel's time of arrival counts, so that a late wake-up of this process is not the server's.
"""

import contextlib
import multiprocessing
import socket
import struct
import time

PERIOD_S = 0.01
GIVE_UP_S = 60.0
_ANCILLARY = socket.CMSG_SPACE(16)
_STAMPED = getattr(socket, "SO_TIMESTAMPNS", 35)
_REQUEST = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
_END = b'{"status":"live"}'
WORST = 20


class _Asker:
    """One connection; each is of another HTTP process, where there are several."""

    def __init__(self, port):
        self._port, self._socket = port, None

    def ask(self):
        """Ask once: when it was asked, when the answer had come (UTC), and whether it was 200."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=GIVE_UP_S)
            self._socket.setsockopt(socket.SOL_SOCKET, _STAMPED, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began_s = time.time()
        said, ancillary, more = b"", [], b"head"
        try:
            self._socket.sendall(_REQUEST)
            while more and not said.endswith(_END):  # head and content may come apart
                more, ancillary, _, _ = self._socket.recvmsg(4096, _ANCILLARY)
                said += more
        except OSError:
            more = b""
        ended_s = time.time()
        if not more:
            self._socket.close()
            self._socket = None
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _STAMPED):
                seconds, nanoseconds = struct.unpack("qq", data[:16])
                ended_s = min(ended_s, max(began_s, seconds + nanoseconds / 1e9))
        return began_s, ended_s, said.startswith(b"HTTP/1.1 200 ")


def _watch(port, connections, ended, results):
    askers = [_Asker(port) for _ in range(connections)]
    asked, failed, gaps = 0, 0, []
    while not ended.is_set():
        began_s = time.monotonic()
        for asker in askers:
            try:
                sent_s, answered_s, is_live = asker.ask()
            except OSError:
                failed += 1
                continue
            asked += 1
            failed += not is_live
            gaps.append((1e3 * (answered_s - sent_s), sent_s))
        if len(gaps) > 10_000:
            gaps = sorted(gaps, reverse=True)[:WORST]
        time.sleep(max(0.0, PERIOD_S - (time.monotonic() - began_s)))
    results.send((asked, failed, sorted(gaps, reverse=True)[:WORST]))


class Watch:
    """What was watched: how often, how often in vain, the longest gaps in ms and when they were."""

    asked = failed = 0
    gaps: tuple = ()

    @property
    def longest_ms(self):
        return self.gaps[0][0] if self.gaps else 0.0


@contextlib.contextmanager
def watching(port, connections=1):
    """Watch a server until the block ends."""
    spawn = multiprocessing.get_context("spawn")
    mine, its = spawn.Pipe(duplex=False)
    ended, watch = spawn.Event(), Watch()
    process = spawn.Process(target=_watch, args=(port, connections, ended, its), daemon=True)
    process.start()
    try:
        yield watch
    finally:
        ended.set()
        if mine.poll(GIVE_UP_S + 5):
            watch.asked, watch.failed, watch.gaps = mine.recv()
        process.join(5)
