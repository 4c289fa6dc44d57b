import asyncio
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from serving.access import api_keys
from serving.access.api_keys import Callers, CallersFile
from serving.access.rate_limits import Limits, LimitUse
from serving.errors import RateLimited, StartError, Unauthorized
from serving.settings import Settings
from tests.support.api_keys import write_callers
from tests.support.metric_values import total
from tests.support.patience import ends
from tests.support.processes import FRESH, ROOT, serving
from tests.support.registries import wait_for
from tests.support.special_files import put


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@given(
    st.floats(0.5, 50),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40)), min_size=1, max_size=80),
)
@example(0.5000000000000001, [(0.9617972101574159, 12), (0.0, 1)])
def test_no_caller_gets_more_texts_than_its_rate_and_one_request_beyond(rate, requests):
    clock = Clock()
    use, limits = LimitUse(clock), Limits(texts_per_s=rate)
    began_s, texts, largest = clock.now_s, 0, 0
    for wait_s, size in requests:
        clock.now_s += wait_s
        try:
            use.enter("nightly", limits)
        except RateLimited as refused:
            clock.now_s += refused.retry_after_s
            use.enter("nightly", limits)  # what Retry-After says is true
        use.charge("nightly", size)
        use.leave("nightly")
        texts += size
        largest = max(largest, size)

        passed_s = clock.now_s - began_s
        assert texts <= max(1.0, rate) + rate * passed_s + largest + 1e-6


def test_requests_at_a_time_are_limited_and_leaving_makes_room():
    use, limits = LimitUse(), Limits(max_requests=2)
    use.enter("search", limits)
    use.enter("search", limits)

    with pytest.raises(RateLimited) as refused:
        use.enter("search", limits)
    use.enter("other", limits)
    use.leave("search")
    use.enter("search", limits)

    assert (refused.value.field, refused.value.limit, refused.value.value) == (
        "max_requests", 2, 3,
    )  # fmt: skip


def test_a_key_is_known_by_its_hash_alone(tmp_path):
    path = tmp_path / "callers.json"
    headers = write_callers(path, search={})["search"]
    callers = Callers(Settings(callers=path, api_key="correct-horse"))

    def name(authorization):
        return callers.identify({b"authorization": authorization.encode()}).name

    assert name(headers["Authorization"]) == "search"
    assert name("Bearer correct-horse") == "_api_key"
    with pytest.raises(ValidationError):
        CallersFile.model_validate({"_api_key": {"key_sha256": "0" * 64}})
    assert headers["Authorization"].removeprefix("Bearer ") not in path.read_text()
    for wrong in ("", "Bearer", "Bearer x", headers["Authorization"].replace("Bearer", "Basic")):
        with pytest.raises(Unauthorized):
            name(wrong)


HASHED = f'"key_sha256": "{0:064}"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Invalid JSON"),
        ("[]", "should be an object"),
        ('{"a": {}}', "a.key_sha256: Field required"),
        ('{"a": {"key_sha256": "xyz"}}', "a.key_sha256"),
        (f'{{"a": {{{HASHED}, "texts_per_s": 0}}}}', "a.texts_per_s"),
        *(
            (f'{{"a": {{{HASHED}, "texts_per_s": {rate}}}}}', "a.texts_per_s")
            for rate in ("5e-324", "1e-300", "1e400", "1e308", "NaN", "Infinity", "-1", "true")
        ),
        *(
            (f'{{"a": {{{HASHED}, "max_requests": {most}}}}}', "a.max_requests")
            for most in ("0", "1e3", "9" * 30)
        ),
        (f'{{"a": {{{HASHED}, "urgency": 8}}}}', "a.urgency"),
        (f'{{"a": {{{HASHED}, "rps": 8}}}}', "a.rps"),
        (f'{{"a": {{{HASHED}}}, "b": {{{HASHED}}}}}', "the same key"),
    ],
)
def test_a_wrong_file_of_callers_is_refused_in_one_sentence(tmp_path, text, said):
    (tmp_path / "callers.json").write_text(text)

    with pytest.raises(StartError, match="SIZEWISE_CALLERS") as refused:
        Callers(Settings(callers=tmp_path / "callers.json"))

    assert said in refused.value.detail


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device", "nowhere"])
def test_what_is_no_file_of_callers_is_refused_at_once(tmp_path, kind):
    put(kind, tmp_path / "callers.json")

    with pytest.raises(StartError, match="SIZEWISE_CALLERS"):
        ends(lambda: Callers(Settings(callers=tmp_path / "callers.json")))


@pytest.mark.parametrize("rate", [1e-6, 1e9])
def test_the_slowest_and_the_fastest_rate_are_refused_with_a_time_to_retry(tmp_path, rate):
    headers = write_callers(tmp_path / "callers.json", search={"texts_per_s": rate})["search"]
    callers = Callers(Settings(callers=tmp_path / "callers.json"))
    limits = callers.identify({b"authorization": headers["Authorization"].encode()}).limits
    use = LimitUse(clock=lambda: 0.0)
    use.enter("search", limits)
    use.charge("search", 2_000_000_000)

    with pytest.raises(RateLimited) as refused:
        use.enter("search", limits)

    assert refused.value.retry_after_s >= 1


def test_the_command_makes_a_key_and_its_entry():
    made = subprocess.run(
        [sys.executable, "-m", "serving", "key", "search"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert len(made.stdout.strip()) >= 43
    assert '{"search": {"key_sha256": "' in made.stderr
    assert made.stdout.strip() not in made.stderr


@pytest.mark.parametrize("http_processes", [0, 2])
def test_each_caller_has_its_own_limits_whichever_process_answers(
    tmp_path, tiny_registry, http_processes
):
    path = tmp_path / "callers.json"
    headers = write_callers(path, search={}, nightly={"texts_per_s": 5})
    with serving(tiny_registry, callers=path, http_processes=http_processes) as server:
        body = {"texts": ["good"]}
        nobody = server.classify(body)
        began_s = time.monotonic()
        with ThreadPoolExecutor(12) as clients:
            asked = [
                clients.submit(server.classify, body, headers=headers["nightly"]) for _ in range(12)
            ]
        nightly = [each.result() for each in asked]
        refilled = 5 * (time.monotonic() - began_s)
        search = [server.classify(body, headers=headers["search"]) for _ in range(12)]
        page = server.metrics()
        large = {"texts": ["good"] * 11}
        time.sleep(1)
        paid_later = [server.classify(large, headers=headers["nightly"]) for _ in range(2)]
        lines = server.log().splitlines()

    refused = [answer for answer in nightly if answer.status_code == 429]
    assert nobody.status_code == 401
    assert 5 <= 12 - len(refused) <= 6 + refilled
    assert refused[0].json()["code"] == "rate_limited"
    assert refused[0].json()["field"] == "texts_per_s"
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert {answer.status_code for answer in search} == {200}
    assert f'sizewise_rejected_total{{reason="rate_limited"}} {len(refused)}.0' in page
    for caller, outcome, requests in (
        ("nightly", "rate_limited", len(refused)),
        ("nightly", "answered", 12 - len(refused)),
        ("search", "answered", 12),
        ("_anonymous", "invalid", 1),
    ):
        of = {"caller": caller, "outcome": outcome}
        assert total(page, "sizewise_caller_requests_total", **of) == requests
    assert total(page, "sizewise_caller_texts_total", caller="search") == 12
    assert total(page, "sizewise_requests_total", reason="rate_limited") == len(refused)
    assert [answer.status_code for answer in paid_later] == [200, 429]
    assert callers_in(lines) == {"", "search", "nightly"}


def callers_in(lines):
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    return {each["caller"] for each in logged if each.get("path") == "/v1/classify"}


@pytest.mark.parametrize("http_processes", [0, 1])
def test_a_changed_file_counts_without_a_restart_and_a_wrong_one_changes_nothing(
    tmp_path, tiny_registry, http_processes
):
    path = tmp_path / "callers.json"
    first = write_callers(path, search={})["search"]
    body = {"texts": ["good"]}
    settings = {"callers": path, "scan_ms": 100, "http_processes": http_processes}
    with serving(tiny_registry, **settings) as server:
        second = write_callers(path, search={})["search"]
        for _ in range(100):
            if server.classify(body, headers=second).status_code == 200:
                break
            time.sleep(0.1)
        revoked = server.classify(body, headers=first)
        usual = failures(server)
        valid = path.read_text()
        path.write_text("{")
        wait_for(lambda: failures(server) >= usual + 2)
        kept = server.classify(body, headers=second)
        write_aside(path, valid)
        wait_for(lambda: server.log().count("callers reloaded") >= 2)
        settled = failures(server)
        time.sleep(0.3)
        after = failures(server)
        said = server.log()

    assert (revoked.status_code, kept.status_code) == (401, 200)
    assert "callers not reloaded" in said
    assert after == settled, "nothing fails any more"


def failures(server):
    return total(server.metrics(), "sizewise_callers_failures_total")


def write_aside(path, text):
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.replace(path)


async def test_a_file_that_hangs_takes_one_thread_and_is_told_once(tmp_path, monkeypatch, capsys):
    path = tmp_path / "callers.json"
    headers = write_callers(path, search={})["search"]
    callers = Callers(Settings(callers=path, scan_ms=100, load_timeout_ms=1000))
    answering = threading.Event()
    monkeypatch.setattr(api_keys, "read_file", lambda _path: answering.wait() and b"")
    watch, said = asyncio.create_task(callers.watch()), ""
    async with asyncio.timeout(60):
        while "the file system still does not answer" not in said:
            await asyncio.sleep(0.05)
            said += capsys.readouterr().out
        await asyncio.sleep(0.3)  # for more of the same
    said += capsys.readouterr().out
    watch.cancel()
    reading = [each for each in threading.enumerate() if "SIZEWISE_CALLERS" in each.name]
    answering.set()
    for each in reading:
        await asyncio.to_thread(each.join, 30)

    assert callers.identify({b"authorization": headers["Authorization"].encode()}).name == "search"
    assert [each.daemon for each in reading] == [True], "it must not hold up the end"
    assert said.count("callers not reloaded") == 2
    assert "reading SIZEWISE_CALLERS took over 1 s" in said


@pytest.mark.parametrize("http_processes", [0, 1])
def test_who_leaves_is_not_counted_any_more(tmp_path, tiny_registry, http_processes):
    path = tmp_path / "callers.json"
    headers = write_callers(path, search={"max_requests": 2})["search"] | FRESH
    long = {"texts": [f"good {n} film" * 5 for n in range(250)], "truncate": True}
    with serving(tiny_registry, callers=path, http_processes=http_processes) as server:

        def ask(timeout_s):
            return httpx.post(
                f"{server.url}/v1/classify", json=long, headers=headers, timeout=timeout_s
            )

        with ThreadPoolExecutor(8) as clients:
            for _ in range(5):
                for leaving in [clients.submit(ask, 0.01) for _ in range(8)]:
                    leaving.exception()
        time.sleep(1)
        answers = [ask(30) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
