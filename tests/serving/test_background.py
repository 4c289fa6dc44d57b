import asyncio
import errno
import json
import threading
import time

import pytest

from serving import background
from serving.background import (
    Reader,
    in_background,
    keep_running,
    patiently,
    short_work,
    start,
    start_short_work,
    unending,
)
from serving.errors import BundleError, EngineFailed
from tests.support.faults import Panic


async def test_what_the_work_returns_or_raises_reaches_who_waits():
    def panic():
        raise Panic("broken")

    assert await in_background(lambda: 3, "adding", 5) == 3
    with pytest.raises(Panic, match="broken"):
        await in_background(panic, "breaking", 5)


async def test_work_that_hangs_is_given_up_and_does_not_hold_up_the_process():
    ended = threading.Event()
    with pytest.raises(BundleError, match=r"hanging took over 0\.05 s"):
        await in_background(ended.wait, "hanging", 0.05)
    (hanging,) = (thread for thread in threading.enumerate() if thread.name == "hanging")

    assert hanging.daemon
    ended.set()
    await asyncio.to_thread(hanging.join)


async def test_a_task_that_fails_is_told_at_once_though_nobody_awaits_it(capsys):
    async def fail():
        raise BundleError("the disk is gone")

    task = start(fail(), "reading the disk")
    await asyncio.wait((task,), timeout=5)
    await asyncio.sleep(0)

    line = json.loads(capsys.readouterr().out)
    assert line["event"] == "a background task has failed"
    assert (line["task"], line["reason"]) == ("reading the disk", "the disk is gone")
    with pytest.raises(BundleError):
        task.result()


async def test_work_that_is_kept_running_starts_anew_after_each_failure(monkeypatch, capsys):
    monkeypatch.setattr(background, "_RESTART_S", 0.001)
    outcomes = [Panic, None]

    async def work():
        if error := outcomes.pop(0):
            raise error("once")

    with pytest.raises(Panic):  # not an Exception: it ends the process
        await keep_running(work, "counting")
    outcomes[:] = [OSError, ValueError, None]
    await keep_running(work, "counting")

    assert not outcomes
    assert capsys.readouterr().out.count('"task":"counting","reason":"once"') == 2


async def test_work_that_should_never_end_is_a_failure_when_it_returns():
    with pytest.raises(RuntimeError, match="watching has ended"):
        await unending(asyncio.sleep(0), "watching")


class Hanging:
    """A read that ends when it is told to; the threads that it has taken."""

    def __init__(self):
        self.threads = []
        self.end = threading.Event()

    def __call__(self):
        self.threads.append(threading.current_thread())
        self.end.wait(30)

    async def ended(self):
        self.end.set()
        for thread in self.threads:
            await asyncio.to_thread(thread.join)


async def test_a_file_system_that_hangs_takes_one_thread_however_many_read_at_once():
    hanging, reader = Hanging(), Reader("SIZEWISE_REGISTRY", 0.2)
    reads = [reader.read(hanging) for _ in range(5)]
    first, *others = await asyncio.gather(*reads, return_exceptions=True)
    taken = len(hanging.threads)
    await hanging.ended()

    assert taken == 1
    assert "took over 0.2 s" in str(first)
    assert {type(each) for each in others} == {BundleError}
    assert all("still does not answer" in str(each) for each in others)
    assert await reader.read(lambda: "read again") == "read again"


async def test_a_hanging_read_that_nobody_waits_for_any_more_still_keeps_others_from_beginning():
    hanging, reader = Hanging(), Reader("SIZEWISE_REGISTRY", 30)
    left = asyncio.create_task(reader.read(hanging))
    async with asyncio.timeout(30):
        while not hanging.threads:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    left.cancel()
    await asyncio.wait((left,))
    with pytest.raises(BundleError, match="still does not answer"):
        await reader.read(hanging)
    taken = len(hanging.threads)
    await hanging.ended()

    assert taken == 1


async def test_reads_that_come_at_once_all_succeed_one_after_the_other():
    reader, reading, most = Reader("SIZEWISE_REGISTRY", 30), [], []

    def read(number):
        reading.append(number)
        time.sleep(0.02)
        most.append(len(reading))
        reading.remove(number)
        return number

    assert await asyncio.gather(*(reader.read(read, number) for number in range(5))) == [*range(5)]
    assert set(most) == {1}


class NoThread(threading.Thread):
    """A thread for which the machine has no room, the first few times."""

    refusals = 0

    def start(self):
        if NoThread.refusals:
            NoThread.refusals -= 1
            raise RuntimeError("can't start new thread")
        super().start()


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(background, "Thread", NoThread)
    monkeypatch.setattr(background, "_RESTART_S", 0.001)
    monkeypatch.setattr(NoThread, "refusals", 2)


@pytest.mark.usefixtures("short")
async def test_a_read_for_which_there_is_no_thread_fails_and_the_next_ones_do_not():
    reader = Reader("SIZEWISE_REGISTRY", 30)
    for _ in range(2):
        with pytest.raises(BundleError, match="SIZEWISE_REGISTRY: can't start new thread"):
            await reader.read(lambda: "read")

    assert await reader.read(lambda: "read") == "read"


@pytest.mark.usefixtures("short")
async def test_patient_work_waits_for_a_thread_and_for_descriptors_but_for_no_other_failure(capsys):
    errors = [OSError(errno.EMFILE, "Too many open files"), None, ValueError("broken")]

    def work():
        if error := errors.pop(0):
            raise error
        return "done"

    assert await patiently(work, "opening", 30) == "done"
    with pytest.raises(ValueError, match="broken"):
        await patiently(work, "opening", 30)
    assert capsys.readouterr().out.count('"event":"the machine is short"') == 1


async def test_patient_work_is_given_up_when_the_machine_stays_short(monkeypatch):
    monkeypatch.setattr(background, "_RESTART_S", 0.001)
    tries = []

    def work():
        tries.append(1)
        raise OSError(errno.EMFILE, "Too many open files")

    async with asyncio.timeout(30):
        with pytest.raises(EngineFailed, match=r"opening: .*Too many open files"):
            await patiently(work, "opening", 0.2)
    assert len(tries) > 1


async def test_short_work_takes_no_new_thread_once_it_is_started(monkeypatch):
    start_short_work()

    def refuse(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert [await short_work(lambda: "done") for _ in range(3)] == ["done"] * 3
