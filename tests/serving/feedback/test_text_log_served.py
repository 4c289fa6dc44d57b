"""The text log of real servers: who consents is logged, nobody else, and nothing elsewhere."""

import httpx
import pytest
from cryptography.fernet import Fernet

from serving.feedback.log_files import LogFiles
from tests.support.api_keys import write_callers
from tests.support.processes import serving
from tests.support.registries import wait_for

SHARE = {"text_log_share": 1, "text_log_texts_per_s": 1000, "text_log_flush_s": 1}


def rows(folder, kind="texts", keys=None):
    files = LogFiles(str(folder), keys)
    return [row for file in files.listed(kind) for row in files.read(file.name)]


def texts(folder, keys=None):
    return sorted(row["text"] for row in rows(folder, keys=keys))


def outcome(server, name):
    series = f'sizewise_text_log_rows_total{{outcome="{name}"}}'
    lines = [line for line in server.metrics().splitlines() if line.startswith(series)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


@pytest.fixture
def callers(tmp_path):
    """Headers of one caller that consents and of one that does not."""
    return write_callers(tmp_path / "callers.json", willing={"text_log": True}, other={})


@pytest.mark.parametrize("http_processes", [0, 2])
def test_only_texts_of_who_consents_are_written_and_the_end_writes_the_rest(
    tiny_registry, tmp_path, callers, http_processes
):
    log, keys = tmp_path / "log", tmp_path / "keys"
    keys.write_bytes(Fernet.generate_key())
    settings = SHARE | {"text_log_flush_s": 3600, "feedback_texts": 100}
    with serving(
        tiny_registry, callers=tmp_path / "callers.json", text_log=log, text_log_keys=keys,
        http_processes=http_processes, shutdown_delay_ms=0, **settings,
    ) as server:  # fmt: skip
        sent = [
            server.classify({"texts": [f"good {name}"]}, headers=callers[name] | more)
            for name in callers
            for more in ({}, {"Cache-Control": "no-store"})
        ]
        for answer, name in zip(sent, ("willing", "willing", "other", "other"), strict=True):
            body = {"request_id": answer.headers["x-request-id"], "labels": ["negative"]}
            given = httpx.post(
                f"{server.url}/v1/feedback", json=body, headers=callers[name], timeout=30
            )
            assert given.status_code == 200
        before = rows(log, keys=keys)
        status = server.stop()
        said = server.log()

    assert (status, before) == (0, [])
    assert texts(log, keys) == ["good willing"]
    (row,) = rows(log, keys=keys)
    assert row["request_id"] == sent[0].headers["x-request-id"]
    assert (row["caller"], row["variant"], row["predicted"]) == ("willing", "wide", ["positive"])
    assert dict(zip(row["labels"], row["scores"], strict=True)) == pytest.approx(
        sent[0].json()["results"][0]["scores"]
    )
    feedback = rows(log, "feedback", keys)
    assert {(each["caller"], *each["right"]) for each in feedback} == {("willing", "negative")}
    assert "good willing" not in said
    found = b"".join(path.read_bytes() for path in log.rglob("*") if path.is_file())
    assert b"willing" not in found


def test_deleted_requests_are_erased_and_no_text_outlives_its_time(
    tiny_registry, tmp_path, callers
):
    log = tmp_path / "log"
    with serving(
        tiny_registry, callers=tmp_path / "callers.json", text_log=log, text_log_s=8, **SHARE
    ) as server:
        answers = [
            server.classify({"texts": [each]}, headers=callers["willing"]) for each in ("a", "b")
        ]
        wait_for(lambda: texts(log) == ["a", "b"])
        url = f"{server.url}/v1/feedback/{answers[0].headers['x-request-id']}"
        foreign = httpx.delete(url, headers=callers["other"], timeout=30)
        deleted = httpx.delete(url, headers=callers["willing"], timeout=30)
        wait_for(lambda: texts(log) == ["b"])
        erased = outcome(server, "deleted")
        wait_for(lambda: texts(log) == [])

    assert (foreign.status_code, deleted.status_code, erased) == (204, 204, 1)


def test_a_log_that_cannot_be_written_costs_no_answer(tiny_registry, tmp_path, callers):
    log = tmp_path / "log"
    log.write_text("a file where the folder should be")
    with serving(tiny_registry, callers=tmp_path / "callers.json", text_log=log, **SHARE) as server:
        answer = server.classify({"texts": ["good"]}, headers=callers["willing"])
        wait_for(lambda: outcome(server, "dropped") == 1)
        url = f"{server.url}/v1/feedback/{answer.headers['x-request-id']}"
        deleted = httpx.delete(url, headers=callers["willing"], timeout=30)
        status = server.stop()

    assert (answer.status_code, deleted.status_code, status) == (200, 503, 0)
    assert "the text log cannot be written now" in deleted.json()["detail"]


def test_a_log_without_callers_ends_the_start(tiny_registry, tmp_path):
    with serving(tiny_registry, wait_ready=False, text_log=tmp_path / "log") as server:
        status = server.process.wait(60)
        said = server.log()

    assert status == 2
    assert "SIZEWISE_TEXT_LOG needs SIZEWISE_CALLERS" in said
