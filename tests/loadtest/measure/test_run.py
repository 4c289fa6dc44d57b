"""The whole path against a small real HTTP server whose behaviour is known; serving is not used.

The stand-in answers the contract; the name of a variant says how it behaves.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from loadtest.__main__ import main
from loadtest.analysis.summary import combine, summarise
from loadtest.measure.run import Choice, _check_who_answers, run_phase
from loadtest.measure.server import LoadTestError, request_json, running_server
from loadtest.report.build import read_report
from loadtest.samples import Phase
from loadtest.scenario import Load, Scenario

REPOSITORY = Path(__file__).parents[3]

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
            "bytes": size, "state": state, "engine": "none",
            "evaluations": {"test": {"accuracy": around}}}

MODELS = {"models": [{"model": "tone", "default_variant": "fast", "cascade": None, "variants": [
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
        answering = "slow" if name == "auto" else name
        results = [{"variant": answering, "degraded": False} for _ in asked["texts"]]
        if name == "auto" and asked["allow_degraded"] and number % 2:
            results[0] = {"variant": "fast", "degraded": True}
        self.reply(200, {"model": "tone", "results": results}, **timing)

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


REGISTRY = Path("registry")
SCENARIO = Scenario(loads=[Load(name="closed", kind="closed", users=4)])
SLO_MS = 50.0


@pytest.fixture
def lenient(monkeypatch):
    """Phases of a second, beside a server in Python, are late by chance."""
    monkeypatch.setattr("loadtest.analysis.summary.LATENESS_FLOOR_MS", 1000.0)
    monkeypatch.setattr("loadtest.analysis.summary.ACHIEVED_SHARE", 0.5)


@pytest.fixture
def server(tmp_path):
    with running_server(REGISTRY, tmp_path / "server.log") as server:
        yield server


@pytest.fixture
def url(server):
    return server.url


def phase(variant, kind="closed", measured_s=1.0, **changes):
    about = {
        "load": kind, "round": 0, "users": 4 if kind == "closed" else 1, "arrivals": "poisson",
        "rate_rps": 40.0, "trace": None, "texts_per_request": 1, "deadline_ms": None,
        "warmup_s": 0.5, "seed": 1,
    }  # fmt: skip
    return Phase("tone", variant, kind=kind, measured_s=measured_s, **about | changes)


def scenario_file(tmp_path, text=""):
    (tmp_path / "own.toml").write_text(
        "rounds = 2\nwarmup_s = 0.2\nmeasured_s = 0.8\nfloor = false\n"
        + text
        + """
[[loads]]
name = "closed"
kind = "closed"
users = 4
[[loads]]
name = "open"
kind = "open"
share = 0.2
"""
    )
    return str(tmp_path / "own.toml")


@pytest.mark.parametrize("kind", ["closed", "open"])
def test_every_request_that_the_server_saw_is_in_the_file(tmp_path, url, kind):
    found = run_phase(phase("fast", kind), url, tmp_path, SCENARIO)
    assert found.status.size == request_json(f"{url}/seen")["requests"] > 20
    assert (found.status == 200).all()
    assert (found.latency_ms >= 5.0).all()
    assert np.median(found.latency_ms) < 35.0  # Nagle would make it 45
    assert np.unique(found.server_ms["engine"]).tolist() == [1.5]


@pytest.mark.parametrize("kind", ["closed", "open"])
def test_two_processes_send_what_one_would(tmp_path, url, kind):
    two = SCENARIO.model_copy(update={"processes": 2})
    asked = phase("fast", kind, arrivals="constant", rate_rps=40.0, measured_s=1.5)
    found = run_phase(asked, url, tmp_path, two)
    assert len(list((tmp_path / "samples").iterdir())) == 2
    assert found.status.size == request_json(f"{url}/seen")["requests"]
    if kind == "open":
        assert sorted(found.intended_s) == pytest.approx(np.arange(0.0, 2.0, 0.025))
    else:
        assert np.max(np.sum(found.start_s[:, None] < found.end_s, axis=0)) > 2


def test_a_closed_phase_keeps_its_users_busy_and_no_more(tmp_path, url):
    found = run_phase(phase("slow", users=4), url, tmp_path, SCENARIO)
    in_flight = [
        np.sum((found.start_s <= at) & (found.end_s > at)) for at in np.arange(0.6, 1.4, 0.05)
    ]
    assert max(in_flight) <= 4
    figures = summarise(found, SLO_MS)
    assert figures.achieved_rps <= 4 / 0.02
    assert figures.requests + np.sum(found.intended_s < 0.5) == found.status.size


def test_a_stall_shows_in_an_open_phase_as_the_backlog_it_is(tmp_path, url):
    stalled = phase("stalls", "open", measured_s=3.0, rate_rps=60.0)
    found = run_phase(stalled, url, tmp_path, SCENARIO)
    assert found.latency_ms.max() > 900.0
    # Who arrives within the stalled second waits for its end: half a second on average.
    assert 15 <= np.sum(found.latency_ms > 500.0) <= 50
    # The schedule goes on meanwhile.
    assert found.status.size == pytest.approx(60.0 * stalled.total_s, abs=50)
    assert np.all(found.start_s >= found.intended_s)
    assert np.median(found.start_s - found.intended_s) < 0.1


def test_a_stall_hits_each_user_of_a_closed_phase_only_once(tmp_path, url):
    found = run_phase(phase("stalls", measured_s=2.5, users=2), url, tmp_path, SCENARIO)
    assert np.sum(found.latency_ms > 500.0) == 2


def test_a_starved_client_is_refused(tmp_path, url):
    """A client on a core that another process of high priority keeps busy."""
    burn = [sys.executable, "-c", "import os\nos.sched_setaffinity(0, {0})\nwhile True: pass"]
    burning = [subprocess.Popen(burn) for _ in range(6)]
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {0})  # what Locust inherits
        found = run_phase(phase("fast", "open", rate_rps=150.0), url, tmp_path, SCENARIO)
    finally:
        os.sched_setaffinity(0, cores)
        for process in burning:
            process.kill()
            process.wait()
    refusals = summarise(found, SLO_MS).refusals
    assert any("client" in reason for reason in refusals)


def test_errors_are_counted_by_status(tmp_path, url):
    figures = summarise(run_phase(phase("refuses"), url, tmp_path, SCENARIO), SLO_MS)
    assert figures.status["429"] / figures.requests == pytest.approx(0.25, abs=0.05)


def test_a_connection_that_is_cut_counts_as_no_answer(tmp_path, url):
    found = run_phase(phase("hangs up", users=1), url, tmp_path, SCENARIO)
    assert set(found.status) == {0}


@pytest.mark.parametrize(("choice", "share"), [("brownout", 0.25), ("auto", 0.0)])
def test_texts_that_were_answered_degraded_are_counted_by_who_answered(
    tmp_path, url, choice, share
):
    asked = phase(choice, measured_s=0.5, texts_per_request=2)
    found = run_phase(asked, url, tmp_path, SCENARIO)
    degraded = combine([found], SLO_MS).degraded
    assert degraded == pytest.approx({"fast": share} if share else {}, abs=0.05)


def test_a_server_that_refuses_the_cascade_is_not_measured_as_one(url):
    with pytest.raises(LoadTestError, match="tone's cascade is refused"):
        _check_who_answers(url, Choice("tone", "auto", ("fast", "slow")))


def test_own_texts_are_what_is_sent(tmp_path, url):
    (tmp_path / "own.txt").write_text("one\ntwo\nthree\n")
    own = SCENARIO.model_copy(update={"texts": tmp_path / "own.txt"})
    run_phase(phase("fast", measured_s=0.3, texts_per_request=2), url, tmp_path, own)
    seen = request_json(f"{url}/seen")
    assert set(seen["texts"]) == {"one", "two", "three"}
    assert len(seen["texts"]) == 2 * seen["requests"]


@pytest.mark.usefixtures("lenient")
def test_a_run_measures_every_variant_and_its_report_can_be_rebuilt(tmp_path, capsys):
    asked = ["run", scenario_file(tmp_path), "--registry", "registry", "--out", "reports"]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert "tone/torn: left out, its state is failed" in printed
    (folder,) = (tmp_path / "reports").iterdir()
    report = read_report(folder)
    assert [variant["variant"] for variant in report["variants"]] == ["fast", "slow"]
    assert all(variant["on_frontier"] for variant in report["variants"])
    for variant in report["variants"]:
        closed, opened = variant["loads"]["closed"], variant["loads"]["open"]
        assert set(closed["status"]) == set(opened["status"]) == {"200"}
        assert len(closed["rounds"]) == 2
        first_rps = closed["rounds"][0]["achieved_rps"]
        assert opened["offered_rps"]["value"] == pytest.approx(0.2 * first_rps, rel=0.5)
        assert opened["split_median_ms"]["engine"] == 1.5
        assert variant["accuracy"]["low"] < variant["accuracy"]["value"]
        assert variant["peak_bytes"] > 10_000_000
        assert 0.0 < variant["ready_s"]["value"] < 30.0
    assert report["machine"]["versions"]["locust"]
    assert "own.toml" in report["command"]
    assert {path.stem for path in folder.glob("*.png")} >= {"frontier", "latency_throughput"}
    text, html = (folder / "report.md").read_text(), (folder / "report.html").read_text()
    assert text in printed
    assert "http://" not in html.replace("http://www.w3.org", "")
    (folder / "report.md").unlink()
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.md").read_text() == text
    assert main(["compare", str(folder), str(folder)]) == 0
    capsys.readouterr()
    wish = ["--slo-p99-ms", "1000", "--min-accuracy", "0.8", "--rps", "10"]
    assert main(["recommend", *wish, "--values", "values.yaml"]) == 0
    assert "deploy tone/slow on 1 replicas" in capsys.readouterr().out
    assert (tmp_path / "values.yaml").is_file()
    assert main(["recommend", *wish[:-1], "10000000000"]) == 0
    assert main(["recommend", "--slo-p99-ms", "0.1", *wish[2:]]) == 1


@pytest.mark.usefixtures("lenient")
def test_a_running_server_can_be_measured_by_its_address(tmp_path, url):
    asked = ["run", scenario_file(tmp_path), "--url", url, "--out", "reports", "--variant", "fast"]
    assert main(asked) == 0
    (folder,) = (tmp_path / "reports").iterdir()
    report = read_report(folder)
    assert report["url"] == url
    assert report["variants"][0]["peak_bytes"] is None


@pytest.mark.usefixtures("lenient")
def test_a_recommendation_is_checked_by_running_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("loadtest.sizing.verify._MEASURED_S", 1.0)
    monkeypatch.setattr("loadtest.sizing.verify._ROUNDS", 2)
    main(["run", scenario_file(tmp_path), "--registry", "registry", "--out", "reports"])
    wish = ["--slo-p99-ms", "1000", "--min-accuracy", "0.8", "--rps", "20", "--check"]
    status = main(["recommend", *wish])
    said = capsys.readouterr().out
    assert "requests/s predicted 20.0" in said
    assert status == (0 if "holds" in said else 1)


def test_a_report_of_another_version_is_refused(tmp_path, capsys):
    (tmp_path / "report.json").write_text('{"schema_version": 1}')
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "schema version 1" in capsys.readouterr().err


def test_a_server_that_does_not_start_ends_the_run_with_its_own_words(monkeypatch, capsys):
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    assert main(["run", "--out", "reports"]) == 2
    assert "SIZEWISE_REGISTRY: no such folder" in capsys.readouterr().err


def test_a_variant_that_is_not_served_is_refused_with_those_that_are(capsys):
    assert main(["run", "--out", "reports", "--variant", "huge"]) == 2
    assert "huge: not served; there is fast, slow" in capsys.readouterr().err


def test_a_file_without_texts_is_refused_before_anything_starts(capsys, tmp_path):
    assert main(["run", scenario_file(tmp_path, 'texts = "none.txt"\n')]) == 2
    assert "none.txt" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    "given",
    [
        ["run", "--url", "localhost:8000"],
        ["recommend", "--slo-p99-ms", "0", "--min-accuracy", "0.8", "--rps", "1"],
        ["recommend", "--slo-p99-ms", "9", "--min-accuracy", "1.8", "--rps", "1"],
    ],
)
def test_absurd_options_are_refused(given):
    with pytest.raises(SystemExit, match="2"):
        main(given)


@pytest.mark.parametrize("command", [["report"], ["compare", "."]])
def test_a_folder_without_a_run_is_refused(tmp_path, capsys, command):
    assert main([*command, str(tmp_path)]) == 2
    assert "run" in capsys.readouterr().err


def test_what_the_server_refuses_is_told_in_its_own_words(url):
    with pytest.raises(LoadTestError, match="see the server's log"):
        request_json(f"{url}/nothing")


def test_the_server_is_stopped_even_when_the_measurement_fails(tmp_path):
    with pytest.raises(RuntimeError, match="ours"), running_server(REGISTRY, tmp_path / "log") as server:
        raise RuntimeError("ours")
    with pytest.raises(LoadTestError):
        request_json(f"{server.url}/v1/models")


def test_a_run_that_is_told_to_stop_leaves_no_process_behind(tmp_path):
    command = [sys.executable, "-m", "loadtest", "run", scenario_file(tmp_path, "seed = 1\n"),
               "--registry", "registry", "--out", "reports"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE) as measuring:
        said = b""
        while b"fast, closed" not in said:
            said += os.read(measuring.stderr.fileno(), 1000)
            assert measuring.poll() is None
        started = psutil.Process(measuring.pid).children(recursive=True)
        measuring.send_signal(signal.SIGTERM)
        assert measuring.wait(30) == 128 + 15
    _, alive = psutil.wait_procs(started, timeout=10)
    assert len(started) >= 1
    assert alive == []


def test_locust_patches_its_own_process_only():
    code = "import sys, loadtest.__main__; sys.exit('gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
