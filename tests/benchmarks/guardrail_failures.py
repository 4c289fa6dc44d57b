"""`python -m tests.benchmarks.guardrail_failures`: what a guard that fails lets pass and blocks.

A real Envoy asks a real server, once failing open and once failing closed, while nothing is wrong,
with bodies that are no JSON, with decisions of another version, under overload, with a deadline
that cannot be kept, with an engine that raises, that hangs, and after the server has gone. Half of
the requests should be blocked. Ends with status 1 if one of them reached the model although the
guard fails closed, if a harmless one was refused although it fails open, if anything but JSON
reached the model, or if log and metrics do not tell of each request once.
"""

import itertools
import json
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from serving.protocols.ext_proc.processor import PATH
from tests.support.bundles import write_registry
from tests.support.decisions import decider, decisions_of, write_decisions
from tests.support.envoy import gateway
from tests.support.metric_values import samples
from tests.support.processes import free_port, serving
from tests.support.registries import wait_for

GOOD, BAD = "a good film, number {}", "an awful plot, number {}"
REQUESTS, CLIENTS, MANY_CLIENTS = 40, 4, 32
USUAL = {"ext_proc_deadline_ms": 1500, "brownout_ms": 0}
FEW = {"max_requests": 2, "max_texts": 8, "max_queue_texts": 8}
HASTY = {"ext_proc_deadline_ms": 5}
WATCHED = {"ext_proc_deadline_ms": 150, "engine_timeout_ms": 4000}
COLUMNS = (
    "guard", "what is wrong", "harmless: passed", "refused", "bad: blocked", "passed", "refused",
    "statuses", "log: outcome and reason", "`sizewise_checked_requests_total`",
)  # fmt: skip
NUMBERS = itertools.count()


def main():
    """Run all, print the table and what is wrong with it."""
    wrong = []
    print(f"| {' | '.join(COLUMNS)} |\n|---|---|{'--:|' * 5}---|---|---|")
    for failure in ("closed", "open"):
        for what, row in rows(failure):
            print(f"| fails {failure} | {what} | {row.cells()} |", flush=True)
            wrong += [f"fails {failure}, {what}: {fault}" for fault in row.faults(failure)]
    print("\n".join(wrong), file=sys.stderr)
    sys.exit(bool(wrong))


def rows(failure):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        registry = write_registry(place / "registry", place)
        (registry / "tone" / "policy.json").write_text('{"harmless": ["positive"]}')
        setup = (place, registry, failure)
        yield from during(setup, {}, {"nothing": ""})
        yield from during(setup, {}, {"the bodies are no JSON": ""}, are_json=False)
        stale = decider({"tiny": "0" * 16}, {"negative": 0.5}, variant="tiny")
        write_decisions(registry, decisions_of(stale))
        yield from during(setup, {}, {"the decisions are of another version": ""})
        (registry / "tone" / "decisions.json").unlink()
        yield from during(setup, FEW, {"overload": "slow"}, clients=MANY_CLIENTS)
        yield from during(setup, HASTY, {"a deadline of 5 ms that is missed": "slow"})
        yield from during(setup, {}, {"the engine raises": "raise"})
        yield from hanging(setup)


def during(setup, settings, faults, clients=CLIENTS, *, are_json=True):
    with guarded(setup, settings) as (server, envoy, fault):
        for what, its in faults.items():
            fault.write_text(its)
            yield what, asked(envoy, clients, server, are_json=are_json)


def hanging(setup):
    """An engine that does not come back: until the watchdog sees it, then, and after the end."""
    with guarded(setup, WATCHED) as (server, envoy, fault):
        fault.write_text("hang")
        yield "the engine hangs", asked(envoy, CLIENTS, server)
        wait_for(lambda: '"not_ready"' in health(server))
        yield "the watchdog has seen it", asked(envoy, CLIENTS, server)
        server.process.wait(60)
        yield "the process has ended", asked(envoy, CLIENTS)


class guarded:  # noqa: N801  a context
    """A server, an Envoy that asks it, and the file that says what its engine does."""

    def __init__(self, setup, settings):
        self._place, registry, failure = setup
        self._fault = self._place / "fault"
        self._fault.write_text("")
        port = free_port()
        self._server = serving(
            registry, program="tests.support.faulty_serving", variants="tiny", grpc_port=port,
            environ={"FAULTY_ENGINE": str(self._fault)}, ext_proc_failure=failure,
            **USUAL | settings,
        )  # fmt: skip
        self._gateway = gateway(
            self._place, port, failure_mode_allow=failure == "open", message_timeout="3s"
        )

    def __enter__(self):
        return self._server.__enter__(), self._gateway.__enter__(), self._fault

    def __exit__(self, *error):
        self._fault.write_text("")
        self._gateway.__exit__(*error)
        self._server.__exit__(*error)


def health(server):
    return httpx.get(f"{server.url}/health/ready", timeout=10).text


class Row:
    """What became of requests, and what log and metrics say of them."""

    def __init__(self, good, bad, reached, logged, counted, *, are_json):
        self.good, self.bad, self.logged, self.counted = good, bad, logged, counted
        self.reached, self.are_json = len(reached), are_json
        self.bad_reached = sum(b"awful" in body for _, body in reached)

    def cells(self):
        blocked = self.bad[403]
        passed = (self.good[200], self.bad[200])
        refused = (self.good.total() - passed[0], self.bad.total() - passed[1] - blocked)
        statuses = self.good + self.bad
        return " | ".join(
            map(
                str,
                (
                    passed[0], refused[0], blocked, passed[1], refused[1],
                    ", ".join(f"{code}: {count}" for code, count in sorted(statuses.items())),
                    told(self.logged), told(self.counted),
                ),
            )
        )  # fmt: skip

    def faults(self, failure):
        total = self.good.total() + self.bad.total()
        if failure == "closed" and self.bad_reached:
            yield f"{self.bad_reached} bad requests reached the model"
        if not self.are_json:
            if self.reached:
                yield f"{self.reached} requests without JSON reached the model"
        elif failure == "open" and self.good[200] < self.good.total():
            yield f"of {self.good.total()} harmless requests {self.good[200]} passed"
        for where, counts in (("the log", self.logged), ("metrics", self.counted)):
            if counts is not None and counts.total() != total:
                yield f"{where} tell of {counts.total()} of {total} requests"


def told(counts):
    if counts is None:
        return "(no server)"
    return ", ".join(f"{count} {' '.join(filter(None, what))}" for what, count in counts.items())


def asked(envoy, clients, server=None, *, are_json=True):
    """Send the requests, and compare before and after."""
    envoy.reached.clear()
    before = (lines(server), counts(server)) if server else ()
    texts = [(text, text.format(next(NUMBERS))) for text in (GOOD, BAD) * (REQUESTS // 2)]
    with ThreadPoolExecutor(clients) as pool:
        ask = envoy.chat if are_json else envoy.post
        codes = list(pool.map(lambda each: (each[0], ask(each[1]).status_code), texts))
    by_text = {text: Counter(code for its, code in codes if its == text) for text in (GOOD, BAD)}
    logged = counted = None
    if server:
        wait_for(lambda: len(lines(server)) - len(before[0]) >= len(texts), seconds=5)
        logged = Counter(
            (line["outcome"], line["reason"]) for line in lines(server)[len(before[0]) :]
        )
        counted = counts(server) - before[1]
    reached = list(envoy.reached)
    return Row(by_text[GOOD], by_text[BAD], reached, logged, counted, are_json=are_json)


def lines(server):
    logged = [json.loads(line) for line in server.log().splitlines() if PATH in line]
    return [line for line in logged if "outcome" in line]


def counts(server):
    return Counter(
        {
            (dict(labels)["outcome"], dict(labels)["reason"]): int(value)
            for (name, labels), value in samples(server.metrics()).items()
            if name == "sizewise_checked_requests_total"
        }
    )


if __name__ == "__main__":
    main()
