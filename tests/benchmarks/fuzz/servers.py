"""The server of a part, and what is looked at besides answers: its processes, log and counters."""

import contextlib
import json
import re
import time
from dataclasses import dataclass

import httpx
import psutil

from serving.bundles.registry import publish
from tests.support.api_keys import write_callers
from tests.support.bundles import write_bundle, write_registry, write_tensor_bundle
from tests.support.metric_values import samples
from tests.support.odd_graphs import write_reranker
from tests.support.processes import ROOT, free_port, serving, wait_until_accepting, wait_until_ready

ADMIN_KEY = "fuzz-admin-key"
SETTLED_WITHIN_S = 30
START_WITHIN_S = 240
# Growth beyond it is a leak; an allocator's arenas and caches fill up to it.
MOST_GROWTH = 0.15
MOST_GROWTH_BYTES = 32 << 20
MOST_MORE_DESCRIPTORS = 16
MOST_MORE_THREADS = 8
# grpcio says so when a client has left before UNIMPLEMENTED could be sent.
_CLIENT_LEFT = "ExecuteBatchError raised in core by servicer method"
_ALARMING = re.compile(r"Traceback|Error|panic|Fatal|Assert", re.IGNORECASE)


def registry_of(folder):
    """Families of texts, pairs and numbers, for reranking and for entailment."""
    registry, scratch = folder / "registry", folder / "scratch"
    if registry.exists():
        return registry
    write_registry(registry, scratch)
    (registry / "tone" / "policy.json").write_text('{"harmless": ["positive"]}')
    (registry / "tone" / "windows.json").write_text('{"long": "windows"}')
    write_bundle(scratch / "same", family="same", pairs=True)
    publish(scratch / "same", registry)
    write_tensor_bundle(scratch / "digits")
    publish(scratch / "digits", registry)
    write_reranker(scratch / "passages")
    write_reranker(scratch / "nli", "nli", labels=("contradiction", "neutral", "entailment"))
    for family in ("passages", "nli"):
        publish(scratch / family, registry)
    return registry


@dataclass(frozen=True)
class Sample:
    """What the processes of a server take."""

    rss_bytes: int
    descriptors: int
    threads: int


@dataclass
class Server:
    running: object
    port: int
    grpc_port: int
    admin_port: int
    headers: tuple

    def sample(self):
        """The sum over its processes."""
        rss = descriptors = threads = 0
        first = psutil.Process(self.running.process.pid)
        for each in [first, *first.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                rss += each.memory_info().rss
                descriptors += each.num_fds()
                threads += each.num_threads()
        return Sample(rss, descriptors, threads)

    def settled(self, before):
        """A sample when no connection is left, at the latest after a while."""
        until_s = time.monotonic() + SETTLED_WITHIN_S
        while True:
            now = self.sample()
            if now.descriptors <= before.descriptors or time.monotonic() > until_s:
                return now
            time.sleep(0.2)

    def counted(self):
        """Requests that it has counted, by status."""
        found = {}
        page = httpx.get(f"{self.running.url}/metrics", timeout=30).text
        for (name, labels), value in samples(page).items():
            if name == "sizewise_requests_total":
                status = dict(labels)["code"]
                found[status] = found.get(status, 0) + int(value)
        return found

    @property
    def lives(self):
        return self.running.process.poll() is None


@contextlib.contextmanager
def server(folder, *, keys=False, shipped=False, caller=None, **settings):
    """A server of the families above, with keys or without, over HTTP, gRPC and the admin port.

    `caller` is what the entry of the caller says whose key is sent.
    """
    registry = registry_of(folder)
    settings.setdefault("engine", "auto" if shipped else "onnxruntime")
    if shipped:
        registry = f"{registry},{ROOT / 'models/registry'}"
    headers = ()
    if keys:
        headers = write_callers(
            folder / "callers.json", fuzz=caller or {}, slow={"texts_per_s": 50}
        )
        settings["callers"] = folder / "callers.json"
        headers = tuple(headers["fuzz"].items())
    grpc_port, admin_port = free_port(), free_port()
    with serving(
        registry, wait_ready=False, default_model="tone", grpc_port=grpc_port,
        admin_port=admin_port, admin_key=ADMIN_KEY, body_timeout_ms=2000, **settings,
    ) as running:  # fmt: skip
        wait_until_ready(running, START_WITHIN_S)
        wait_until_accepting(grpc_port)
        port = int(running.url.rpartition(":")[2])
        yield Server(running, port, grpc_port, admin_port, headers)


def faults_of_log(path):
    """Lines that tell of a bug: errors, tracebacks and what is not JSON."""
    found = []
    with path.open(errors="replace") as lines:
        for line in lines:
            if '"level":"info"' in line[:80]:
                continue
            try:
                said = json.loads(line)
            except ValueError:
                if _ALARMING.search(line):
                    found.append(line.strip()[:2000])
                continue
            if _CLIENT_LEFT in said["event"]:
                continue
            if said["level"] in ("error", "critical") or "traceback" in said:
                found.append(line.strip()[:4000])
    return found[:20]


def growth(before, after):
    """What grew more than it may."""
    found = []
    most = before.rss_bytes * (1 + MOST_GROWTH) + MOST_GROWTH_BYTES
    if after.rss_bytes > most:
        found.append(f"memory grew from {before.rss_bytes:,} to {after.rss_bytes:,} bytes")
    if after.descriptors > before.descriptors + MOST_MORE_DESCRIPTORS:
        found.append(f"descriptors grew from {before.descriptors} to {after.descriptors}")
    if after.threads > before.threads + MOST_MORE_THREADS:
        found.append(f"threads grew from {before.threads} to {after.threads}")
    return found
