import errno
import fcntl
import os
import subprocess
import sys
import threading

import pytest

from serving import line_writer
from serving.line_writer import LineWriter
from tests.support.processes import ROOT

LONG = "x" * 1000
FLUSH_S = 30


@pytest.fixture
def pipe():
    """(the end of a pipe of 4 kB to read, a started writer to the other that keeps 64 kB)"""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    writer = LineWriter(writing, most_chars=1 << 16)
    writer.start()
    yield reading, writer
    os.close(reading)
    writer.flush(FLUSH_S)


def fill(writer, lines=1000):
    """More than the pipe and the writer hold."""
    for number in range(lines):
        writer.write([f"{number} {LONG}"])


def read_lines(reading, writer):
    """All lines up to one that is written now."""

    def write_last():
        writer.flush(FLUSH_S)
        writer.write(["last"])

    writing = threading.Thread(target=write_last)
    writing.start()
    content = b""
    while not content.endswith(b"\nlast\n"):
        content += os.read(reading, 1 << 20)
    writing.join()
    return content.decode().splitlines()


def test_lines_are_written_in_order_and_flush_waits_for_them(pipe):
    reading, writer = pipe
    writer.write(["one", "two"])
    writer.write(["three"])

    assert writer.flush(FLUSH_S)
    assert os.read(reading, 100) == b"one\ntwo\nthree\n"
    assert writer.take_dropped() == 0


def test_nothing_is_written_after_its_end(pipe):
    reading, writer = pipe
    writer.write(["the reason"])

    assert writer.end(FLUSH_S)
    writer.write(["from another thread"])
    assert writer.flush(FLUSH_S)

    assert os.read(reading, 1000) == b"the reason\n"
    assert writer.take_dropped() == 1


def test_a_stalled_pipe_holds_nobody_up_and_costs_counted_lines(pipe):
    reading, writer = pipe
    fill(writer)
    stalled = not writer.flush(0.05)
    dropped = writer.take_dropped()
    lines = [line for line in read_lines(reading, writer) if line != "last"]

    assert stalled
    assert 0 < dropped < 1000
    assert len(lines) + dropped == 1000
    assert all(line.endswith(LONG) for line in lines), "whole lines"
    assert writer.take_dropped() == 0


def test_a_pipe_that_another_program_made_non_blocking_loses_nothing(pipe):
    reading, writer = pipe
    flags = fcntl.fcntl(writer._descriptor, fcntl.F_GETFL)
    fcntl.fcntl(writer._descriptor, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    fill(writer, lines=100)  # more than the pipe holds
    dropped = writer.take_dropped()
    lines = [line for line in read_lines(reading, writer) if line != "last"]

    assert len(lines) + dropped == 100
    assert len(lines) > 50, "what was accepted is written"


def test_a_pipe_that_nobody_reads_any_more_costs_its_lines():
    reading, writing = os.pipe()
    os.close(reading)
    writer = LineWriter(writing)
    writer.start()
    writer.write(["one", "two"])

    assert writer.flush(FLUSH_S)
    assert writer.take_dropped() == 2
    os.close(writing)


def test_after_a_full_disk_the_next_line_begins_on_a_line_of_its_own(tmp_path, monkeypatch):
    written, room = [], [5]

    def write_little(_descriptor, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        piece = bytes(data[: room[0]])
        room[0] -= len(piece)
        written.append(piece)
        return len(piece)

    monkeypatch.setattr(line_writer.os, "write", write_little)
    with (tmp_path / "log").open("wb") as log:
        writer = LineWriter(log.fileno())
        writer.start()
        writer.write(["one", "two"])
        assert writer.flush(FLUSH_S)
        writer.write(["three"])
        assert writer.flush(FLUSH_S)
        room[0] = 100
        writer.write(["four"])
        assert writer.flush(FLUSH_S)

    assert b"".join(written) == b"one\nt\nfour\n"
    assert writer.take_dropped() == 2


def test_a_signal_handler_may_write_while_its_thread_writes(pipe):
    reading, writer = pipe
    with writer._lock:  # as in the middle of `write`
        writer.write(["from the handler"])

    assert writer.flush(FLUSH_S)
    assert os.read(reading, 100) == b"from the handler\n"


def test_writing_lines_is_one_python_call(pipe):
    _, writer = pipe
    calls = []
    sys.setprofile(lambda frame, event, _: event == "call" and calls.append(frame.f_code.co_name))
    writer.write(["one", "two"])
    sys.setprofile(None)

    assert calls == ["write"]


def test_before_it_is_started_a_writer_writes_at_once_and_forgives(capsys, monkeypatch):
    LineWriter(1).write(["one", "two"])
    monkeypatch.setattr(sys, "stdout", None)
    LineWriter(1).write(["three"])
    monkeypatch.undo()

    assert capsys.readouterr().out == "one\ntwo\n"


def test_no_other_file_gets_the_number_of_a_closed_stream(tmp_path):
    program = (
        "from serving.line_writer import LineWriter\n"
        "writers = LineWriter(1), LineWriter(2)\n"
        "for writer in writers: writer.start()\n"
        f"file = open({str(tmp_path / 'file')!r}, 'w')\n"
        "for writer in writers: writer.write(['a line']), writer.flush(30)\n"
        "file.write(str(file.fileno())), file.close()\n"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', sys.executable, "-c", program],
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 0
    assert int((tmp_path / "file").read_text()) > 2
