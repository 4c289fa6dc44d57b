"""The whole path against a small real HTTP server whose behaviour is known; serving is not used.

The stand-in answers the contract; the name of a variant says how it behaves.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from loadtest.__main__ import main
from loadtest.run import run_phase
from loadtest.samples import Phase, read_samples
from loadtest.server import LoadTestError, ask, served

REPOSITORY = Path(__file__).parent.parent

STAND_IN = """
import json, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

if os.environ.get("STAND_IN_FAILS"):
    sys.exit("SIZEWISE_REGISTRY: no such folder")
SEEN = {"requests": 0, "first_s": None, "texts": []}
LOCK = threading.Lock()

def variant(name, size, accuracy, state="ready"):
    around = {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02}
    return {"variant": name, "version": "0" * 12, "precision": "int8", "parameters": size // 4,
            "bytes": size, "state": state, "evaluations": {"test": {"accuracy": around}}}

MODELS = {"models": [{"model": "tone", "default_variant": "fast", "variants": [
    variant("fast", 4_000_000, 0.82), variant("slow", 16_000_000, 0.87),
    variant("torn", 64_000_000, 0.9, state="failed")]}]}

class Answers(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", 65536  # one packet an answer, or Nagle waits 40 ms
    def log_message(self, *_): pass
    def reply(self, status, body, **headers):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Length", str(len(data))), *headers.items()):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
    def do_GET(self):
        if self.path == "/health/ready": self.reply(200, {"status": "ready"})
        elif self.path == "/v1/models": self.reply(200, MODELS)
        elif self.path == "/seen": self.reply(200, SEEN)
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        now = time.monotonic()
        with LOCK:
            SEEN["requests"] += 1
            SEEN["texts"] += asked["texts"]
            SEEN["first_s"] = SEEN["first_s"] or now
            number = SEEN["requests"]
        name = asked["variant"]
        if name == "stalls":
            resume_s = SEEN["first_s"] + 2.0
            if SEEN["first_s"] + 1.0 <= now < resume_s: time.sleep(resume_s - now)
        if name == "hangs up":
            self.close_connection = True
            return time.sleep(0.01)
        if name == "refuses" and number % 4 == 0: return self.reply(429, {"code": "overloaded"})
        time.sleep({"fast": 0.005, "slow": 0.02}.get(name, 0.002))
        timing = {"Server-Timing": "tokenize;dur=0.25, queue;dur=0.5, engine;dur=1.5"}
        self.reply(200, {"model": "tone", "results": [{"variant": name}]}, **timing)

class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128

Server(("127.0.0.1", int(os.environ["SIZEWISE_PORT"])), Answers).serve_forever()
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path, monkeypatch):
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "__init__.py").touch()
    (tmp_path / "serving" / "__main__.py").write_text(STAND_IN)
    monkeypatch.chdir(tmp_path)  # python -m looks here first
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


@pytest.fixture
def url(tmp_path):
    with served(None, tmp_path / "server.log") as url:
        yield url


def phase(variant, kind="closed", measured_s=1.0, **changes):
    about = {"users": 4 if kind == "closed" else 1, "rate_rps": 40.0, "warmup_s": 0.5, "seed": 1}
    return Phase("tone", variant, kind, measured_s=measured_s, **about | changes)


def samples_of(folder, phase):
    return read_samples(folder / "samples" / f"tone.{phase.variant}.{phase.kind}.parquet")


@pytest.mark.parametrize("kind", ["closed", "open"])
def test_every_request_that_the_server_saw_is_in_the_file(tmp_path, url, kind):
    run_phase(phase("fast", kind), url, tmp_path)
    found, seen = samples_of(tmp_path, phase("fast", kind)), ask(f"{url}/seen")
    assert found.status.size == seen["requests"] > 20
    assert (found.status == 200).all()
    assert (found.latency_ms >= 5.0).all()
    assert np.median(found.latency_ms) < 35.0  # Nagle would make it 45
    assert np.unique(found.server_ms["engine"]).tolist() == [1.5]


def test_a_closed_phase_keeps_its_users_busy_and_no_more(tmp_path, url):
    figures = run_phase(phase("slow", users=4), url, tmp_path)
    found = samples_of(tmp_path, phase("slow"))
    in_flight = [
        np.sum((found.start_s <= at) & (found.end_s > at)) for at in np.arange(0.6, 1.4, 0.05)
    ]
    assert max(in_flight) <= 4
    assert figures.achieved_rps <= 4 / 0.02
    assert figures.requests + np.sum(found.intended_s < 0.5) == found.status.size


def test_a_stall_shows_in_an_open_phase_as_the_backlog_it_is(tmp_path, url):
    stalled = phase("stalls", "open", measured_s=3.0, rate_rps=60.0)
    run_phase(stalled, url, tmp_path)
    found = samples_of(tmp_path, stalled)
    assert found.latency_ms.max() > 900.0
    # Who arrives within the stalled second waits for its end: half a second on average.
    assert 15 <= np.sum(found.latency_ms > 500.0) <= 50
    # The schedule goes on meanwhile.
    assert found.status.size == pytest.approx(60.0 * stalled.total_s, abs=50)
    assert np.all(found.start_s >= found.intended_s)
    assert np.median(found.start_s - found.intended_s) < 0.1


def test_a_stall_hits_each_user_of_a_closed_phase_only_once(tmp_path, url):
    stalled = phase("stalls", measured_s=2.5, users=2)
    run_phase(stalled, url, tmp_path)
    assert np.sum(samples_of(tmp_path, stalled).latency_ms > 500.0) == 2


def test_errors_are_counted_by_status(tmp_path, url):
    figures = run_phase(phase("refuses"), url, tmp_path)
    refused = figures.status["429"] / figures.requests
    assert refused == pytest.approx(0.25, abs=0.05)
    assert any("refused" in doubt for doubt in figures.doubts)


def test_a_connection_that_is_cut_counts_as_no_answer(tmp_path, url):
    figures = run_phase(phase("hangs up", users=1), url, tmp_path)
    assert set(figures.status) == {"0"}


def test_own_texts_are_what_is_sent(tmp_path, url):
    (tmp_path / "own.txt").write_text("one\ntwo\n")
    run_phase(phase("fast", measured_s=0.3), url, tmp_path, texts=tmp_path / "own.txt")
    assert set(ask(f"{url}/seen")["texts"]) == {"one", "two"}


def test_a_run_measures_every_variant_and_its_report_can_be_rebuilt(tmp_path, capsys):
    asked = ["run", "--out", "reports", "--seconds", "0.8", "--warmup", "0.2", "--users", "4"]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert "tone/torn: left out, its state is failed" in printed
    (folder,) = (tmp_path / "reports").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert [variant["variant"] for variant in report["variants"]] == ["fast", "slow"]
    assert all(variant["on_frontier"] for variant in report["variants"])
    for variant in report["variants"]:
        closed, opened = variant["phases"]["closed"], variant["phases"]["open"]
        assert set(closed["status"]) == set(opened["status"]) == {"200"}
        assert opened["rate_rps"] == pytest.approx(0.6 * closed["achieved_rps"])
        assert opened["split_median_ms"]["engine"] == 1.5
        assert variant["accuracy"]["low"] < variant["accuracy"]["value"]
    assert report["machine"]["versions"]["locust"]
    assert report["command"].endswith("--seconds 0.8 --warmup 0.2 --users 4")
    assert (folder / "frontier.png").stat().st_size > 10_000
    text = (folder / "report.md").read_text()
    assert text in printed
    (folder / "report.md").unlink()
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.md").read_text() == text


def test_a_server_that_does_not_start_ends_the_run_with_its_own_words(monkeypatch, capsys):
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    assert main(["run", "--out", "reports"]) == 2
    assert "SIZEWISE_REGISTRY: no such folder" in capsys.readouterr().err


def test_a_variant_that_is_not_served_is_refused_with_those_that_are(capsys):
    assert main(["run", "--out", "reports", "--variant", "huge"]) == 2
    assert "huge: not served; there is fast, slow" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--texts", "none.txt"], ["--texts", "serving/__init__.py"]])
def test_a_file_without_texts_is_refused_before_anything_starts(given, capsys, tmp_path):
    assert main(["run", *given]) == 2
    assert "--texts" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("given", [["--rate", "0"], ["--seconds", "-1"], ["--users", "0"]])
def test_absurd_options_are_refused(given):
    with pytest.raises(SystemExit, match="2"):
        main(["run", *given])


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err


def test_what_the_server_refuses_is_told_in_its_own_words(url):
    with pytest.raises(LoadTestError, match="see the server's log"):
        ask(f"{url}/nothing")


def test_the_server_is_stopped_even_when_the_measurement_fails(tmp_path):
    with pytest.raises(RuntimeError, match="ours"), served(None, tmp_path / "log") as url:
        raise RuntimeError("ours")
    with pytest.raises(LoadTestError):
        ask(f"{url}/v1/models")


def test_a_run_that_is_told_to_stop_leaves_no_process_behind():
    command = [sys.executable, "-m", "loadtest", "run", "--out", "reports", "--seconds", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as measuring:
        while b"fast: closed" not in measuring.stdout.readline():
            assert measuring.poll() is None
        started = psutil.Process(measuring.pid).children(recursive=True)
        measuring.terminate()
        assert measuring.wait(30) == 128 + 15
    _, alive = psutil.wait_procs(started, timeout=10)
    assert len(started) >= 1
    assert alive == []


def test_locust_patches_its_own_process_only():
    code = "import sys, loadtest.__main__; sys.exit('gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
