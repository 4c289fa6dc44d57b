import secrets
import threading
import time
from datetime import UTC, datetime

import pytest

from serving.feedback.log_files import LogFiles
from serving.feedback.text_log import TextLog
from serving.settings import Settings
from tests.support.registries import wait_for

START_S = datetime(2026, 11, 28, tzinfo=UTC).timestamp()


class FaultyFiles(LogFiles):
    """Fails or hangs in every write until it is told not to."""

    def __init__(self, url):
        super().__init__(url)
        self.fails, self.free = False, threading.Event()
        self.free.set()

    def write(self, kind, rows, since_s):
        self.free.wait()
        if self.fails:
            raise OSError("the disk is full")
        return super().write(kind, rows, since_s)


class Clock:
    now = START_S

    def __call__(self):
        return self.now


@pytest.fixture
def opened(tmp_path):
    """(log, files, clock) whose thread does nothing by itself; the tests take its turns."""
    logs = []

    def open_log(**settings):
        files, clock = FaultyFiles(str(tmp_path / "log")), Clock()
        log = TextLog(files, Settings(text_log_flush_s=3600, **settings), clock)
        logs.append((log, files))
        return log, files, clock

    yield open_log
    for log, files in logs:
        files.free.set()
        log.close()


def rows(*ids, caller="search", at_s=START_S):
    return [
        {
            "time": datetime.fromtimestamp(at_s, UTC), "caller": caller, "request_id": each,
            "index": 0, "model": "tone", "variant": "tiny", "version": "1", "predicted": ["good"],
            "text": f"text of {each}", "text_pair": None, "labels": ["good"], "scores": [1.0],
        }
        for each in ids
    ]  # fmt: skip


def kept(files, kind="texts"):
    return [row["request_id"] for file in files.listed(kind) for row in files.read(file.name)]


def test_texts_are_written_in_one_file_a_turn_and_counted(opened):
    log, files, _ = opened(text_log_texts_per_s=100)
    log.add_texts(rows("a", "b"))
    log.add_texts(rows("c"))
    log.turn()

    assert len(files.listed("texts")) == 1
    assert kept(files) == ["a", "b", "c"]
    assert log.take_outcomes()["written"] == 3
    assert log.take_outcomes()["written"] == 0


def test_no_more_texts_are_written_than_the_rate_allows(opened):
    log, files, clock = opened(text_log_texts_per_s=2)
    for second in range(10):
        clock.now = START_S + second
        log.add_texts(rows(*map(str, range(5))))
    log.turn()

    outcomes = log.take_outcomes()
    assert len(kept(files)) == outcomes["written"] == 20
    assert outcomes["rate_limited"] == 30


def test_deleted_requests_are_erased_from_files_and_from_what_waits(opened):
    log, files, _ = opened(text_log_texts_per_s=100)
    log.add_texts(rows("a", "b"))
    log.add_texts(rows("a", caller="nightly"))
    log.turn()
    log.add_texts(rows("b", "c"))
    files.mark_deleted("search", "b", START_S)
    log.turn()

    assert sorted(kept(files)) == ["a", "a", "c"]
    assert "text of b" not in str([files.read(file.name) for file in files.listed("texts")])


@pytest.mark.parametrize("suffix", [".fernet", ""])
def test_an_unreadable_file_keeps_no_other_from_being_erased(opened, suffix):
    log, files, _ = opened(text_log_texts_per_s=100)
    files._put(f"texts/0000000000001-0.parquet{suffix}", b"?")
    log.add_texts(rows("a", "b"))
    log.turn()
    files.mark_deleted("search", "b", START_S)
    log.turn()

    assert [
        row["request_id"] for row in files.read(files.listed("texts")[-1].name)
    ] == ["a"]  # fmt: skip


def test_files_go_after_the_time_of_their_oldest_row(opened):
    log, files, clock = opened(text_log_s=100, text_log_texts_per_s=100)
    log.add_texts(rows("old"))
    log.turn()
    files.mark_deleted("search", "other", START_S)
    clock.now += 60
    log.add_texts(rows("new", at_s=clock.now))
    log.turn()
    before = kept(files)
    clock.now += 41
    log.turn()

    assert before == ["old", "new"]
    assert kept(files) == ["new"]
    clock.now += 4000
    log.turn()
    assert (kept(files), files.deletions()) == ([], {})


def test_the_oldest_files_go_at_once_when_the_log_is_too_large(opened):
    log, files, clock = opened(text_log_bytes=1 << 20, text_log_texts_per_s=100)
    for number in range(4):
        clock.now = START_S + number
        (row,) = rows(str(number), at_s=clock.now)
        log.add_texts([row | {"text": secrets.token_hex(400_000)}])
        log.turn()
        assert sum(file.bytes for file in files.listed("texts")) <= 1 << 20

    assert kept(files) == ["2", "3"]


def test_what_does_not_fit_the_table_is_not_quoted(opened, capsys):
    log, _, _ = opened(text_log_texts_per_s=100)
    (row,) = rows("a")
    log.add_texts([row | {"index": "a secret text"}])
    log.turn()

    assert log.take_outcomes()["dropped"] == 1
    assert "a row has no place in the table" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no place") as refused:
        log._files.replace("texts/1-0.parquet", [row | {"index": "a secret text"}])
    assert "secret" not in str(refused.value)


def test_a_store_that_fails_costs_the_batch_and_says_so_once(opened, capsys):
    log, files, _ = opened(text_log_texts_per_s=100)
    files.fails = True
    for each in "ab":
        log.add_texts(rows(each))
        log.turn()
    files.fails = False
    log.add_texts(rows("c"))
    log.turn()

    outcomes = log.take_outcomes()
    assert (outcomes["dropped"], outcomes["written"]) == (2, 1)
    assert kept(files) == ["c"]
    said = capsys.readouterr().out
    assert said.count("text log not written") == 1
    assert "text of" not in said


def test_a_store_that_hangs_costs_no_time_and_bounded_memory(opened, monkeypatch):
    monkeypatch.setattr("serving.feedback.text_log._MOST_ROWS", 100)
    log, files, clock = opened(text_log_texts_per_s=10_000)
    files.free.clear()
    log.add_texts(rows(*map(str, range(60))))  # over half of what fits: it is written at once
    wait_for(lambda: not log._rows["texts"])
    clock.now += 10
    started_s = time.monotonic()
    for _ in range(3):
        log.add_texts(rows(*map(str, range(60))))

    assert time.monotonic() - started_s < 1
    assert log.take_outcomes()["dropped"] == 120
    files.free.set()
    wait_for(lambda: len(kept(files)) == 120)


def test_the_end_waits_for_a_store_and_not_for_one_that_hangs(opened, monkeypatch):
    monkeypatch.setattr("serving.feedback.text_log._LAST_S", 0.2)
    log, files, _ = opened()
    log.add_texts(rows("a"))
    log.close()
    assert kept(files) == ["a"]

    log, files, _ = opened()
    files.free.clear()
    log.add_texts(rows("b"))
    started_s = time.monotonic()
    log.close()
    assert time.monotonic() - started_s < 5
