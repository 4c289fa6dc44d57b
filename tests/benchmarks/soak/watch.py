"""Watches the server: memory, descriptors, threads, files, its log, and how soon it answers."""

import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass

import numpy as np
import psutil

from tests.benchmarks.soak.kinds import post
from tests.benchmarks.soak.tally import Tally
from tests.support import processes as processes_of_tests

_LIVE_EVERY_S = 0.01
_TRIAL = "serving.runtime.trial_process"
_MOST_BUGS = 5
_request_line = re.compile(rb'"event":"request"')
_event = re.compile(rb'"event":"((?!request")[^"]+)"').findall
_bug = re.compile(rb'.*"level":"(?:error|critical)".*').findall
_own_id = re.compile(rb'"request_id":"(end-[\w-]+)"')


@dataclass
class Sample:
    """The server's processes without those that try bundles; bytes are sums over them."""

    requests: int
    seconds: float
    rss: int
    pss: int
    descriptors: int
    threads: int
    files: int
    """In its temporary folder and in shared memory."""
    label_sets: int
    log_bytes: int
    versions: int

    def as_dict(self):
        return asdict(self)


def processes(server):
    """The main process and the HTTP processes."""
    main = psutil.Process(server.process.pid)
    found = [main]
    for child in main.children():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if _TRIAL not in child.cmdline():
                found.append(child)
    return found


def sizes(server):
    """(rss, pss, descriptors, threads) over all processes."""
    total = [0, 0, 0, 0]
    for each in processes(server):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess), each.oneshot():
            memory = each.memory_full_info()
            own = (memory.rss, memory.pss, each.num_fds(), each.num_threads())
            total = [sum(pair) for pair in zip(total, own, strict=True)]
    return total


def files_in(*folders):
    return sum(len(names) + len(folders) for each in folders for _, folders, names in os.walk(each))


class Log(threading.Thread):
    """Reads the server's log from a pipe and counts; the last lines are kept."""

    def __init__(self):
        super().__init__(name="log", daemon=True)
        self.bytes = self.requests = 0
        self.events = Counter()
        self.own_ids = set()
        self.bugs = []
        self.last = b""
        reading, self.writing = os.pipe()
        self._stream = os.fdopen(reading, "rb", buffering=0)

    def run(self):
        rest = b""
        while data := self._stream.read(1 << 20):
            self.bytes += len(data)
            whole, _, rest = (rest + data).rpartition(b"\n")
            self.requests += len(_request_line.findall(whole))
            self.own_ids.update(_own_id.findall(whole))
            self.events.update(_event(whole))
            self.bugs += _bug(whole)[: _MOST_BUGS - len(self.bugs)]
            self.last = (self.last + whole)[-4000:]

    def settle(self, quiet_s=0.5, most_s=30):
        """Wait until no request has been logged for a while."""
        until_s, before = time.monotonic() + most_s, -1
        while self.requests != before and time.monotonic() < until_s:
            before = self.requests
            time.sleep(quiet_s)


def probe(outcome, port, stop):
    """In a process of its own: ask /health/live every 10 ms on one connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    tally, waits, late = Tally(), [], 0.0
    data = post("/health/live", b"", method="GET", Content_Type=None)
    due = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        while not stop.is_set():
            began = time.monotonic()
            late = max(late, began - due)
            connection.sendall(data)
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(65536)
            ended = time.monotonic()
            waits.append(ended - began)
            if not answer.startswith(b"HTTP/1.1 200"):
                tally.fault("/health/live", repr(answer[:100]))
            tally.requests["/health/live", "", "200"] += 1
            due = max(due + _LIVE_EVERY_S, ended)
            time.sleep(max(0.0, due - time.monotonic()))
    p50, p99 = np.quantile(waits, (0.5, 0.99))
    found = {"longest_ms": max(waits), "p99_ms": p99, "p50_ms": p50, "own_delay_ms": late}
    outcome.put(("probe", tally))
    outcome.put(("live", {name: round(1e3 * float(s), 2) for name, s in found.items()}))


def wait_until_ready(server, log):
    """Wait for the server as tests do; its log is here."""
    try:
        processes_of_tests.wait_until_ready(server, 120)
    except AssertionError as error:
        raise AssertionError(log.last.decode(errors="replace")) from error
