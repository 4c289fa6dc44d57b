"""Lines written by a thread of their own: a stream that is full, closed or stalled costs lines."""

import os
import select
import sys
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, RLock, Thread
from time import sleep

MOST_CHARS = 8 << 20
"""What waits for a stalled stream at most; more is dropped."""
# Lines of that time are written together.
_PAUSE_S = 0.01
_STREAMS = {1: "stdout", 2: "stderr"}


class LineWriter:
    """Writes lines to a standard stream; any thread and any signal handler may call it.

    Until `start` is called, lines are written at once, by whoever calls `write`.
    """

    def __init__(self, descriptor: int, most_chars: int = MOST_CHARS) -> None:
        self._descriptor = descriptor
        self._most_chars = most_chars
        self._lines: SimpleQueue[str | Event] = SimpleQueue()
        self._chars = 0
        """What the queue holds, and what is being written."""
        self._dropped = 0
        # A signal handler may run while its own thread holds it.
        self._lock = RLock()
        self._cut = False
        """Whether the last line was written in part."""
        self._thread: Thread | None = None

    def start(self) -> None:
        """Write from a thread from now on, straight to the descriptor."""
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


def _occupy(descriptor: int) -> None:
    """Open a closed standard stream on nothing: else a socket or file would get its number."""
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != descriptor:
            os.dup2(nothing, descriptor)
            os.close(nothing)
        os.set_inheritable(descriptor, True)
