"""The Locust file: send one phase of load, closed or open, and keep each request's raw times.

run.py starts it headless; `python -m loadtest watch` shows it in Locust's web interface.
"""

import json
import os
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, ClassVar

import gevent
import numpy as np
from gevent.pool import Pool
from locust import FastHttpUser, constant, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner
from numpy.typing import NDArray

from loadtest.analysis.cascade_choices import AUTO, BROWNOUT, request_fields
from loadtest.measure.workload import (
    constant_arrivals_s,
    pairs_of,
    poisson_arrivals_s,
    ramp_arrivals_s,
    recorded_arrivals_s,
    seeded_texts,
    texts_from,
)
from loadtest.samples import (
    ANSWER_TIMEOUT_S,
    MAX_IN_FLIGHT,
    NO_ANSWER,
    ClientLoad,
    Phase,
    RequestSample,
    server_timing_ms,
    write_samples,
)

DISTINCT_TEXTS = 500
LAG_PROBE_S = 0.01
HEADERS = {
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "Cache-Control": "no-cache",  # measure the model, not the cache of results
}
if api_key := os.environ.get("SIZEWISE_API_KEY"):
    HEADERS["Authorization"] = f"Bearer {api_key}"


class Recording:
    """The running phase: what to send, the times of what was sent, and how busy this client is."""

    def __init__(self, phase: Phase, texts: list[str], share: int, shares: int) -> None:
        """Prepare all request bodies before the load starts.

        In an open phase, this process sends every `shares`th arrival, starting at number `share`.
        """
        self.phase = phase
        self.bodies: Iterator[str] = cycle(_bodies(phase, texts))
        self.arrivals_s = arrivals_s(phase)[share::shares] if phase.kind == "open" else None
        self.samples: list[RequestSample] = []
        self.users_left = -(-(phase.users - share) // shares)
        self._lags_s = [0.0]
        self._origin_s = time.perf_counter()
        self._origin_cpu_s = time.process_time()

    def now_s(self) -> float:
        """Return the seconds since the phase began."""
        return time.perf_counter() - self._origin_s

    def watch_loop(self) -> None:
        """Record, until the process ends, by how much each sleep overruns."""
        while True:
            due_s = self.now_s() + LAG_PROBE_S
            gevent.sleep(LAG_PROBE_S)
            self._lags_s.append(self.now_s() - due_s)

    def degraded(self, status: int, answer: bytes) -> list[str]:
        """Return, for each text that a cascade answered degraded, the variant that answered it."""
        if status != 200 or self.phase.variant not in (AUTO, BROWNOUT):
            return []
        return [each["variant"] for each in json.loads(answer)["results"] if each["degraded"]]

    def client(self) -> ClientLoad:
        """Report how busy this client has been so far."""
        cpu_s = time.process_time() - self._origin_cpu_s
        lag_s = float(np.quantile(self._lags_s, 0.99))
        return ClientLoad(loop_lag_p99_s=lag_s, cpu_share=cpu_s / self.now_s())


def arrivals_s(phase: Phase) -> NDArray[np.float64]:
    """Return when the requests of an open phase are due: ascending seconds from its beginning."""
    if phase.trace is not None:
        return recorded_arrivals_s(Path(phase.trace), phase.total_s)
    if phase.arrivals == "constant":
        return constant_arrivals_s(phase.rate_rps, phase.total_s)
    if phase.arrivals == "ramp":
        return ramp_arrivals_s(phase.rate_rps, phase.total_s, phase.seed)
    return poisson_arrivals_s(phase.rate_rps, phase.total_s, phase.seed)


def _bodies(phase: Phase, texts: list[str]) -> list[str]:
    # A text that is too long must be truncated and cost time, not fail.
    request: dict[str, Any] = {"model": phase.model, "truncate": True} | request_fields(
        phase.variant
    )
    if phase.deadline_ms is not None:
        request["deadline_ms"] = phase.deadline_ms
    size, endless = phase.texts_per_request, cycle(pairs_of(texts) if phase.pairs else texts)
    return [
        json.dumps({"texts": list(islice(endless, size))} | request)
        for _ in range(-(-len(texts) // size))
    ]


class ClassifyUser(FastHttpUser):
    """A user that records raw times; the last one to finish ends the run."""

    abstract = True
    network_timeout = ANSWER_TIMEOUT_S
    connection_timeout = ANSWER_TIMEOUT_S
    concurrency = MAX_IN_FLIGHT
    wait_time = constant(0)
    recording: ClassVar[Recording]

    def classify(self, intended_s: float) -> None:
        """Send one request and record its times, even if there is no answer."""
        recording = self.recording
        status, answer, server_ms = NO_ANSWER, b"", dict[str, float]()
        start_s = recording.now_s()
        try:
            response: Any = self.client.post(
                "/v1/classify", data=next(recording.bodies), headers=HEADERS
            )
            if response.status_code:
                status, answer = response.status_code, response.content or b""
                server_ms = server_timing_ms(response.headers.get("server-timing", ""))
        finally:
            end_s = recording.now_s()
            degraded = recording.degraded(status, answer)
            recording.samples.append(
                RequestSample(intended_s, start_s, end_s, status, len(answer), server_ms, degraded)
            )

    def on_stop(self) -> None:
        """End the run with the last user, unless a master does."""
        self.recording.users_left -= 1
        runner = self.environment.runner
        if self.recording.users_left == 0 and runner and not isinstance(runner, WorkerRunner):
            gevent.spawn(runner.quit)


class ClosedUser(ClassifyUser):
    """A user that sends its next request as soon as the last is answered."""

    @task
    def next_request(self) -> None:
        """Send one request, or stop if the phase is over."""
        now_s = self.recording.now_s()
        if now_s >= self.recording.phase.total_s:
            raise StopUser
        self.classify(intended_s=now_s)


class OpenUser(ClassifyUser):
    """A user that sends at predetermined times, however long the answers take."""

    @task
    def all_arrivals(self) -> None:
        """Send every arrival in a greenlet of its own and wait for the last answer."""
        recording = self.recording
        assert recording.arrivals_s is not None, "a closed phase got an open user: this is a bug"
        in_flight = Pool(MAX_IN_FLIGHT)
        for arrival_s in recording.arrivals_s:
            gevent.sleep(max(0.0, arrival_s - recording.now_s()))
            in_flight.spawn(self.classify, float(arrival_s))
        in_flight.join()
        raise StopUser


def add_arguments(parser: LocustArgumentParser) -> None:
    """Add the options from run.py, of types that a master can send to its workers."""
    parser.add_argument("--phase", type=json.loads, required=True, help="a samples.Phase as JSON")
    parser.add_argument("--samples", help="Parquet file to write; default: none")
    parser.add_argument(
        "--texts", help="file of texts to send, one per line; default: generated texts"
    )
    parser.add_argument("--shares", type=int, default=1, help="number of processes that send")


def begin(environment: Environment, **_: Any) -> None:
    """Start the clock of the phase."""
    if isinstance(environment.runner, MasterRunner):
        return
    options = environment.parsed_options
    assert options is not None, "Locust started without a command line: this is a bug"
    phase = Phase(**options.phase)
    texts = (
        texts_from(Path(options.texts))
        if options.texts
        else seeded_texts(DISTINCT_TEXTS, phase.seed)
    )
    ClassifyUser.recording = Recording(phase, texts, _share(environment), options.shares)
    gevent.spawn(ClassifyUser.recording.watch_loop)


def finish(environment: Environment, **_: Any) -> None:
    """Write the raw times."""
    if isinstance(environment.runner, MasterRunner):
        return
    options = environment.parsed_options
    assert options is not None, "Locust started without a command line: this is a bug"
    if options.samples is None:
        return
    recording = ClassifyUser.recording
    path = Path(options.samples)
    path = path.with_name(f"{path.stem}.{_share(environment)}{path.suffix}")
    write_samples(path, recording.samples, recording.phase, recording.client())


def _share(environment: Environment) -> int:
    runner = environment.runner
    return runner.worker_index if isinstance(runner, WorkerRunner) else 0


hooks: Any = events  # add_listener has no type hints
hooks.init_command_line_parser.add_listener(add_arguments)
hooks.test_start.add_listener(begin)
hooks.test_stop.add_listener(finish)
