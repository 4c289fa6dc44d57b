"""`python -m tests.benchmarks.soak`: one server, millions of requests, and what they leave behind.

Clients send every kind of request: right and wrong ones over all protocols, beyond limits and
deadlines, large and slow ones, and some leave. Meanwhile versions, canaries and families change.
In the end the server's counters must be what was sent, nothing may have grown, and a SIGTERM under
load may lose nothing. It ends with status 1 if that does not hold. Ctrl-C ends it with what it
has found so far.
"""

import argparse
import dataclasses
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty

import httpx
from tqdm import tqdm

from tests.benchmarks.soak import bulk, odd, watch
from tests.benchmarks.soak.changes import Changes
from tests.benchmarks.soak.ending import end
from tests.benchmarks.soak.flat import verdicts
from tests.benchmarks.soak.report import Report
from tests.benchmarks.soak.tally import Change, Tally, Versions, compare
from tests.benchmarks.soak.world import World
from tests.support.processes import serving

_EVERY_S = 1.0
_IDLE_S = 60
_RESULT_S = 90
_context = multiprocessing.get_context("spawn")


class Soak:
    """One run over one server."""

    def __init__(self, server, log, world, settings, arguments):
        self.server, self.log, self.world = server, log, world
        self.arguments = arguments
        self.samples, self.tally, self.live = [], Tally(), {}
        self._http = httpx.Client(base_url=server.url, timeout=60)
        self._versions = Versions()
        self._stop = _context.Event()
        self._outcome = _context.Queue()
        self._progress = [_context.Value("q", 0, lock=False) for _ in range(arguments.clients)]
        port = int(server.url.rpartition(":")[2])
        share = arguments.requests // arguments.clients
        targets = [
            (bulk.run, (self._outcome, port, number, share, progress, self._stop))
            for number, progress in enumerate(self._progress)
        ]
        targets += [
            (odd.run, (self._outcome, port, settings["grpc_port"], self._stop)),
            (watch.probe, (self._outcome, port, self._stop)),
        ]
        self._clients = [_context.Process(target=t, args=a, daemon=True) for t, a in targets]
        self.changes = Changes(world, settings["admin_port"], arguments.swap_s, self._stop)

    def run(self):
        """Send everything, then compare; the parts of the report."""
        # Refusals of the probes until it was ready are logged.
        self.log.settle()
        logged = self.log.requests
        before = self._scrape()
        self._began_s = time.monotonic()
        for each in (*self._clients, self.changes):
            each.start()
        with suppress(KeyboardInterrupt, httpx.TransportError):
            self._follow()
        self._collect()
        checks = []
        try:
            after, lines = self._idle_page()
        except httpx.TransportError as error:
            self.tally.fault("the server", f"does not answer: {error!r}, {self.log.last[-500:]!r}")
        else:
            pages = (before, after)
            checks = compare(self.tally, odd.GROUPS, pages, self._versions, lines - logged)
        faults = [*self.tally.faults, *self.changes.faults]
        faults += [f"log: {bug.decode(errors='replace')}" for bug in self.log.bugs]
        return checks, faults

    def _follow(self):
        """Scrape and sample every second until the bulk is sent."""
        total = self.arguments.requests
        sending = self._clients[: len(self._progress)]
        with tqdm(total=total, unit="request", smoothing=0.05) as bar:
            while any(each.is_alive() for each in sending):
                due = time.monotonic() + _EVERY_S
                self._sample(self._scrape())
                latest = self.samples[-1]
                bar.set_postfix_str(f"{latest.rss / 1e6:.0f} MB, {latest.versions} swaps")
                bar.update(min(total, latest.requests) - bar.n)
                if self.server.process.poll() is not None:
                    self.tally.fault("the server", f"has ended: {self.log.last[-500:]!r}")
                    return
                time.sleep(max(0.0, due - time.monotonic()))

    def _collect(self):
        """End all clients, and add up what they have found."""
        self._stop.set()
        until_s = time.monotonic() + _RESULT_S
        missing = len(self._clients) + 1
        while missing and time.monotonic() < until_s:
            with suppress(Empty):
                name, found = self._outcome.get(timeout=1)
                missing -= 1
                if name == "live":
                    self.live = found
                else:
                    self.tally.add(found)
        if missing:
            self.tally.fault("clients", f"{missing} results are missing")
        for each in (*self._clients, self.changes):
            each.join(10)

    def _scrape(self):
        page = self._http.get("/metrics")
        self.tally.requests["/metrics", "", str(page.status_code)] += 1
        self._versions.see(page.text)
        return page.text

    def _sample(self, page):
        rss, pss, descriptors, threads = watch.sizes(self.server)
        sample = watch.Sample(
            requests=sum(each.value for each in self._progress),
            seconds=round(time.monotonic() - self._began_s, 1),
            rss=rss,
            pss=pss,
            descriptors=descriptors,
            threads=threads,
            files=watch.files_in(self.world.temporary, "/dev/shm"),
            label_sets=sum(not line.startswith("#") for line in page.splitlines()),
            log_bytes=self.log.bytes,
            versions=self.changes.made["versions"],
        )
        self.samples.append(sample)

    def _idle_page(self):
        """The page once nothing is in progress, and the lines of the log for what it counts."""
        until_s = time.monotonic() + _IDLE_S
        while time.monotonic() < until_s:
            page = self._scrape()
            self._sample(page)
            self.log.settle()
            if not Change("", page).now("requests_in_flight"):
                break
        lines = self.log.requests
        page = self._http.get("/metrics").text
        self._versions.see(page)
        self._http.close()
        return page, lines


def run(arguments):
    """The report of one soak."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        world, log = World(folder), watch.Log()
        settings = world.settings(http_processes=arguments.http_processes)
        if arguments.engine:
            settings["engine"] = arguments.engine
        server = stack.enter_context(
            serving(
                world.registry,
                output=log.writing,
                environ={"TMPDIR": str(world.temporary)},
                wait_ready=False,
                program=arguments.program,
                apart=True,
                **settings,
            )
        )
        os.close(log.writing)
        log.start()
        watch.wait_until_ready(server, log)
        soak = Soak(server, log, world, settings, arguments)
        checks, faults = soak.run()
        ending = end(server, log)
        if not ending.right:
            faults.append(f"the end: {ending}")
        return Report(
            soak.samples,
            arguments.requests,
            verdicts(soak.samples),
            checks,
            faults,
            http_processes=arguments.http_processes,
            live=soak.live,
            changes=dict(soak.changes.made),
            log_events={name.decode(): count for name, count in log.events.items()},
            ending=dataclasses.asdict(ending),
        )


def main(given=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2_000_000, help="of the bulk")
    parser.add_argument("--http-processes", type=int, default=0)
    parser.add_argument("--clients", type=int, default=1, help="processes that send the bulk")
    parser.add_argument("--swap-s", type=float, default=3.0, help="pause between two changes")
    parser.add_argument("--engine", default="", help="as in SIZEWISE_ENGINE")
    parser.add_argument("--program", default="serving", help="module that serves")
    parser.add_argument("--to", default="", help="folder for memory.png and samples.json")
    arguments = parser.parse_args(given)

    def interrupt(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    report = run(arguments)
    report.print(arguments.to)
    return int(not report.right)


if __name__ == "__main__":
    sys.exit(main())
