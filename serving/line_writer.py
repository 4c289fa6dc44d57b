"""Lines written by a thread of their own: a stream that is full, closed or stalled costs lines."""

import os
import select
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, RLock, Thread
from time import sleep

MOST_CHARS = 8 << 20
"""What waits for a stalled stream at most; more is dropped."""
MOST_BYTES = 4096
"""What Linux writes to a pipe whole, however many processes write to it (PIPE_BUF)."""
# Lines of that time are written together.
_PAUSE_S = 0.01
_STREAMS = {1: "stdout", 2: "stderr"}


class LineWriter:
    """Writes lines to a standard stream; any thread and any signal handler may call it.

    Until `start` is called, lines are written at once, by whoever calls `write`. On a pipe that is
    `shared` with other processes, no line is longer than MOST_BYTES: `shorten` makes it so.
    """

    def __init__(
        self,
        descriptor: int,
        most_chars: int = MOST_CHARS,
        shorten: Callable[[bytes, int], bytes] | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._most_chars = most_chars
        self._shorten = shorten or _cut
        self._in_pieces = False
        self._lines: SimpleQueue[str | Event] = SimpleQueue()
        self._chars = 0
        """What the queue holds, and what is being written."""
        self._dropped = 0
        # A signal handler may run while its own thread holds it.
        self._lock = RLock()
        self._cut = False
        """Whether the last line was written in part."""
        self._thread: Thread | None = None

    def start(self, *, shared: bool = False) -> None:
        """Write from a thread from now on, straight to the descriptor."""
        self._in_pieces = shared and _is_torn(self._descriptor)
        if self._thread:
            return
        if name := _STREAMS.get(self._descriptor):
            if stream := getattr(sys, name):
                with suppress(OSError, ValueError):
                    stream.flush()
            else:
                _occupy(self._descriptor)
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, lines: Sequence[str]) -> None:
        """Write lines, or count them as dropped if too much is waiting."""
        text = "\n".join(lines) + "\n"
        if self._thread is None:
            stream = getattr(sys, _STREAMS[self._descriptor])
            try:  # `suppress` would be three more calls a request
                stream.write(text)
                stream.flush()
            except (OSError, ValueError, AttributeError):
                self.drop(len(lines))
            return
        with self._lock:
            if self._chars + len(text) > self._most_chars:
                self._dropped += len(lines)
            else:
                self._chars += len(text)
                self._lines.put(text)

    def drop(self, lines: int) -> None:
        """Count lines that were not written."""
        with self._lock:
            self._dropped += lines

    def take_dropped(self) -> int:
        """Return how many lines were dropped since the last call."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        return dropped

    def flush(self, limit_s: float) -> bool:
        """Wait until everything before this call is written or dropped, for at most `limit_s`."""
        if self._thread is None:
            return True
        done = Event()
        self._lines.put(done)
        return done.wait(max(0.0, limit_s))

    def end(self, limit_s: float) -> bool:
        """Flush as above, and drop what any thread writes after this call."""
        with self._lock:
            self._most_chars = 0
        return self.flush(limit_s)

    def _run(self) -> None:
        while True:
            waiting = [self._lines.get()]
            while not self._lines.empty():
                waiting.append(self._lines.get())
            texts = [each for each in waiting if isinstance(each, str)]
            if texts:
                self._write("".join(texts))
                with self._lock:
                    self._chars -= sum(map(len, texts))
                    if self._lines.empty():  # an addition that a signal interrupted is lost
                        self._chars = 0
            events = [each for each in waiting if isinstance(each, Event)]
            for done in events:
                done.set()
            if not events:
                sleep(_PAUSE_S)

    def _write(self, text: str) -> None:
        whole = text.encode(errors="replace")
        for piece in self._pieces(whole) if self._in_pieces else [whole]:
            self._write_piece(piece)

    def _pieces(self, whole: bytes) -> Iterator[bytes]:
        """Yield whole lines together, as many as are written whole; shorten those that are not."""
        begin = 0
        while len(whole) - begin > MOST_BYTES:
            end = whole.rfind(b"\n", begin, begin + MOST_BYTES) + 1
            if end:
                yield whole[begin:end]
            else:
                end = whole.index(b"\n", begin) + 1
                yield self._shorten(whole[begin : end - 1], MOST_BYTES - 1) + b"\n"
            begin = end
        if begin < len(whole):
            yield whole[begin:]

    def _write_piece(self, whole: bytes) -> None:
        # What was left of a line that was cut has no end.
        data = memoryview(b"\n" + whole if self._cut else whole)
        written = 0
        while written < len(data):
            try:
                written += os.write(self._descriptor, data[written:])
            except BlockingIOError:  # somebody else who has this pipe made it non-blocking
                self._wait_writable()
            except OSError:
                break
        if written < len(data):
            unwritten = data[written:].tobytes()
            self.drop(unwritten.count(b"\n") - (self._cut and not written))
            self._cut = data[written - 1] != ord("\n") if written else self._cut
        else:
            self._cut = False

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(1000)


def _cut(line: bytes, most: int) -> bytes:
    return line[:most].decode(errors="ignore").encode()


def _is_torn(descriptor: int) -> bool:
    """Return whether what several processes write there at once may be mixed up."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _occupy(descriptor: int) -> None:
    """Open a closed standard stream on nothing: else a socket or file would get its number."""
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != descriptor:
            os.dup2(nothing, descriptor)
            os.close(nothing)
        os.set_inheritable(descriptor, True)
