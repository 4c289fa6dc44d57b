"""A real Prometheus over a real server under load, and promtool; both are Debian's `prometheus`."""

import contextlib
import math
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from tests.support.bundles import VOCABULARY
from tests.support.processes import ROOT, free_port

RULES = ROOT / "helm" / "rules.yaml"
LABELS = {"namespace": "shop", "pod": "sizewise-1"}
JOB = "sizewise"
CLIENTS = 8


def tool(name):
    path = shutil.which(name)
    assert path, f"{name} is missing: apt-get install --no-install-recommends prometheus"
    return path


def promtool(*arguments, given=None):
    """The finished process of `promtool ARGUMENTS`."""
    return subprocess.run(
        [tool("promtool"), *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Prometheus:
    url: str

    def query(self, expression, at):
        """[(labels, value)] at a time in Unix seconds."""
        asked = {"query": expression, "time": at}
        answer = httpx.get(f"{self.url}/api/v1/query", params=asked).json()
        assert answer["status"] == "success", f"{expression}\n{answer}"
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]

    def numbers(self, expression, at):
        """The same without what is not a number."""
        return [found for found in self.query(expression, at) if not math.isnan(found[1])]


@contextlib.contextmanager
def prometheus(server):
    """Scrapes `server`; each second it evaluates our rules, whose offsets are a second, too."""
    target = {"targets": [server.url.removeprefix("http://")], "labels": LABELS}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [RULES.name],
        "scrape_configs": [{"job_name": JOB, "static_configs": [target]}],
    }
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        each_second = re.sub(r"\b(interval:|offset) (1m|5m|6h)\b", r"\1 1s", RULES.read_text())
        (Path(folder) / RULES.name).write_text(each_second)
        path = Path(folder) / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        log_path = Path(folder) / "log"
        with log_path.open("w") as log:
            process = subprocess.Popen(
                [
                    tool("prometheus"),
                    f"--config.file={path}",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stderr=log,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, log_path)
            yield Prometheus(url)
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_ready(url, log_path, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/-/ready").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"Prometheus did not become ready:\n{log_path.read_text()}")


@dataclass
class Load:
    """What clients got: (when in Unix seconds, texts answered) of each request."""

    answers: list = field(default_factory=list)

    def texts_per_s(self, end, seconds):
        """Over the `seconds` before `end`."""
        return sum(texts for at, texts in self.answers if end - seconds < at <= end) / seconds


@contextlib.contextmanager
def load(server, max_texts, headers):
    """Clients that ask for all kinds of things, and give feedback, until the block ends."""
    sent, ended = Load(), threading.Event()
    clients = [
        httpx.Client(base_url=server.url, headers=headers, timeout=30) for _ in range(CLIENTS)
    ]
    threads = [
        threading.Thread(target=_ask, args=(client, max_texts, random.Random(n), sent, ended))
        for n, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield sent
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)


def _ask(client, max_texts, chance, sent, ended):
    with client:
        while not ended.is_set():
            body = _body(max_texts, chance)
            answer = client.post("/v1/classify", json=body)
            texts = len(body["texts"]) if answer.status_code == 200 else 0
            sent.answers.append((time.time(), texts))
            if texts and chance.random() < 0.2:
                given = {"request_id": answer.headers["x-request-id"], "labels": ["positive"]}
                client.post("/v1/feedback", json=given)
            time.sleep(0.02)


def _body(max_texts, chance):
    """Mostly single texts; some requests are large, some long, some for one variant, some wrong."""
    count = chance.choice([1, 1, 1, 4, max_texts])
    body = {
        "texts": [" ".join(chance.choices(VOCABULARY[4:], k=chance.randint(1, 60)))] * count,
        "truncate": True,
    }
    if chance.random() < 0.2:
        body["variant"] = "tiny"
    if chance.random() < 0.05:
        body["texts"] = [""]
    return body
